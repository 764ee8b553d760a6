"""Traces cut where they begin to repeat themselves: greedily diverse solutions (GDS, Chen et al. 2024).

Solutions are kept as long as each is unlike those before it, and at least up to the first correct one. The cut is
judged again by the problem's verifier, as a trace of its own, before it is used.
"""

from collections.abc import Sequence

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection._solutions import picks, solutions
from factory.selection.diverse import alike, grams

VERSION = 2


def diverse_solutions(candidates: Sequence[Candidate], *, per_problem: int = 1, over_longest: bool = False,
                      max_length_ratio: float = 10.0, at_most_alike: float = 0.3, n: int = 2) -> list[Pick]:
    """`at_most_alike`: solutions that share more of their word `n`-grams (Jaccard) say the same thing."""
    if n < 1 or not 0 <= at_most_alike < 1:
        raise UserError("diverse_solutions needs n of 1 or more, and at_most_alike from 0 to below 1")

    def end(text: str, answer: str) -> int | None:
        found, last, seen = solutions(text, answer), None, list[set[str]]()
        for one in found:
            mine = grams(text[one.start:one.end], n)
            if last is not None and any(alike(mine, theirs) > at_most_alike for theirs in seen):
                break
            seen.append(mine)
            last = one.end if one.right else last
        return last
    return picks(candidates, end, "diverse solutions", per_problem, over_longest, max_length_ratio)
