"""One cell from outside: starts it, speaks with its zygote, and ends it. What comes out of it is not trusted."""

import contextlib
import fcntl
import json
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from verifiers.cell import bwrap, seccomp
from verifiers.cell.memory import MemoryGroup

START_SECONDS = 60.0  # on a starved machine; a tenth of a second otherwise
MODULES = ("wire", "kernel", "child", "job", "zygote")  # in the order in which they need each other
MOST = 1 << 16  # bytes of a message
MOST_JOBS = 2_000
JOBS_BETWEEN_LOOKS = 100
MOST_GROWN_KB = 16 << 10
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

BOOT = """
import os
os.register_at_fork, hooks = lambda **_: None, os.register_at_fork  # each costs every fork some hundred page faults
import builtins, json, sys, types
def module(name, source):
    made = sys.modules[name] = types.ModuleType(name)
    made.__builtins__ = dict(vars(builtins))  # its own: a program that patches `type` or `len` does not patch ours
    exec(compile(source, name, "exec"), made.__dict__)
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, made)
with open(int(sys.argv[1]), "rb") as file:
    sources = json.load(file)
for name, source in sources:
    module(name, source)
sys.argv = ["solution.py"]
sys.modules["verifiers.cell.zygote"].main(%d, hooks)
"""


class CellLost(Exception):
    """The cell is gone or answers nonsense; the sentence says which."""


class Cell:
    """A running cell. `level` is T1, T2 or none; CellLost from any method when it cannot be used (any more)."""

    def __init__(self, level: str, headers: str = "", preload: Sequence[str] = ()) -> None:
        self.level, self.jobs, self.busy = level, 0, False
        self.about: dict[str, Any] = {}
        self.memory: MemoryGroup | None = None
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._errors = os.memfd_create("cell-errors", os.MFD_CLOEXEC)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            with theirs:
                info = self._start(theirs, headers)
            self._greet(info, preload)  # nobody but the cell holds the other end any more: if it dies, we hear of it
        except BaseException:
            self.kill()
            raise

    def _start(self, theirs: socket.socket, headers: str) -> int:
        python = bwrap.interpreter()
        if python is None:
            raise CellLost("there is no Python that an unprivileged user can read: apt install python3")
        sources, info = memory_file(_sources()), os.pipe()
        nothing = memory_file(b"")
        inside = [python, "-s", "-P", "-S", "-c", BOOT % theirs.fileno(), str(sources)]
        if self.level == "none":
            self._spawn(inside, (theirs.fileno(), sources), nothing)
        else:
            main = threading.current_thread() is threading.main_thread()  # the kernel means the parent's *thread*
            words = bwrap.command(inside, info[1], self.level, main, headers)
            self._spawn(words, (theirs.fileno(), sources, info[1]), nothing)
        close(sources, nothing, info[1])
        return info[0]

    def _spawn(self, words: Sequence[str], keep: Iterable[int], nothing: int) -> None:
        uid = bwrap.own_uid(self.level)
        try:
            self._process = subprocess.Popen(
                words, cwd="/", env=bwrap.ENVIRONMENT | bwrap.EAGER, stdin=nothing, stdout=self._errors,
                stderr=self._errors, pass_fds=list(keep), start_new_session=True, user=uid, group=uid,
                extra_groups=None if uid is None else [])
        except OSError as error:
            raise CellLost(f"{words[0]} cannot be started: {error}") from error

    def _greet(self, info: int, preload: Sequence[str]) -> None:
        filters = (b"", b"") if self.level == "none" else seccomp.programs()
        pid = _child_pid(info)
        if pid and (group := MemoryGroup.make()):
            self.memory = group
            group.add(pid)
        self.send({"mode": self.level, "preload": list(preload)})
        for program in filters:
            self._sendmsg(b"\0" + program, ())
        self.about = self.receive(START_SECONDS)

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        self._sendmsg(json.dumps(message).encode(), descriptors)

    def _sendmsg(self, data: bytes, descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self._control, [data], list(descriptors))
        except OSError as error:
            raise CellLost(f"the sandbox's cell has ended: {self.last_words() or error}") from error

    def receive(self, seconds: float) -> dict[str, Any]:
        return read_message(self._control, seconds, self.last_words)

    def is_worn(self) -> bool:
        """Whether it has had its number of jobs, or its zygote is not as it was when it started."""
        if self.jobs % JOBS_BETWEEN_LOOKS or not self.jobs:
            return False
        then = self.about
        try:
            self.send({"do": "stat"})
            now = self.receive(5.0)
        except CellLost:
            return True
        grown = now.get("rss_kb", 0) - then.get("rss_kb", 0) > MOST_GROWN_KB
        return grown or self.jobs >= MOST_JOBS or now.get("descriptors") != then.get("descriptors")

    def fileno(self) -> int:
        return self._control.fileno()

    def last_words(self) -> str:
        """What the cell wrote to its standard error."""
        return os.pread(self._errors, 4096, 0).decode(errors="replace").strip()

    def end(self) -> None:
        """Tell it to end, which it does at once with all it holds, and wait for that."""
        self._control.close()
        if self._process:
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self.kill()

    def kill(self) -> None:
        """End it whatever state it is in. The zygote ends when its socket closes, bwrap's children with it."""
        self._control.close()
        if self._process:
            self._process.kill()
            self._process.wait()
        if self.memory:
            self.memory.remove()
            self.memory = None
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1


def ready(end: Any, seconds: float, event: int = select.POLLIN) -> bool:
    """Whether there is something to read (or room to write) in that time; descriptors may be above 1023."""
    poller = select.poll()
    poller.register(end, event)
    return bool(poller.poll(max(0.0, seconds) * 1000))


def read_message(end: socket.socket, seconds: float, last_words: Any = str) -> dict[str, Any]:
    """The next message; CellLost when there is none in time, the other side is gone, or it is nonsense."""
    if not ready(end, seconds):
        raise CellLost(f"the sandbox's cell did not answer within {seconds:.0f} s")
    try:
        data = end.recv(MOST)
        if not data:
            raise CellLost(f"the sandbox's cell has ended: {last_words()}")
        message = json.loads(data)
    except (OSError, ValueError) as error:
        raise CellLost(f"the sandbox's cell answers nonsense: {error}") from error
    if not isinstance(message, dict):
        raise CellLost("the sandbox's cell answers nonsense")
    return message


def memory_file(data: bytes, sealed: bool = True) -> int:
    """A file in memory that holds `data`; sealed, nobody can change it any more."""
    descriptor = os.memfd_create("data", os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if sealed else 0))
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], done)
    if sealed:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    return descriptor


def close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _sources() -> bytes:
    folder = Path(__file__).parent
    named = [("verifiers", "__path__ = []"), ("verifiers.cell", "__path__ = []")]
    named += [(f"verifiers.cell.{name}", (folder / f"{name}.py").read_text()) for name in MODULES]
    return json.dumps(named).encode()


def _child_pid(info: int) -> int | None:
    """What bwrap tells about its child; None when it failed before it had one."""
    with os.fdopen(info, "rb") as file:
        data = file.read()
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return int(json.loads(data)["child-pid"])
    return None
