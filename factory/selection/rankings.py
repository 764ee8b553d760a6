"""All pairs of K traces of a problem, better over worse, for a reward model (InstructGPT, Ouyang et al. 2022).

Correct ranks over wrong; with a `score` (a measure) the correct ones are ranked among themselves too, never the wrong.
The pairs of a problem stay in one split, and should stay in one batch: K traces in K(K-1)/2 batches overfit.
"""

from collections.abc import Sequence
from itertools import chain, zip_longest

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection import check_pairs, finished, ratio

VERSION = 1


def rankings(candidates: Sequence[Candidate], *, k: int = 4, score: str = "", max_length_ratio: float = 3.0
             ) -> list[Pick]:
    """Of `k` traces at most, right and wrong in turn, those pairs of which one side is better."""
    check_pairs(1, max_length_ratio)
    if k < 2:
        raise UserError(f"k is {k}: use 2 or more, a ranking needs two traces")
    both = zip_longest(finished(candidates, "correct"), finished(candidates, "wrong"))
    chosen = [c for c in chain.from_iterable(both) if c][:k]
    return [Pick(a, b, f"{_rank(a, score)} over {_rank(b, score)}") for a in chosen for b in chosen
            if _level(a, score) > _level(b, score) and ratio(a, b) <= max_length_ratio]


def _level(c: Candidate, score: str) -> tuple[bool, float]:
    return c.status == "correct", c.measures.get(score, 0.0) if c.status == "correct" else 0.0


def _rank(c: Candidate, score: str) -> str:
    return f"{c.status} ({score} {c.measures[score]:g})" if score in c.measures else c.status
