"""The shortest correct traces of a problem: cheap to train on and without detours ("long2short", Kimi k1.5 2025)."""

from collections.abc import Sequence

from factory.records import Candidate, Pick
from factory.selection import distinct


def shortest(candidates: Sequence[Candidate], *, per_problem: int = 1) -> list[Pick]:
    """At most `per_problem`, by completion tokens."""
    correct = sorted((c for c in candidates if c.status == "correct"), key=lambda c: (c.completion_tokens, c.trace_id))
    return [Pick(c, None, f"shortest of {len(correct)} correct" + (f", number {rank}" if rank > 1 else ""))
            for rank, c in enumerate(distinct(correct, per_problem), 1)]
