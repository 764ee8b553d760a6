"""Preference pairs of a short wrong trace under a longer correct one ("short incorrect, long correct": SILC).

Sky-T1-Flash (2025) trains them beside `shorter`: there the shorter side always wins, and alone it teaches a student to
stop too early on hard problems. The rejected side is the shortest wrong trace, the chosen one the next longer correct.
"""

from collections.abc import Sequence

from factory.records import Candidate, Pick
from factory.selection import check_pairs, finished

VERSION = 1


def silc(candidates: Sequence[Candidate], *, max_length_ratio: float = 5.0) -> list[Pick]:
    """One pair a problem at most. `max_length_ratio`: how many times as many tokens the chosen side may have."""
    check_pairs(1, max_length_ratio)
    wrong = sorted(finished(candidates, "wrong"), key=lambda c: (c.completion_tokens, c.trace_id))
    correct = sorted(finished(candidates, "correct"), key=lambda c: (c.completion_tokens, c.trace_id))
    for chosen in correct if wrong else ():
        times = chosen.completion_tokens / max(1, wrong[0].completion_tokens)
        if 1 < times <= max_length_ratio:
            return [Pick(chosen, wrong[0], f"correct over the shortest wrong, {times:.1f} times as long")]
    return []
