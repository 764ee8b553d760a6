"""Every correct trace of a problem with a text of its own: rejection sampling as in RFT (Yuan et al. 2023)."""

from collections.abc import Sequence

from factory.records import Candidate, Pick
from factory.selection import distinct


def everything_correct(candidates: Sequence[Candidate], *, per_problem: int | None = None) -> list[Pick]:
    """At most `per_problem`, so that easy problems do not fill the dataset; in the order of ids, which is chance."""
    correct = sorted((c for c in candidates if c.status == "correct"), key=lambda c: c.trace_id)
    return [Pick(c, None, f"one of {len(correct)} correct") for c in distinct(correct, per_problem)]
