"""One job, inside: pid 1 of a namespace of its own, with a scratch folder; it compiles once and forks a test each time.

It holds no secret and no expected output. A test cannot reach it: it is pid 1 (deaf to signals from inside), not
dumpable, and outside the test's Landlock domain. When it ends, the kernel ends everything it started.
"""

import _socket
import contextlib
import json
import mmap
import os
import resource
import select
import signal
import struct
import time
from typing import Any, NoReturn

from verifiers.cell import child, kernel

LOADER = "/lib64/ld-linux-x86-64.so.2"  # without it no binary starts; it is no way to more than the program has
GRACE = 1.2  # a test is ended at this multiple of its limits, so that one just over is told from one far over
STARVED = 5.0  # and at this multiple of its wall limit though it only waited for a processor
WATCH_SECONDS = 0.02  # between two looks at the memory of a family of processes

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
        self._base_kb = _memory_kb("self")
        self._address_space = _pages("self")[0] * resource.getpagesize()

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

    def serve(self) -> None:
        """A test for each message, until the supervisor closes its end."""
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(1 << 16, _socket.CMSG_SPACE(4 * 8))
            if not data:
                return
            descriptors, test = descriptors_of(ancillary), json.loads(data)
            if "stop" in test:  # it came when the conversation was over already
                continue
            if self._prepared.error:
                report: Message = {"compile_error": self._prepared.error}
            else:
                report = self._test(test, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            self._socket.send(json.dumps(report).encode())

    def _test(self, test: Message, descriptors: list[int]) -> Message:
        before, begun = _spent(), time.monotonic()
        started = mmap.mmap(-1, 1)
        pid = os.fork()
        if not pid:
            child.main(test, descriptors[:3] if "collect" in test else descriptors, self._prepared, self._bind, started)
        killed = self._watch(pid, begun)
        if killed:
            _quietly_kill(pid)
        _, status, used = os.wait4(pid, 0)
        wall = time.monotonic() - begun
        sweep(self._request["mode"])
        begun_ever = started[0] == 1
        started.close()
        if "collect" in test and not status:
            status = _collect(test["collect"], descriptors[3])
        return {"begun": begun_ever, "status": status, "cpu_s": _spent() - before, "wall_s": wall, "killed": killed,
                "rss_kb": used.ru_maxrss, "grown_kb": used.ru_maxrss - self._base_kb}

    def _bind(self) -> None:
        """In the child, last before the program: what it may use and reach from here on."""
        limits, counted = self._limits, self._request["mode"] != "none" or self._request["own_uid"]
        seconds = int(limits["cpu_s"] * GRACE) + 2
        child.lower(resource.RLIMIT_CPU, seconds, seconds + 1)
        child.lower(resource.RLIMIT_FSIZE, limits["output_bytes"] + 1)
        if self._landlock and self._landlock.version and self._request["mode"] != "T1":
            self._landlock.enter()
        if limits["processes"] > 1 and not limits["allow_fork"] and self._no_fork:
            kernel.load_seccomp(self._no_fork)
        if counted:
            child.lower(resource.RLIMIT_NPROC, 2 + limits["processes"])
        if self._request["limit_addresses"]:
            there = self._prepared.address_space(self._address_space)
            child.lower(resource.RLIMIT_AS, there + (limits["memory_mb"] << 20))

    # -- time and memory while it runs -------------------------------------------------------------------------------

    def _watch(self, pid: int, begun: float) -> str | None:
        """Wait for the end of `pid`; or why it must be ended: cpu, wall, memory, or given up by the supervisor."""
        limits, ended = self._limits, os.pidfd_open(pid)
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(self._socket, select.POLLIN)
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


def sweep(mode: str) -> None:
    """Kill all that the caller's job has left: all in its pid namespace but pid 1 and itself, or all its children."""
    if mode == "none":
        _end_children()
        return
    _quietly_kill(-1)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _end_children() -> None:
    """Without a pid namespace: orphans come to us, the children of those we kill too, until there are none."""
    with contextlib.suppress(ChildProcessError):
        while True:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                for pid in file.read().split():
                    _quietly_kill(int(pid))
            os.waitpid(-1, 0)


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


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
