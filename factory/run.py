"""A run: a recipe at work on a lake. Every stage takes one; two runs of one recipe on one lake are the same run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from factory import plugins
from factory.lake import Lake, now
from factory.protocols import Strategy, Teacher
from factory.recipe import Plugin, Recipe
from factory.records import canonical, content_id


def make_teacher(spec: Plugin) -> Teacher:
    """The teacher object of a recipe; nothing is started."""
    return plugins.bind("teacher", spec.plugin, spec.params)()  # type: ignore[no-any-return]


def make_strategy(spec: Plugin) -> Strategy:
    return plugins.bind("strategy", spec.plugin, spec.params)


def strategy_key(spec: Plugin) -> str:
    """What a strategy contributes to a trace's id."""
    return canonical({"strategy": spec.plugin, "version": plugins.version("strategy", spec.plugin), **spec.params})


@dataclass(frozen=True)
class Run:
    """`id` names it in the lake; `teacher_key` and `strategy_key` are what its traces were asked with."""

    recipe: Recipe
    lake: Lake
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.recipe.id

    @cached_property
    def teacher_key(self) -> str:
        return canonical(make_teacher(self.recipe.teacher).identity)

    @cached_property
    def strategy_key(self) -> str:
        return strategy_key(self.recipe.generate.strategy)

    def register(self) -> None:
        """Note the run in the lake, once."""
        self.lake.append_new("runs", [dict(
            id=self.id, name=self.recipe.name, recipe=self.recipe.json_text(), teacher=self.teacher_key,
            strategy=self.strategy_key, samples=self.recipe.generate.samples, started=now())])

    @contextmanager
    def timed(self, stage: str, part: str = "work") -> Iterator[dict[str, int]]:
        """Time a piece of work into `timings`; the body may set `tokens` and `rows`. Nothing done leaves no row."""
        counts: dict[str, int] = {}
        started = time.perf_counter()
        try:
            yield counts
        finally:
            if counts.get("rows"):
                self.note_time(stage, part, time.perf_counter() - started, **counts)

    def note_time(self, stage: str, part: str, seconds: float, tokens: int = 0, rows: int = 0) -> None:
        created = now()
        self.lake.append("timings", [dict(
            id=content_id("timing", self.id, stage, part, created, seconds), run_id=self.id, stage=stage, part=part,
            seconds=seconds, tokens=tokens, rows=rows, created=created)])
