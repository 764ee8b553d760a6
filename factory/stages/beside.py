"""Verification beside generation: finished traces are judged while others are still being written.

The rows are those that the verify stage would make, planted answers for the audit included; what cannot be kept up
with is left to that stage, unless the plan waits for it (`generate.adaptive`).
"""

import asyncio
import contextlib
import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from factory.records import Problem, content_id
from factory.run import Run
from factory.stages import audit, verify
from factory.stages.audit import Planted
from verifiers.pool import Case, Pool
from verifiers.verdict import Verdict

BATCH = 32
"""So many traces, at most, are given to a process at a time."""

BACKLOG = 4096
"""So many finished traces may wait; further ones are left to the verify stage."""

HELD = 32
"""So many of the newest traces are kept for the end, so that the last planted answers are judged among traces too."""


@dataclass(frozen=True)
class Answer:
    """A trace to be judged."""

    trace_id: str
    problem: Problem
    response: str
    digest: str

    @property
    def row(self) -> dict[str, Any]:
        """As the verify stage reads it from the lake."""
        return dict(id=self.trace_id, response=self.response, reference=self.problem.reference,
                    verifier=self.problem.verifier, domain=self.problem.domain)


Heard = Callable[[Answer, Verdict], None]


class Beside:
    """`verify.workers` threads with a pool of one process each; `heard` is told every verdict, in the event loop."""

    def __init__(self, run: Run, heard: Heard, must_keep_up: bool) -> None:
        self.run, self.heard, self.must_keep_up = run, heard, must_keep_up
        self.broken: BaseException | None = None
        self._queue: queue.SimpleQueue[Answer | Planted | None] = queue.SimpleQueue()
        self._held: deque[Answer] = deque()
        self._window: list[dict[str, Any]] = []
        self._planted: dict[int, tuple[str, int, list[tuple[Planted, Verdict]]]] = {}
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._writing, self._stopped = threading.Lock(), False
        self._working = run.recipe.verify.workers
        for _ in range(self._working):  # daemons: an interrupted run does not wait for a verifier that hangs
            threading.Thread(target=self._work, name="verify", daemon=True).start()

    def put(self, answer: Answer) -> None:
        """Have it judged, or leave it to the verify stage when too many wait."""
        if answer.problem.verifier == "majority" or not (self.must_keep_up or self._queue.qsize() < BACKLOG):
            return
        self._window.append({**answer.row, "response": ""})
        if len(self._window) >= self.run.recipe.tasks.shard:
            self._plant([])
        self._held.append(answer)
        if self.must_keep_up or len(self._held) > HELD:
            self._queue.put(self._held.popleft())

    async def finish(self) -> None:
        """Judge what waits, with the rest of the planted answers. Raises what broke the verification."""
        self._plant([*self._held])
        for _ in range(self.run.recipe.verify.workers):
            self._queue.put(None)
        await self._ended.wait()
        if self.broken:
            raise self.broken

    def stop(self) -> None:
        """Nothing more is written from now on; what waits is left to the verify stage."""
        with self._writing:
            self._stopped = True
        for _ in range(self.run.recipe.verify.workers):
            self._queue.put(None)

    # -- in the threads ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        limits, fault = self.run.recipe.verify, None
        try:
            with Pool(workers=1, timeout=limits.timeout, memory_mb=limits.memory_mb) as pool:
                while (batch := self._batch()) and not self._stopped:
                    judged = [(item, next(pool.map([_case(item)]))) for item in batch if not self._stopped]
                    self._keep(judged)
                    self._tell(self._hear, judged)
        except BaseException as error:
            fault = error
        self._tell(self._end, fault)

    def _batch(self) -> list[Answer | Planted]:
        """What waits, shared among the threads; empty at the end."""
        size = min(BATCH, 1 + self._queue.qsize() // self.run.recipe.verify.workers)
        first = self._queue.get()
        found = [first] if first else []
        with contextlib.suppress(queue.Empty):
            while found and len(found) < size:
                if (item := self._queue.get_nowait()) is None:
                    self._queue.put(None)  # the sign to end, for the next call
                    break
                found.append(item)
        return found

    def _keep(self, judged: Sequence[tuple[Answer | Planted, Verdict]]) -> None:
        rows = [verify.row(item.row, verdict) for item, verdict in judged if isinstance(item, Answer)]
        with self._writing:
            if rows and not self._stopped:
                self.run.lake.journal("verdicts", rows)

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the run was interrupted, and its event loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    # -- in the event loop -------------------------------------------------------------------------------------------

    def _hear(self, judged: Sequence[tuple[Answer | Planted, Verdict]]) -> None:
        for item, verdict in judged if not self._stopped else ():
            if isinstance(item, Planted):
                self._audit(item, verdict)
            else:
                self.heard(item, verdict)

    def _end(self, fault: BaseException | None) -> None:
        self.broken = self.broken or fault
        self._working -= 1
        if self.broken or not self._working:
            self._ended.set()

    # -- the audit ---------------------------------------------------------------------------------------------------

    def _plant(self, among: Sequence[Answer]) -> None:
        """Planted answers for the traces since the last ones, `among` those that are judged next."""
        batch = content_id("batch", sorted(row["id"] for row in self._window))
        rng = random.Random(batch)
        items = audit.plant(self._window, self.run.recipe.audit.share, rng)
        self._window = []
        judged: list[tuple[Planted, Verdict]] = []
        self._planted |= {id(item): (batch, len(items), judged) for item in items}
        mixed: list[Answer | Planted] = [*items, *among]
        rng.shuffle(mixed)
        for item in mixed:
            self._queue.put(item)

    def _audit(self, item: Planted, verdict: Verdict) -> None:
        batch, size, judged = self._planted.pop(id(item))
        judged.append((item, verdict))
        if len(judged) == size:
            self.run.lake.journal("audits", audit.outcome(self.run.id, batch, judged))


def _case(item: Answer | Planted) -> Case:
    return verify.case(item if isinstance(item, Planted) else item.row)
