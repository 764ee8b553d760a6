"""A child process that cannot outlive us, not even a `kill -9` of ours. For servers and trainings.

    python -m factory.guard GRACE FOLDER COMMAND…

A forgotten inference server keeps a whole GPU. So a small process stands between: it holds a pipe to us, and when the
pipe closes it ends the command and every process that the command started. Covered: our end by any signal, the end of
the command with workers left behind, the end of the guard while we live. Not covered: a `kill -9` of both at once, and
a command whose workers move to a process group of their own.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

POLL = 0.2
"""Seconds between two looks at the command."""

GRACE = 10.0
"""Seconds the command has to end by itself after SIGTERM."""


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start `command` under a guard, in a session and a process group of the guard's; its stdin is the pipe."""
    root = Path(__file__).parents[1]  # where `python -m` finds this module; the command works where we work
    guard = [sys.executable, "-m", "factory.guard", str(GRACE), os.getcwd(), *command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, cwd=root,
                                env=dict(environment), start_new_session=True)


def stop(guard: "subprocess.Popen[bytes]") -> None:
    """Let go of the pipe, so that the guard ends the command, and make sure of it. Returns when all are gone."""
    if guard.stdin:
        with contextlib.suppress(OSError):
            guard.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        guard.wait(GRACE + 5)
    with contextlib.suppress(ProcessLookupError):  # the usual case: the guard did it
        os.killpg(guard.pid, signal.SIGKILL)
    guard.wait()


def main(arguments: Sequence[str]) -> None:
    """Run the command in its folder until it ends, stdin closes, or our parent is gone; then give it `GRACE` seconds.

    The command and all its children share this process's group, and whoever ended first, the last act is to kill it.
    """
    if os.getpgrp() != os.getpid():  # run by hand: let it not be our caller's group
        os.setpgid(0, 0)
    # A handler, not SIG_IGN: that would be inherited, and the command could not be asked to end.
    signal.signal(signal.SIGTERM, lambda *_: None)
    parent, grace, folder = os.getppid(), float(arguments[0]), arguments[1]
    command = subprocess.Popen(arguments[2:], cwd=folder, stdin=subprocess.DEVNULL)
    while command.poll() is None and not _is_alone(parent):
        pass
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + grace
    # The others count too: Python's resource tracker ends last, after it has removed their shared memory.
    while (command.poll() is None or _has_company()) and time.monotonic() < deadline:
        time.sleep(POLL / 4)
    os.killpg(0, signal.SIGKILL)


def _has_company() -> bool:
    """Whether a process of our group is left besides us. Needs /proc: without it nobody is waited for."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group = entry.read_text().rpartition(")")[2].split()[:3]
            if int(group) == os.getpgrp() and state not in "ZX" and entry.parent.name != str(os.getpid()):
                return True
    return False


def _is_alone(parent: int) -> bool:
    """Whether the one who started us is gone. Its forked children may hold the pipe open, so the parent counts too."""
    closed, _, _ = select.select([sys.stdin], [], [], POLL)
    return bool(closed) or os.getppid() != parent


if __name__ == "__main__":
    main(sys.argv[1:])
