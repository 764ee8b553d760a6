"""Runs a model's program where it can do no harm, and tells what it did; whether that is right is decided outside.

Covered (level T1, and what of it T2 lacks):
- reach: bubblewrap cell as an unprivileged user in namespaces of its own (user, mount, pid, net, ipc, uts, cgroup): the
  system's /usr and our numpy to read, no /etc, no home, no network, an empty environment; seccomp; Landlock; no
  capability;
- neighbours: each program in a pid namespace with a scratch folder of its own (T2: neither), each test a new process;
- amounts: CPU and wall time, memory (a cgroup where one can be written), output, files, inodes, processes;
- forgery: expected outputs never enter; only bytes, exact builtin values and the kernel's account of the process leave;
- the end: what a program started dies with it, a cell dies with this process, however that ends.

Not covered: holes in the kernel itself (it is shared), side channels of the processor, the noise of time. Strangers'
programs in bulk belong on a machine of their own besides. Level "none" (`unsafe_no_sandbox`) covers amounts only.
"""

import atexit
import os
from types import TracebackType
from typing import Self

from verifiers.cell.cell import Cell
from verifiers.cell.compiler import executable, folder
from verifiers.cell.jobs import STRIKES, Call, Executable, Job, Stdin
from verifiers.cell.languages import Program
from verifiers.cell.level import SandboxMissing, describe, start
from verifiers.cell.outcome import Limits, Outcome, Run
from verifiers.cell.talk import Talker
from verifiers.cell.wire import OPAQUE

__all__ = ["OPAQUE", "Call", "Job", "Limits", "Outcome", "Program", "Run", "Sandbox", "SandboxMissing", "Stdin",
           "Talker", "describe", "run_all", "shared"]

class Sandbox:
    """One cell, for one core: started with the first job, replaced when it fails. A context manager, for one thread.

    `level`: T1 (whole), T2 (no private namespaces for each job), none (limits only). SandboxMissing when there is no
    isolation and `unsafe_no_sandbox` is not set.
    """

    def __init__(self, *, unsafe_no_sandbox: bool | None = None, preload: tuple[str, ...] = ()) -> None:
        """`unsafe_no_sandbox` None: as COT_UNSAFE_NO_SANDBOX=1 says. `preload`: modules, besides the common ones."""
        wanted = os.environ.get("COT_UNSAFE_NO_SANDBOX") == "1"
        self._unsafe = wanted if unsafe_no_sandbox is None else unsafe_no_sandbox
        self._preload = preload
        self._cell: Cell | None = None
        self._strikes: dict[Executable | Run, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @property
    def level(self) -> str:
        return self._ready().level

    def job(self, program: Program, limits: Limits) -> Job:
        """A context in which `run` runs one test of the program after the other, each in a process of its own.

        It is compiled here, if its language is. Unknown, a ValueError, for a language that is not in the table.
        """
        return self._job(executable(program, self._job), limits)

    def _job(self, made: Executable | Run, limits: Limits) -> Job:
        return Job(self._ready, lambda: self._lost(made), made, limits, lambda: self._strikes.get(made, 0) >= STRIKES)

    def close(self) -> None:
        """End the cell with everything in it; the next job starts another."""
        if self._cell:
            self._cell.end()
            self._cell = None

    def _ready(self) -> Cell:
        if self._cell and not self._cell.busy and self._cell.is_worn():
            self.close()
        if self._cell is None:
            self._cell = start(self._unsafe, str(folder("headers") or ""), self._preload)
        return self._cell

    def _lost(self, program: Executable | Run) -> None:
        self._strikes[program] = self._strikes.get(program, 0) + 1
        if self._cell:
            self._cell.kill()
            self._cell = None


def run_all(program: Program, tests: list[Stdin | Call], limits: Limits, sandbox: Sandbox | None = None) -> list[Run]:
    """One run for each test, in a sandbox given or the shared one of this process."""
    with (sandbox or shared()).job(program, limits) as job:
        return [job.run(test) for test in tests]


_shared: dict[str, Sandbox] = {}


def shared(role: str = "program") -> Sandbox:
    """The sandbox of this process for `role`, made once and ended with it. A forked child gets its own.

    Those for "tests" have `unittest` imported already.
    """
    key = f"{os.getpid()} {role}"
    if key not in _shared:
        _shared[key] = made = Sandbox(preload=("unittest",) if role.startswith("tests") else ())
        atexit.register(made.close)
    return _shared[key]
