"""One job, inside: pid 1 of a namespace of its own, with a scratch folder; it compiles once and forks a test each time.

It holds no secret and no expected output. A test cannot reach it: it is pid 1 (deaf to signals from inside), not
dumpable, and outside the test's Landlock domain. When it ends, the kernel ends everything it started.
"""

import _socket
import contextlib
import gc
import json
import mmap
import os
import resource
import select
import signal
import struct
import time
from collections.abc import Callable
from typing import Any, NoReturn

from verifiers.cell import child, kernel

LOADER = "/lib64/ld-linux-x86-64.so.2"  # without it no binary starts; it is no way to more than the program has
GRACE = 1.2  # a test is ended at this multiple of its limits, so that one just over is told from one far over
STARVED = 5.0  # and at this multiple of its wall limit though it only waited for a processor
WATCH_SECONDS = 0.02  # between two looks at the memory of a family of processes

# What outcome.Report reads, as JSON; the module for it would write to thirty pages more a test.
REPORT = (b'{"begun": %d, "status": %d, "cpu_s": %f, "wall_s": %f, "killed": "%s", "rss_kb": %d, "grown_kb": %d}')

Message = dict[str, Any]


def main(request: Message, descriptors: list[int], no_fork: bytes) -> NoReturn:
    """Never returns to the zygote: whatever happens here ends this process."""
    try:
        Job(request, descriptors, no_fork).serve()
    except BaseException as error:
        os.write(2, f"job: {type(error).__name__}: {error}\n".encode())
        os._exit(70)
    os._exit(0)


