"""Preference pairs by a score: the best correct trace over the worst of the rest (iterative DPO, Dong et al. 2024).

The score is a measure of the recipe. What is chosen is always correct, so no score can prefer a wrong trace.
"""

from collections.abc import Sequence

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection import check_pairs, each_once, finished, ratio

VERSION = 1


def best_over_worst(candidates: Sequence[Candidate], *, score: str, lowest: bool = False, per_problem: int = 1,
                    max_length_ratio: float = 3.0) -> list[Pick]:
    """`score`: the measure that ranks, more being better unless `lowest`. Equal scores make no pair."""
    check_pairs(per_problem, max_length_ratio)
    if candidates and not any(score in c.measures for c in candidates):
        known = sorted({name for c in candidates for name in c.measures})
        raise UserError(f"best_over_worst has no measure '{score}' to rank by: add it to `measures`, or use one of "
                        f"{', '.join(known) or '(none)'}")
    sign = -1 if lowest else 1
    ranked = sorted((c for c in finished(candidates, "correct", "wrong") if score in c.measures),
                    key=lambda c: (-sign * c.measures[score], c.trace_id))
    possible = ((best, worst, f"{score} {best.measures[score]:g} over {worst.measures[score]:g}")
                for best in ranked if best.status == "correct" for worst in reversed(ranked)
                if best.measures[score] * sign > worst.measures[score] * sign
                and ratio(best, worst) <= max_length_ratio)
    return each_once(possible, per_problem)
