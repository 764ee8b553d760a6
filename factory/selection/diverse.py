"""Correct traces of a problem that are unlike each other: by the word n-grams that they share, or by their embeddings.

Greedy: the shortest first, then always the one whose likeness (Jaccard, or the cosine) to its nearest among those taken
is least.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection import distinct, plain

VERSION = 1


def diverse(candidates: Sequence[Candidate], *, per_problem: int = 2, by: Literal["ngram", "embedding"] = "ngram",
            n: int = 3, at_most_alike: float = 1.0) -> list[Pick]:
    """At most `per_problem`; none with a likeness over `at_most_alike` (0 to 1). `n`: words in a gram. By embedding (of
    `[embed]` in the recipe) those without a vector are left out."""
    if per_problem < 1 or n < 1:
        raise UserError("diverse needs per_problem and n of 1 or more")
    correct = sorted((c for c in candidates if c.status == "correct"), key=lambda c: (c.completion_tokens, c.trace_id))
    if by == "embedding":
        return _greedy([(c, np.asarray(c.vector)) for c in distinct(correct) if c.vector is not None], cosine,
                       per_problem, at_most_alike)
    return _greedy([(c, grams(c.raw, n)) for c in distinct(correct)], alike, per_problem, at_most_alike)


def _greedy(left: list[tuple[Candidate, Any]], likeness: Callable[[Any, Any], float], per_problem: int,
            at_most_alike: float) -> list[Pick]:
    taken: list[tuple[Candidate, Any]] = []
    picks: list[Pick] = []
    while left and len(picks) < per_problem:
        scores = [max((likeness(mine, theirs) for _, theirs in taken), default=0.0) for _, mine in left]
        best = min(range(len(left)), key=lambda index: scores[index])
        if scores[best] > at_most_alike:
            break
        taken.append(left.pop(best))
        picks.append(Pick(taken[-1][0], None, f"likeness {scores[best]:.2f} to the {len(taken) - 1} before"))
    return picks


def cosine(a: Any, b: Any) -> float:
    """Of two vectors of length 1; 0 for those that point away from each other."""
    return max(0.0, float(a @ b))


def grams(text: str, n: int) -> set[str]:
    """The word n-grams of `text`; a shorter text is one gram."""
    words = plain(text).split()
    return {" ".join(words[i:i + n]) for i in range(max(1, len(words) - n + 1))}


def alike(a: set[str], b: set[str]) -> float:
    """Jaccard: what both have of what either has, 0 to 1."""
    return len(a & b) / (len(a | b) or 1)
