"""Many programs, each on its own tests, in several sandboxes side by side: what they did, in order, as it comes.

    with SandboxPool(workers=2) as pool:
        for runs in pool.run([Work(Program("python", code), [Stdin(b"1 2")])]):
            print(runs[0].outcome, runs[0].stdout)

A sandbox belongs to one thread, which lives as long as the pool: a cell dies with the thread that started it.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import NamedTuple, Self

from verifiers.sandbox import Call, Limits, Program, Run, Sandbox, Stdin

AHEAD = 8  # programs taken per sandbox beyond the oldest that is not done
TIMEOUTS = 2  # after so many a program is taken to hang on whatever is left


class Work(NamedTuple):
    """One program, and what it is to be run on."""

    program: Program
    tests: Sequence[Stdin | Call]
    limits: Limits = Limits()


class SandboxPool:
    """`workers` sandboxes, each started with its first program, all ended with the `with`.

    `unsafe_no_sandbox` as for `Sandbox`: what is made of such runs must say so, or be of no consequence.
    """

    def __init__(self, workers: int = 2, *, unsafe_no_sandbox: bool | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers} must be positive")
        self._workers, self._unsafe = workers, unsafe_no_sandbox
        self._sandboxes, self._adding, self._own = ExitStack(), threading.Lock(), threading.local()

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(self._workers)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._sandboxes.close()

    def run(self, work: Iterable[Work]) -> Iterator[list[Run]]:
        """One list of runs for each item, while `work` is being read. After TIMEOUTS of a program the rest are copies.

        SandboxMissing where there is no isolation.
        """
        source = iter(work)
        waiting: deque[Future[list[Run]]] = deque()
        while True:
            room = AHEAD * self._workers - len(waiting)
            waiting.extend(self._threads.submit(self._one, item) for item in islice(source, room))
            if not waiting:
                return
            yield waiting.popleft().result()

    def _one(self, item: Work) -> list[Run]:
        if not hasattr(self._own, "sandbox"):
            made = Sandbox(unsafe_no_sandbox=self._unsafe)
            with self._adding:
                self._own.sandbox = self._sandboxes.enter_context(made)
        runs: list[Run] = []
        try:
            with self._own.sandbox.job(item.program, item.limits) as job:
                for test in item.tests:
                    late = [run for run in runs if run.outcome == "timeout"]
                    runs.append(late[-1] if len(late) >= TIMEOUTS else job.run(test))
        except ValueError as error:  # a language that nobody knows, arguments that are no plain data
            return [Run("sandbox_error", reason=str(error))] * len(item.tests)
        return runs
