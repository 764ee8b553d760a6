"""Preference pairs against overthinking: the shortest correct trace over correct ones at least 1.5 times as long.

The rule of Kimi k1.5's long2short (2025) and of Sky-T1-Flash (2025). Both sides are right, so it teaches length alone:
`silc` beside it keeps hard problems from being thought too short about.
"""

from collections.abc import Sequence

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection import check_pairs, finished

VERSION = 1


def shorter(candidates: Sequence[Candidate], *, per_problem: int = 1, at_least: float = 1.5,
            max_length_ratio: float = 5.0) -> list[Pick]:
    """`at_least`, `max_length_ratio`: how many times as many tokens the rejected side has. The longest come first."""
    check_pairs(per_problem, max_length_ratio)
    if at_least <= 1:
        raise UserError(f"at_least is {at_least}: use more than 1, or the sides of a pair are equally long")
    correct = sorted(finished(candidates, "correct"), key=lambda c: (c.completion_tokens, c.trace_id))
    found = []
    for longer in reversed(correct):
        times = longer.completion_tokens / max(1, correct[0].completion_tokens)
        if at_least <= times <= max_length_ratio:
            found.append(Pick(correct[0], longer, f"shortest correct over one {times:.1f} times as long"))
    return found[:per_problem]
