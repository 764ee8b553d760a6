"""A run: a recipe at work on a lake. Every stage takes one; two runs of one recipe on one lake are the same run."""

import functools
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from factory import plugins
from factory.lake import Lake, now
from factory.protocols import Strategy, Teacher
from factory.recipe import Generate, Plugin, Recipe
from factory.records import canonical, content_id


def make_teacher(spec: Plugin) -> Teacher:
    """The teacher object of a recipe; nothing is started."""
    return plugins.bind("teacher", spec.plugin, spec.params)()  # type: ignore[no-any-return]


def make_strategy(spec: Plugin) -> Strategy:
    return plugins.bind("strategy", spec.plugin, spec.params)


def strategy_key(spec: Plugin) -> str:
    """What a strategy contributes to a trace's id."""
    return canonical({"strategy": spec.plugin, "version": plugins.version("strategy", spec.plugin), **spec.params})


def continued_key(options: Generate) -> str | None:
    """What the strategy and the policy contribute to the id of a trace that goes on from one that was cut off."""
    if not options.truncation.asks_again:
        return None
    asked = json.loads(strategy_key(options.strategy))
    return canonical({**asked, "truncation": options.truncation.model_dump(exclude_none=True)})


@functools.cache
def _teacher_key(spec: str) -> str:
    """Once a process: the identity of a local model is a digest of every byte of it."""
    return canonical(make_teacher(Plugin.model_validate_json(spec)).identity)


@dataclass(frozen=True)
class Run:
    """`id` names it in the lake; `teacher_key` and `strategy_key` are what its traces were asked with.

    The same recipe is another run when its teacher's weights have changed: its traces are others.
    """

    recipe: Recipe
    lake: Lake

    @cached_property
    def id(self) -> str:
        return content_id("run", self.recipe.id, self.teacher_key, self.strategy_key)

    @property
    def teacher_key(self) -> str:
        return _teacher_key(self.recipe.teacher.model_dump_json())

    @cached_property
    def strategy_key(self) -> str:
        return strategy_key(self.recipe.generate.strategy)

    @cached_property
    def continued_key(self) -> str | None:
        return continued_key(self.recipe.generate)

    def register(self) -> None:
        """Note the run in the lake, once, and that it was started, each time."""
        started = now()
        self.lake.append_new("runs", [dict(
            id=self.id, name=self.recipe.name, recipe=self.recipe.json_text(), teacher=self.teacher_key,
            strategy=self.strategy_key, samples=self.recipe.generate.samples, started=started,
            continued=self.continued_key)])
        self.lake.append("starts", [dict(id=content_id("start", self.id, started, os.getpid()), run_id=self.id,
                                         started=started)])

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