class Job:
    """`request` holds the limits and how to run the program; descriptors: the job's socket and the program."""

    def __init__(self, request: Message, descriptors: list[int], no_fork: bytes) -> None:
        self._request, self._no_fork = request, no_fork
        self._limits: Message = request["limits"]
        os.setsid()
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, descriptors[0])
        self._program = descriptors[1]
        isolated = request["mode"] == "T1"
        if isolated:
            self._own_places()
        else:
            kernel.adopt_orphans()
        kernel.drop_capabilities()
        self._landlock = self._rules(isolated) if request["mode"] != "none" else None
        self._lower_limits()
        self._prepared = child.prepare(request, self._program)
        self._begun = mmap.mmap(-1, 1)  # a byte shared with each test, which unmaps it before the program has its turn
        self._poller = select.poll()
        self._poller.register(self._socket, select.POLLIN)
        self._base_kb = _memory_kb("self")
        self._address_space = _pages("self")[0] * resource.getpagesize()
        self._hand_down()

    def _own_places(self) -> None:
        kernel.unshare(kernel.NEWNS | kernel.NEWIPC)
        flags = kernel.NOSUID | kernel.NODEV | kernel.NOEXEC
        size = f"size={self._limits['tmp_mb']}m,nr_inodes={self._limits['tmp_mb'] * 64 + 64},mode=700"
        kernel.mount("tmpfs", "/tmp", flags, size)
        if self._limits["allow_fork"]:  # the semaphores of multiprocessing
            kernel.mount("tmpfs", "/dev/shm", flags, size)
        kernel.mount("proc", "/proc", flags, "subset=pid")
        os.chdir("/tmp")

    def _rules(self, isolated: bool) -> kernel.Landlock:
        """All that is there may be read, since nothing is there that may not; only the scratch folders are written."""
        rules = kernel.Landlock()
        if not rules.version:
            return rules
        rules.allow("/", kernel.READ | (kernel.EXECUTE if self._request["execute"] else 0))
        rules.allow("/dev", kernel.WRITE_FILE)
        if self._request["command"]:
            rules.allow(LOADER, kernel.EXECUTE)
        if isolated:
            rules.allow("/tmp", rules.everything_but_devices())
        if isolated and self._limits["allow_fork"]:
            rules.allow("/dev/shm", rules.everything_but_devices())
        if isolated:  # the tests inherit it; pid 1 needs no protection from those of its own domain
            rules.enter()
        return rules

    def _lower_limits(self) -> None:
        for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_MEMLOCK, 1 << 16),
                           (resource.RLIMIT_MSGQUEUE, 0)):
            child.lower(kind, most)
        # Solutions raise it, as they may anywhere; the limit of memory holds for it too.
        child.lower(resource.RLIMIT_STACK, self._request["stack_mb"] << 20, resource.RLIM_INFINITY)

    def _hand_down(self) -> None:
        """What this process can bear itself and its tests inherit: they pay dearly for each page that they write."""
        limits = self._limits
        child.lower(resource.RLIMIT_FSIZE, limits["output_bytes"] + 1)
        if self._request["mode"] != "none":
            child.lower(resource.RLIMIT_NPROC, 2 + limits["processes"])
        if self._request["limit_addresses"] and self._prepared.code:
            child.lower(resource.RLIMIT_AS, self._address_space + (limits["memory_mb"] << 20))
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        gc.enable()

    def serve(self) -> None:
        """A test for each message, until the supervisor closes its end."""
        last, test = b"", {}
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(1 << 16, _socket.CMSG_SPACE(4 * 8))
            if not data:
                return
            if data != last:
                last, test = data, json.loads(data)
            descriptors = descriptors_of(ancillary)
            if "stop" in test:  # it came when the conversation was over already
                continue
            if self._prepared.error:
                report = json.dumps({"compile_error": self._prepared.error}).encode()
            else:
                report = self._test(test, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            self._socket.send(report)

    def _test(self, test: Message, descriptors: list[int]) -> bytes:
        self._begun[0] = 0
        begun = time.monotonic()
        pid = kernel.fork()
        if not pid:
            given = descriptors[:3] if "collect" in test else descriptors
            child.main(test, given, self._prepared, self._bind, self._begun)
        killed = self._watch(pid, begun)
        if killed:
            _quietly_kill(pid)
        _, status, used = os.wait4(pid, 0)
        wall = time.monotonic() - begun
        cpu = used.ru_utime + used.ru_stime + sweep(self._request["mode"])
        if "collect" in test and not status:
            status = _collect(test["collect"], descriptors[3])
        return REPORT % (self._begun[0], status, cpu, wall, (killed or "").encode(), used.ru_maxrss,
                         used.ru_maxrss - self._base_kb)

    def _bind(self) -> None:
        """In the child, last before the program: what it may use and reach from here on."""
        limits = self._limits
        seconds = int(limits["cpu_s"] * GRACE) + 2
        child.lower(resource.RLIMIT_CPU, seconds, seconds + 1)
        if self._landlock and self._landlock.version and self._request["mode"] != "T1":
            self._landlock.enter()
        if limits["processes"] > 1 and not limits["allow_fork"] and self._no_fork:
            kernel.load_seccomp(self._no_fork)
        if self._request["mode"] == "none" and self._request["own_uid"]:  # of all cells together: it would be ours too
            child.lower(resource.RLIMIT_NPROC, 2 + limits["processes"])
        if self._request["limit_addresses"] and not self._prepared.code:  # it has nothing of ours after its exec
            child.lower(resource.RLIMIT_AS, limits["memory_mb"] << 20)

    # -- time and memory while it runs -------------------------------------------------------------------------------

    def _watch(self, pid: int, begun: float) -> str | None:
        """Wait for the end of `pid`; or why it must be ended: cpu, wall, memory, or given up by the supervisor."""
        limits, ended, poller = self._limits, os.pidfd_open(pid), self._poller
        poller.register(ended, select.POLLIN)
        most_cpu, most_wall = limits["cpu_s"] * GRACE, limits["wall_s"] * GRACE
        pause, why = min(most_cpu / CORES, most_wall), None
        while not why:
            ready = dict(poller.poll(max(1, int(pause * 1000) + 1)))
            if ended in ready:
                break
            family = _pids() if limits["allow_fork"] else [pid]
            cpu, wall = sum(map(_cpu, family)), time.monotonic() - begun
            why = "given up" if ready else self._excess(family, cpu - most_cpu, wall, most_wall)
            pause = min(max(0.005, (most_cpu - cpu) / CORES), max(0.02, most_wall - wall))
            pause = min(pause, WATCH_SECONDS) if limits["allow_fork"] else pause
        poller.unregister(ended)
        os.close(ended)
        return why

    def _excess(self, family: list[int], over_cpu: float, wall: float, most_wall: float) -> str | None:
        if over_cpu > 0:
            return "cpu"
        if wall > most_wall and wall - min(map(_starved, family), default=0.0) > most_wall:
            return "wall"
        if wall > most_wall * STARVED:
            return "starved"
        if len(family) > 1 and self._grown_kb(family) > self._limits["memory_mb"] << 10:
            return "memory"
        return None

    def _grown_kb(self, family: list[int]) -> int:
        """What the processes have beyond what each shares with this one."""
        return sum(max(0, _memory_kb(str(pid)) - self._base_kb) for pid in family)


CORES = os.cpu_count() or 1


def sweep(mode: str) -> float:
    """Kill all that the caller's job has left: all in its pid namespace but pid 1 and itself, or all its children.

    Returns the CPU seconds that they had used.
    """
    if mode == "none":
        return _end_children()
    return _buried(lambda: None) if kernel.kill_all() else 0.0


def _end_children() -> float:
    """Without a pid namespace: orphans come to us, the children of those we kill too, until there are none."""

    def kill() -> None:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            for pid in file.read().split():
                _quietly_kill(int(pid))

    return _buried(kill)


def _buried(kill: Callable[[], None]) -> float:
    """Wait until there is no child any more, with `kill` before each; the CPU seconds of all of them."""
    seconds = 0.0
    with contextlib.suppress(ChildProcessError):
        while True:
            kill()
            _, _, used = os.wait4(-1, 0)
            seconds += used.ru_utime + used.ru_stime
    return seconds


def _collect(path: str, target: int) -> int:
    """Copy what a compiler made; the status of a test that made nothing otherwise."""
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 1 << 8
    while os.sendfile(target, source, None, 1 << 24):
        pass
    os.close(source)
    return 0


def descriptors_of(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    return [number for _, _, data in ancillary for number in struct.unpack(f"{len(data) // 4}i", data)]


def _quietly_kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _cpu(pid: int) -> float:
    """CPU seconds of a process with its threads, by its clock (clock_getcpuclockid(3))."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _starved(pid: int) -> float:
    """Seconds that a process was ready to run and got no processor."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _pages(pid: str) -> list[int]:
    with open(f"/proc/{pid}/statm") as file:
        return [int(number) for number in file.read().split()]


def _memory_kb(pid: str) -> int:
    """Resident and not shared with files, KiB."""
    try:
        _, resident, shared, *_ = _pages(pid)
    except (OSError, ValueError):
        return 0
    return (resident - shared) * (resource.getpagesize() >> 10)
