"""Journals what is finished: everything that waits is one group with one fdatasync, and only what is durable is judged.

What is bought is never held back; the asking pauses while too much waits for a slow disk.
"""

import asyncio
import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from factory.lake import Lake
from factory.stages.beside import Answer
from factory.stages.budget import Meter

BACKLOG = 4096
"""So many finished rows may wait for a slow disk before the asking pauses."""

WIDEST = 8
"""Bytes on the disk for a character at most, and as much again for what is still in flight: so many characters may wait
as the reserve of a full disk takes."""


@dataclass(frozen=True)
class Finished:
    """A sample that has ended: its row of `traces` or `failures`, with what hangs on it."""

    table: str
    row: dict[str, Any]
    steps: list[dict[str, Any]]
    answer: Answer | None = None
    tokens: int = 0
    """Written for it, by the replies' own counts; of a continuation without what it goes on from."""

    @functools.cached_property
    def characters(self) -> int:
        return sum(len(text) for row in (self.row, *self.steps) for text in row.values() if isinstance(text, str))


class Writer:
    """One for a job; `wrote` is told of each group when it is on the disk."""

    def __init__(self, lake: Lake, meter: Meter, wrote: Callable[[Sequence[Finished]], None]) -> None:
        self.lake, self.meter, self.wrote = lake, meter, wrote
        self._queue: asyncio.Queue[Finished | None] = asyncio.Queue()
        self._waiting = 0  # characters

    def put(self, done: Finished) -> None:
        self._waiting += done.characters
        self._queue.put_nowait(done)

    @property
    def has_room(self) -> bool:
        """Whether more may be asked: what waits would still find a place if the disk were full now."""
        return self._queue.qsize() < BACKLOG and self._waiting * WIDEST <= (self.lake.reserved or math.inf)

    async def work(self) -> None:
        """Write until `close`. Raises OSError when the disk refuses, with what it could save saved."""
        ending = False
        while not ending:
            group = [await self._queue.get(), *self._all()]
            ending = None in group
            done = [item for item in group if item]
            self._share_gpu_cost(done)
            await asyncio.to_thread(_journal, self.lake, done)
            self._waiting -= sum(item.characters for item in done)
            self.wrote(done)

    def close(self) -> None:
        self._queue.put_nowait(None)

    def keep_rest(self) -> None:
        """Write what `work` left behind when it broke or was interrupted; what stopped it is what will be told."""
        if rest := [item for item in self._all() if item]:
            with contextlib.suppress(OSError):
                _journal(self.lake, rest)

    def _all(self) -> list[Finished | None]:
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    def _share_gpu_cost(self, done: Sequence[Finished]) -> None:
        """What the GPUs cost since the last group, by tokens."""
        traces = [item.row for item in done if item.table == "traces"]
        tokens = sum(row["completion_tokens"] or 1 for row in traces)
        spent = self.meter.gpu_cost() if traces else 0.0
        for row in traces:
            row["cost"] += spent * (row["completion_tokens"] or 1) / tokens
        self.meter.usd += spent


def _journal(lake: Lake, done: Sequence[Finished]) -> None:
    """Steps before their traces: a trace that is there has all its steps. Raises the last OSError, after all tables."""
    fault: OSError | None = None
    rows: dict[str, list[dict[str, Any]]] = {
        "steps": [step for item in done for step in item.steps],
        "traces": [item.row for item in done if item.table == "traces"],
        "failures": [item.row for item in done if item.table == "failures"]}
    for table in filter(rows.get, rows):
        try:
            lake.journal(table, rows[table])
        except OSError as error:
            fault = error
    if fault:
        raise fault
