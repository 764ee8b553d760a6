"""May a student become the best one, the teacher of the next round? From figures alone: nothing is asked here.

It has to be significantly better than the best so far on the development problems, in pairs (`factory.metrics.paired`),
significantly worse on no other set, and must not have lost the variety of its right answers: a model that writes one
solution only has nothing left to select from (expert iteration's collapse).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from factory.metrics import Paired, paired

DEV, FORMAT = "dev", "format"


@dataclass(frozen=True)
class Scores:
    """What a model did on one set: `right` and `readable` [problems] are shares of samples, those that were right and
    those that ended with an answer that could be read. `distinct` is the mean number of different right texts a
    problem; `diversity` the chance that two right texts of one problem differ, None where none has two.
    """

    right: np.ndarray
    readable: np.ndarray
    distinct: float = 0.0
    diversity: float | None = None
    tokens: int = 0


@dataclass(frozen=True)
class Compared:
    """One set, a model against the best so far: mean scores of both and the paired difference."""

    name: str
    problems: int
    score: float
    before: float
    change: Paired

    @property
    def worse(self) -> bool:
        return self.change.significant and self.change.gain < 0

    def __str__(self) -> str:
        low, high = 100 * self.change.low, 100 * self.change.high
        return (f"{100 * self.change.gain:+.1f} points [{low:+.1f}, {high:+.1f}] on '{self.name}' "
                f"({self.problems:,} problems)")


@dataclass(frozen=True)
class Decision:
    """`promoted`, the `reason` in words, `kind` of a refusal (regression, diversity, no gain), and what it rests on."""

    promoted: bool
    kind: str
    reason: str
    dev: Compared
    panel: Sequence[Compared]


def decide(mine: Mapping[str, Scores], best: Mapping[str, Scores], least: float) -> Decision:
    """Both by the name of the set, `DEV` among them; `least` is the share of the best one's diversity to be left."""
    dev = _compared(DEV, mine[DEV].right, best[DEV].right)
    panel = [_compared(FORMAT, mine[DEV].readable, best[DEV].readable),
             *(_compared(name, mine[name].right, best[name].right) for name in mine if name != DEV)]
    kind, reason = _refusal(dev, panel, mine[DEV].diversity, best[DEV].diversity, least)
    return Decision(not kind, kind, reason or f"promoted: {dev}", dev, panel)


def _compared(name: str, mine: np.ndarray, best: np.ndarray) -> Compared:
    return Compared(name, len(mine), float(mine.mean()), float(best.mean()), paired(mine, best))


def _refusal(dev: Compared, panel: Sequence[Compared], mine: float | None, best: float | None, least: float
             ) -> tuple[str, str]:
    """The kind and the reason of a refusal; two empty texts: none."""
    worse = [str(one) for one in (dev, *panel) if one.worse]
    if worse:
        return "regression", f"refused, it got worse: {'; '.join(worse)}"
    if mine is not None and best is not None and mine < least * best:
        return "diversity", (f"refused, its right answers have become alike: two of a problem differ in {mine:.0%} of "
                             f"cases, before in {best:.0%}")
    if not dev.change.significant:
        return "no gain", f"refused, no significant gain: {dev}, p = {dev.change.p:.2g}"
    return "", ""


def diversity(texts: Sequence[Sequence[str]]) -> tuple[float, float | None]:
    """`distinct` and `diversity` of `Scores`, of the right texts (or their digests) of each problem.

    The second is Simpson's index without replacement (Simpson 1949): it does not grow with the number of right ones.
    """
    counts = [np.unique(list(right), return_counts=True)[1] for right in texts]
    several = [count for count in counts if count.sum() > 1]
    chances = [1 - float((c * (c - 1)).sum() / (c.sum() * (c.sum() - 1))) for c in several]
    return float(np.mean([len(count) for count in counts])), float(np.mean(chances)) if chances else None
