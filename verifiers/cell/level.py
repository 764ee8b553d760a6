"""Which isolation this machine offers, found out by trying: a cell is used only after a probe in it was contained."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from verifiers.cell import bwrap, memory
from verifiers.cell.cell import Cell, CellLost
from verifiers.cell.jobs import Executable, Job, Stdin
from verifiers.cell.languages import LANGUAGES, compiler_of
from verifiers.cell.outcome import Limits

LEVELS = ["T1", "T2"]  # the best first
UNSAFE = "or run with --unsafe-no-sandbox, which limits amounts only and whose verdicts `cot export` refuses"

PROBE = """
import ctypes, os, sys
level, libc, open_doors = sys.stdin.read(), ctypes.CDLL(None), []
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
def door(name, tried):
    try:
        if tried():
            open_doors.append(name)
    except (OSError, KeyError):
        pass
def network():
    import _socket
    return _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
def fork():
    if not os.fork():
        os._exit(0)
    return True
door("root", lambda: 0 in os.getresuid() + os.getresgid())
door("capabilities", lambda: any(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")))
door("new privileges", lambda: status["NoNewPrivs"] != "1")
door("system calls", lambda: status["Seccomp"] != "2")
door("the network", network)
door("new namespaces", lambda: libc.unshare(0x10000000) == 0 or libc.unshare(0x20000) == 0)
door("tracing", lambda: libc.ptrace(16, 1, 0, 0) == 0)
door("/etc", lambda: os.listdir("/etc"))
door("homes", lambda: os.listdir("/home") or os.listdir("/root"))
door("the system", lambda: open("/usr/probe", "w"))
door("the folder of programs", lambda: open("/probe", "w"))
door("the environment", lambda: set(os.environ) - {"PATH", "HOME", "LANG", "PWD", "LC_CTYPE", *@KNOWN@})
door("processes", fork)
door("other programs' processes", lambda: level == "T1" and os.getpid() != 2)
door("another scratch folder", lambda: level == "T1" and os.listdir("/tmp"))
print(", ".join(open_doors), end="")
"""


class SandboxMissing(RuntimeError):
    """This machine offers no isolation; the sentence says what to install or to allow."""


def start(unsafe: bool, headers: str = "", preload: Sequence[str] = ()) -> Cell:
    """A cell of the best level that holds here; `unsafe` admits the level none. SandboxMissing when there is none.

    `headers`: a folder of precompiled headers that compilers in the cell may read. `preload`: modules that its programs
    will import, besides the common ones.
    """
    failures = []
    for level in LEVELS if can_isolate() is None else []:
        try:
            return _tried(level, headers, preload)
        except CellLost as error:
            failures.append(str(error))
    if unsafe:
        return Cell("none", preload=preload)
    raise SandboxMissing(f"programs cannot be run safely here: {can_isolate() or advice(failures)}; {UNSAFE}")


def _tried(level: str, headers: str, preload: Sequence[str]) -> Cell:
    cell = Cell(level, headers, preload)
    try:
        if doors := open_doors(cell):
            raise CellLost(f"a program in the sandbox could reach {doors}")
    except BaseException:
        cell.kill()
        raise
    return cell


def open_doors(cell: Cell) -> str:
    """What the probe got hold of in this cell, as words; empty when it is contained. CellLost if it cannot run."""
    code = PROBE.replace("@KNOWN@", repr(sorted(bwrap.ENVIRONMENT)))

    def lost() -> None:
        raise CellLost(cell.last_words() or "the sandbox's cell has ended")

    with Job(lambda: cell, lost, Executable(code.encode()), Limits()) as job:
        run = job.run(Stdin(cell.level.encode()))
    if run.outcome != "ran":
        raise CellLost(f"the self-test of the sandbox failed: {run.reason}")
    return run.stdout.decode()


def can_isolate() -> str | None:
    """What is missing that can be installed, as a sentence; None when all of it is there."""
    if bwrap.program() is None:
        return "bubblewrap is not installed: apt install bubblewrap"
    if bwrap.interpreter() is None:
        return f"no Python of at least {bwrap.OLDEST[0]}.{bwrap.OLDEST[1]} that everybody may read: apt install python3"
    try:
        import pyseccomp  # type: ignore[import-untyped]  # noqa: F401 - it looks for the library as it is imported
    except (ImportError, RuntimeError):
        return "libseccomp is missing: apt install libseccomp2, and pip install pyseccomp"
    return None


SETTINGS = (
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
     "AppArmor forbids user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0",
     "the kernel forbids user namespaces: sysctl kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/user/max_user_namespaces", "0",
     "there may be no user namespaces: sysctl user.max_user_namespaces=15000"),
)
CONTAINER = ("start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
             " --security-opt systempaths=unconfined")


def advice(failures: list[str]) -> str:
    """The setting that forbids namespaces, if it is one of the known ones, or what bubblewrap said."""
    if reached := [failure for failure in failures if "could reach" in failure]:
        return reached[0]
    for path, value, sentence in SETTINGS:
        with contextlib.suppress(OSError):
            if Path(path).read_text().strip() == value:
                return sentence
    said = " ".join(failures[0].split())[-300:] if failures else "bubblewrap does not start"
    return f"{said} (in a container: {CONTAINER})"


# -- for `cot doctor` --------------------------------------------------------------------------------------------------


def describe() -> list[tuple[str, str]]:
    """What the sandbox needs and what of it is here, as (name, words); the first row is the level."""
    rows = [("bubblewrap", _bubblewrap()), ("interpreter", bwrap.interpreter() or "none: apt install python3"),
            ("memory cgroup", _memory()), ("user of the cells", str(bwrap.own_uid() or f"{os.getuid()} (yours)"))]
    rows += [("numpy for programs", next(iter(bwrap.packages()), "none that the interpreter of the cells can use"))]
    rows += [(f"language {name}", _compiler(name)) for name in LANGUAGES]
    return [("sandbox", _level()), *rows]


def _level() -> str:
    begun = time.perf_counter()
    try:
        cell = start(unsafe=False)
    except SandboxMissing as error:
        return str(error)
    seconds, level, kernel = time.perf_counter() - begun, cell.level, cell.about.get("landlock", 0)
    cell.end()
    return f"level {level}, self-test passed, {seconds * 1000:.0f} ms to start, Landlock {kernel or 'none'}"


def _bubblewrap() -> str:
    path = bwrap.program()
    if path is None:
        return "none: apt install bubblewrap"
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return f"{path} {''.join(re.findall(r'[0-9.]+', shown))}"


def _memory() -> str:
    group = memory.MemoryGroup.make()
    if group is None:
        return "none that can be written: children are watched instead, every 20 ms"
    group.remove()
    return "writable: one a cell"


def _compiler(name: str) -> str:
    found, missing = compiler_of(name)
    return found or missing
