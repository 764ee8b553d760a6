"""Any verifier in worker processes that can be killed: a bad case costs one `undecided`, no run.

    with Pool(workers=4, timeout=5.0) as pool:
        for verdict in pool.map([Case("math_equal", response, reference)]): ...

The workers are `subprocess` children that speak JSON lines over pipes, not `multiprocessing` forks,
and the parent is a plain event loop, without threads or signals, in whoever iterates. So it works
in any thread, inside asyncio, under pytest, in a Prefect task and in a daemonic process.

Each worker holds a few cases at a time. When it hangs or dies, the case it was at is `undecided`
with the reason, and those behind it go to another worker. The limit starts when a case does:
starting the worker and importing the verifier do not count. A verifier whose cases have limits of
their own says with `time_needed(reference)` how many seconds one may take, and gets them. While
nobody iterates nobody is killed, so a hanging case lasts until the next `next()`; memory stays
limited all the time, and the kernel ends every worker when this process ends, however it ends.
Linux only.
"""

import selectors
import time
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from verifiers.lookup import load, version
from verifiers.process import Case, Job, WorkerProcess
from verifiers.verdict import Verdict

__all__ = ["Case", "Pool", "load", "verify_many", "version"]

AHEAD = 256  # cases taken per worker beyond the oldest unanswered one: memory stays flat
FILL_SECONDS = 0.005  # a slow source must not keep finished verdicts waiting


def verify_many(
    cases: Iterable[Case], workers: int = 2, timeout: float = 5.0, memory_mb: int = 2048
) -> Iterator[Verdict]:
    """`Pool.map` with a pool of its own: verdicts in the order of the cases, as they come."""
    with Pool(workers, timeout, memory_mb) as pool:
        yield from pool.map(cases)


class Pool:
    """`workers` processes, each case limited to `timeout` seconds and `memory_mb` MiB of addresses.

    The processes start with the first cases and stay for the next `map`, until the `with` ends.
    """

    def __init__(self, workers: int, timeout: float = 5.0, memory_mb: int = 2048) -> None:
        if workers < 1 or timeout <= 0:
            raise ValueError(f"workers={workers} and timeout={timeout} must be positive")
        self._size, self._timeout, self._memory_mb = workers, timeout, memory_mb
        self._workers: list[WorkerProcess] = []
        self._selector = selectors.DefaultSelector()
        self._mapping = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in list(self._workers):
            self._end(worker)
        self._selector.close()

    def map(self, cases: Iterable[Case]) -> Iterator[Verdict]:
        """One verdict per case, in order, while `cases` is still being read (it may be endless).

        A misspelt verifier or one that cannot be imported is `undecided`, with the sentence that
        says what to do: a bad row does not stop a run. RuntimeError when a worker cannot start, or
        when this pool is already in the middle of a map.
        """
        if self._mapping:
            raise RuntimeError("This pool is in the middle of a map; use one pool for each stream.")
        self._mapping = True
        stream = _Stream(iter(cases), AHEAD * self._size)
        try:
            while not stream.finished():
                yield from stream.in_order()
                starving = self._feed(stream)
                self._collect(stream, wait=not starving)
        finally:
            self._mapping = False
            for worker in [w for w in self._workers if w.queue]:
                self._end(worker)  # the map was abandoned; its answers must not reach the next

    def _feed(self, stream: "_Stream") -> bool:
        """Give the workers what they can hold; True when they could hold more, but time was up."""
        end = time.monotonic() + FILL_SECONDS
        while stream.has_more() and (worker := self._ready()):
            if job := stream.next_job():
                worker.give(job)
            if time.monotonic() > end:
                return True
        return False

    def _ready(self) -> WorkerProcess | None:
        """The worker with the fewest cases that wants more; a new one while there is room."""
        best = min(self._workers, key=lambda worker: len(worker.queue), default=None)
        if best and not best.queue and best.is_dead():
            self._end(best)  # between two cases; the next one must not be blamed for it
            return self._ready()
        if (best is None or best.queue) and len(self._workers) < self._size:
            return self._start()
        return best if best and len(best.queue) < best.depth() else None

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self._timeout, self._memory_mb)
        self._workers.append(worker)
        self._selector.register(worker.replies, selectors.EVENT_READ, worker)
        return worker

    def _end(self, worker: WorkerProcess) -> None:
        self._workers.remove(worker)
        self._selector.unregister(worker.replies)
        worker.kill()

    def _collect(self, stream: "_Stream", wait: bool) -> None:
        """Send what is to be sent, take what was answered, and bury whoever hangs or died."""
        busy = [worker for worker in self._workers if worker.queue]
        for worker in busy:
            worker.send()
        seconds = min((worker.patience() for worker in busy), default=0.0) if wait else 0.0
        for key, _ in self._selector.select(seconds):
            key.data.read(stream.done)
        # Only now: whoever has answered in the meantime has a new deadline.
        for worker in list(self._workers):
            late = bool(worker.queue) and worker.is_late()
            if late or worker.ended:
                self._bury(worker, late, stream)

    def _bury(self, worker: WorkerProcess, late: bool, stream: "_Stream") -> None:
        """The case a dead worker was at is undecided; those behind it are innocent."""
        self._end(worker)
        worker.take_answers(stream.done)  # those it wrote before the kill reached it
        if not worker.queue:
            return
        reason = worker.cause_of_death(late)
        if not worker.greeted:
            raise RuntimeError(f"A worker process cannot start: {reason}")
        serial, _ = worker.queue.popleft()
        seconds = worker.limit() if late else 0.0
        stream.done[serial] = Verdict("undecided", reason=reason, seconds=seconds)
        stream.again.extend(worker.queue)


class _Stream:
    """One map's bookkeeping: what is still to be read, to be done again, and to be handed out."""

    def __init__(self, source: Iterator[Case], ahead: int) -> None:
        self.done: dict[int, Verdict] = {}  # by the number of the case
        self.again: deque[Job] = deque()
        self._source, self._ahead = source, ahead
        self._read = self._handed_out = 0
        self._exhausted = False

    def finished(self) -> bool:
        return self._exhausted and self._handed_out == self._read

    def has_more(self) -> bool:
        room = self._read - self._handed_out < self._ahead
        return bool(self.again) or (room and not self._exhausted)

    def next_job(self) -> Job | None:
        if self.again:
            return self.again.popleft()
        case = next(self._source, None)
        if case is None:
            self._exhausted = True
            return None
        self._read += 1
        return self._read - 1, case

    def in_order(self) -> Iterator[Verdict]:
        while self._handed_out in self.done:
            self._handed_out += 1
            yield self.done.pop(self._handed_out - 1)
