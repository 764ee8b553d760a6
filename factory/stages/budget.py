"""What generation may cost, and what it has cost: when a limit is reached nothing more is asked, and what is in flight
is finished. Tokens, dollars and GPU hours are those of the whole run, seconds those of one start.
"""

import datetime
import sys
import time
from collections.abc import Mapping
from typing import Any

from factory.lake import now
from factory.prices import Price, Usage, price_of
from factory.protocols import Exhausted, Teacher, UserError
from factory.recipe import Budget, PriceSpec, Recipe
from factory.run import continued_key
from factory.stages.owed import HAVE, MEMBERS, Job

UNKNOWN = 8
"""So many samples are in flight under a budget while nobody knows yet what one of them takes."""

NOTED = 300.0
"""Seconds after which GPU time is noted, so that a run that is killed has it in its budget all the same."""


class Meter:
    """Counts what one start of a run spends on top of what the lake has of it. A clock that jumps changes nothing."""

    def __init__(self, job: Job) -> None:
        self.run, self.part = job.run, job.part
        recipe = job.run.recipe
        bought = job.part == "train"  # an evaluation has neither a price nor a limit
        self.limits = recipe.budget if bought else Budget()  # type: ignore[call-arg]
        self.price = _price(job) if bought else None
        self.gpus = gpus(recipe.price if bought else PriceSpec(), job.teacher)  # type: ignore[call-arg]
        if bought:
            check(recipe, job.teacher)
        before = _before(job)
        self.tokens: int = before["tokens"]
        self.usd: float = before["usd"]
        self._gpu_seconds: float = before["gpu_seconds"]
        self._samples: int = before["samples"]
        self.started = self._noted = self._charged = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of this start."""
        return time.monotonic() - self.started

    @property
    def gpu_hours(self) -> float:
        """Of the whole run."""
        return (self._gpu_seconds + self.gpus * (time.monotonic() - self._noted)) / 3600

    def cost(self, usage: Usage) -> float:
        """US dollars for tokens."""
        return self.price.of(usage) if self.price else 0.0

    def gpu_cost(self) -> float:
        """US dollars for the GPU time since the last call, to be shared by the samples that finished in it."""
        since, self._charged = self._charged, time.monotonic()
        hour = self.price.gpu_hour if self.price else 0.0
        return hour * self.gpus * (self._charged - since) / 3600

    def spend(self, usage: Usage, usd: float) -> None:
        """A sample has ended, with or without a trace."""
        self._samples += 1
        self.tokens += usage.completion
        self.usd += usd

    def admits(self, in_flight: int) -> bool:
        """May one more sample be asked, when those in flight take what samples took so far?"""
        limits = self.limits
        if limits.max_tokens is None and limits.max_usd is None:
            return not self.reached()
        if not self._samples:
            return in_flight < UNKNOWN and not self.reached()
        expected = 1 + in_flight / self._samples
        return (not self.reached()
                and expected * self.tokens < (limits.max_tokens or float("inf"))
                and expected * self.usd < (limits.max_usd or float("inf")))

    def reached(self) -> str:
        """The limit that is reached, in words; empty while there is none."""
        spent = {"max_tokens": self.tokens, "max_usd": self.usd, "max_gpu_hours": self.gpu_hours,
                 "max_seconds": self.seconds}
        for name, value in spent.items():
            limit = getattr(self.limits, name)
            if limit is not None and value >= limit:
                return f"budget.{name} = {limit:g} is reached ({value:,.{0 if name == 'max_tokens' else 2}f})"
        return ""

    def exhausted(self) -> Exhausted:
        """The sentence that ends a run on a budget."""
        return Exhausted(f"{self.reached()}: nothing more was asked, and what was bought is kept, judged and in the "
                         "datasets; raise the budget and run the same command again to go on")

    def note_gpus(self, at_once: bool = False) -> None:
        """Put the GPU time into `timings`, now and then."""
        since = time.monotonic() - self._noted
        if self.gpus and self.part == "train" and (at_once or since > NOTED):
            self.run.note_time("generate", "GPU time", self.gpus * since, rows=self.gpus)
            self._gpu_seconds += self.gpus * since
            self._noted += since


def _price(job: Job) -> Price | None:
    identity = job.teacher.identity
    found = price_of(job.run.recipe.price, identity)
    warning = found.warning(str(identity.get("model")), datetime.date.fromisoformat(now()[:10])) if found else ""
    if warning:
        print(warning, file=sys.stderr)
    return found


def gpus(price: PriceSpec, teacher: Teacher) -> int:
    """How many GPUs the teacher has: the recipe's word, else its own."""
    known: int = getattr(teacher, "gpus", 0)
    return known if price.gpus is None else price.gpus


def check(recipe: Recipe, teacher: Teacher) -> None:
    """Raise UserError for a limit that cannot be measured with this teacher."""
    if recipe.budget.max_usd is not None and price_of(recipe.price, teacher.identity) is None:
        raise UserError("budget.max_usd needs a price, and none is known for this teacher: set price.input and "
                        "price.output (US dollars per million tokens), or price.gpu_hour with price.gpus")
    if recipe.budget.max_gpu_hours is not None and not gpus(recipe.price, teacher):
        raise UserError("budget.max_gpu_hours needs to know how many GPUs the teacher has: set price.gpus in the "
                        "recipe")


def _before(job: Job) -> Mapping[str, Any]:
    """What the run has spent up to now: on its traces, on its failures, and on its GPUs."""
    samples, tokens, usd, gpu_seconds = job.query(f"""
        WITH bought AS (
            SELECT coalesce(spent, completion_tokens) AS tokens, cost FROM ({HAVE}) WHERE problem_id IN ({MEMBERS})
            UNION ALL
            SELECT coalesce(t.spent, t.completion_tokens - h.completion_tokens), t.cost
            FROM traces t JOIN ({HAVE}) h ON h.id = t.parent
            WHERE t.strategy = $continued AND t.problem_id IN ({MEMBERS})
            UNION ALL
            SELECT tokens, cost FROM failures WHERE teacher = $teacher AND problem_id IN ({MEMBERS}))
        SELECT count(*), coalesce(sum(tokens), 0)::BIGINT, coalesce(sum(cost), 0)::DOUBLE,
               (SELECT coalesce(sum(seconds), 0) FROM timings WHERE run_id = $run AND part = 'GPU time')
        FROM bought""", continued=continued_key(job.options))[0]
    return dict(samples=samples, tokens=tokens, usd=usd, gpu_seconds=gpu_seconds)
