"""Which sample is asked next. Without `generate.adaptive` that is every sample that the lake lacks, in the order of the
problems' hashes; with it, each problem is asked until enough distinct right traces are there or more is hopeless.

A problem goes on while its pass rate may lie between `low` and `high`: it is given up when a Beta(1/2, 1/2) prior
(Jeffreys) with the judged samples puts the rate below `low`, or above `high`, with the recipe's certainty. The first
`always` samples are wanted in any case. As many of its samples are in flight as could still be needed if all were
right; only when nothing else is left to ask, as many as it takes at its pass rate, and those that are no longer needed
are called off.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from factory.recipe import Adaptive
from factory.records import Problem


@dataclass
class Asked:
    """A problem with the numbers of its samples: `todo` lack a trace, `flying` are being asked; `unjudged` of those
    with a trace wait for their verdict; `right` are the digests of distinct right ones; `waiting` are the traces (id,
    digest, response) that the lake has without a verdict.
    """

    problem: Problem
    todo: deque[int]
    flying: set[int] = field(default_factory=set)
    unjudged: int = 0
    judged: int = 0
    passed: int = 0
    right: set[str] = field(default_factory=set)
    done: bool = False
    """Is nothing more wanted of it, whatever is in flight?"""
    queued: bool = False
    waiting: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, status: str, digest: str) -> None:
        """A verdict about one of its traces; what is undecided says nothing about the pass rate."""
        self.judged += status in ("correct", "wrong")
        self.passed += status == "correct"
        if status == "correct":
            self.right.add(digest)

    def settled(self, rule: Adaptive | None) -> bool:
        """What `done` should be."""
        if rule is None or self.problem.verifier == "majority":  # a vote judges, when all are there
            return False
        if any(sample < rule.always for sample in (*self.todo, *self.flying)):
            return False
        return len(self.right) >= rule.correct or (self.judged >= rule.least and self._outside(rule))

    def _outside(self, rule: Adaptive) -> bool:
        below = beta_cdf(rule.low, self.passed + 0.5, self.judged - self.passed + 0.5)
        above = 1 - beta_cdf(rule.high, self.passed + 0.5, self.judged - self.passed + 0.5)
        return below >= rule.certainty or above >= rule.certainty

    def wants(self, rule: Adaptive | None, tail: bool = False) -> int:
        """How many samples should be asked beside those in flight; in the `tail` as many as its pass rate calls for."""
        if rule is None or self.problem.verifier == "majority":
            return len(self.todo)
        if self.done:
            return 0
        missing = float(rule.correct - len(self.right))
        if tail and self.judged and not self.unjudged:  # what waits for a verdict is no reason to buy more
            missing /= (self.passed + 0.5) / (self.judged + 1)
        needed = min(len(self.todo), math.ceil(missing) - len(self.flying) - self.unjudged)
        return max(needed, sum(sample < rule.always for sample in self.todo))


class Plan:
    """Hands out samples. Of the problems only those with something in flight or unjudged are kept in memory."""

    def __init__(self, rule: Adaptive | None) -> None:
        self.rule = rule
        self.fresh: deque[Asked] = deque()
        self.complete = False
        """Has every problem been added?"""
        self.open: dict[str, Asked] = {}
        self._ready: deque[Asked] = deque()

    def add(self, problems: Sequence[Asked]) -> None:
        """Further problems. Those with traces that wait for a verdict are open at once."""
        for asked in problems:
            asked.done = asked.settled(self.rule)
            asked.unjudged = len(asked.waiting)
            if asked.unjudged:
                self.open[asked.problem.id] = asked
                self._queue(asked)
            elif not asked.done:
                self.fresh.append(asked)

    def next(self) -> tuple[Problem, int] | None:
        """The next sample to ask; None: nothing now (`add` more, or wait for what is in flight)."""
        while self._ready:
            asked = self._ready[0]
            if asked.wants(self.rule):
                return self._take(asked)
            self._ready.popleft().queued = False
        if self.fresh:
            asked = self.fresh.popleft()
            self.open[asked.problem.id] = asked
            self._queue(asked)
            return self.next()
        return self._speculate() if self.complete and self.rule else None

    def _speculate(self) -> tuple[Problem, int] | None:
        best = max(self.open.values(), key=lambda asked: asked.wants(self.rule, tail=True), default=None)
        return self._take(best) if best and best.wants(self.rule, tail=True) else None

    def _take(self, asked: Asked) -> tuple[Problem, int]:
        sample = asked.todo.popleft()
        asked.flying.add(sample)
        return asked.problem, sample

    def landed(self, problem_id: str, sample: int, unjudged: bool) -> None:
        """A sample has ended; `unjudged`: it is a trace whose verdict will come (`judged`)."""
        asked = self.open[problem_id]
        asked.flying.discard(sample)
        asked.unjudged += unjudged
        self._look(asked)

    def judged(self, problem_id: str, status: str, digest: str) -> Sequence[int]:
        """A verdict has come; returns the samples in flight that are no longer needed."""
        asked = self.open[problem_id]
        asked.unjudged -= 1
        asked.note(status, digest)
        asked.done = asked.settled(self.rule)
        flying = sorted(asked.flying) if asked.done else []
        self._look(asked)
        return flying

    def _queue(self, asked: Asked) -> None:
        if not asked.queued:
            asked.queued = True
            self._ready.append(asked)

    def _look(self, asked: Asked) -> None:
        """Ask more of it, keep it, or forget it."""
        if asked.wants(self.rule):
            self._queue(asked)
        elif not asked.flying and not asked.unjudged and (asked.done or not asked.todo):
            self.open.pop(asked.problem.id, None)

    @property
    def empty(self) -> bool:
        """Nothing to ask now or later."""
        return self.complete and not self.fresh and not self.open


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz; Abramowitz & Stegun 26.5.8)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1 / max(1e-300, 1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 300):
        for numerator in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                          -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 / (1 + numerator * d or 1e-300)
            c = 1 + numerator / c or 1e-300
            value *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * value
