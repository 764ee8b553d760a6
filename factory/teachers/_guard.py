"""A child process that cannot outlive us, not even a `kill -9` of ours. Not a plugin: `vllm_server` starts with it.

    python -m factory.teachers._guard FOLDER COMMAND…

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
from collections.abc import Mapping, Sequence
from pathlib import Path

POLL = 0.2
"""Seconds between two looks at the command."""

GRACE = 10.0
"""Seconds the command has to end by itself after SIGTERM."""


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start `command` under a guard, in a session and a process group of the guard's; its stdin is the pipe."""
    root = Path(__file__).parents[2]  # where `python -m` finds this module; the command works where we work
    guard = [sys.executable, "-m", "factory.teachers._guard", os.getcwd(), *command]
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
    """Run `arguments[1:]` in the folder `arguments[0]` until it ends, stdin closes, or our parent is gone.

    The command and all its children share this process's group, and the last act, whoever ended first, is to kill it.
    """
    if os.getpgrp() != os.getpid():  # run by hand: let it not be our caller's group
        os.setpgid(0, 0)
    # A handler, not SIG_IGN: that would be inherited, and the command could not be asked to end.
    signal.signal(signal.SIGTERM, lambda *_: None)
    parent = os.getppid()
    command = subprocess.Popen(arguments[1:], cwd=arguments[0], stdin=subprocess.DEVNULL)
    while command.poll() is None and not _is_alone(parent):
        pass
    if command.poll() is None:
        os.killpg(0, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(GRACE)
    os.killpg(0, signal.SIGKILL)


def _is_alone(parent: int) -> bool:
    """Whether the one who started us is gone. Its forked children may hold the pipe open, so the parent counts too."""
    closed, _, _ = select.select([sys.stdin], [], [], POLL)
    return bool(closed) or os.getppid() != parent


if __name__ == "__main__":
    main(sys.argv[1:])
