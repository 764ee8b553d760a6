"""The longest correct traces of a problem: they hold the checks and corrections, and fed a small student best here."""

from collections.abc import Sequence

from factory.records import Candidate, Pick
from factory.selection import distinct


def longest(candidates: Sequence[Candidate], *, per_problem: int = 1) -> list[Pick]:
    """At most `per_problem`, by completion tokens. Let a rule drop loops and truncations first: they are long too."""
    correct = sorted((c for c in candidates if c.status == "correct"), key=lambda c: (-c.completion_tokens, c.trace_id))
    return [Pick(c, None, f"longest of {len(correct)} correct" + (f", number {rank}" if rank > 1 else ""))
            for rank, c in enumerate(distinct(correct, per_problem), 1)]
