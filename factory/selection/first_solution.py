"""Traces cut after their first correct solution (FCS), or after the second (FCS + reflection).

Chen et al. 2024, "Do NOT Think That Much for 2+3=?": most of a long trace checks again what is right already, and
students of traces cut so lose half of their length at the same accuracy, with one reflection kept even on hard
problems. The cut is judged again by the problem's verifier, as a trace of its own, before it is used.
"""

from collections.abc import Sequence

from factory.records import Candidate, Pick
from factory.selection._solutions import picks, solutions

VERSION = 2


def first_solution(candidates: Sequence[Candidate], *, per_problem: int = 1, reflection: bool = False,
                   over_longest: bool = False, max_length_ratio: float = 10.0) -> list[Pick]:
    """The shortest after the cut come first. `reflection` keeps up to the second solution that is right, if there is
    one; `over_longest` makes preference pairs against the problem's longest correct trace of at most `max_length_ratio`
    times as many characters."""
    def end(text: str, answer: str) -> int | None:
        right = [one for one in solutions(text, answer) if one.right]
        return right[min(len(right), 2 if reflection else 1) - 1].end if right else None
    name = "up to the second correct solution" if reflection else "up to the first correct solution"
    return picks(candidates, end, name, per_problem, over_longest, max_length_ratio)
