"""Which traces of a problem become rows of a dataset. A selector sees statuses and measures, never the reference.

Every selector leaves `undecided` alone, gives the same picks for the same candidates in any order (ties go by trace
id), and takes a text once: that last part is here.
"""

from collections.abc import Iterable

from factory.protocols import UserError
from factory.records import Candidate, Pick


def plain(text: str) -> str:
    """`text` without case and line breaks: two traces of one plain text teach the same."""
    return " ".join(text.lower().split())


def distinct(ordered: Iterable[Candidate], at_most: int | None = None) -> list[Candidate]:
    """The first `at_most` candidates, each near-identical text once, where it stood first."""
    if at_most is not None and at_most < 1:
        raise UserError(f"per_problem is {at_most}: use 1 or more")
    kept: dict[str, Candidate] = {}
    for candidate in ordered:
        if at_most == 1:  # nothing to compare it with, and a text is long
            return [candidate]
        kept.setdefault(plain(candidate.raw), candidate)
        if len(kept) == at_most:
            break
    return list(kept.values())


def finished(candidates: Iterable[Candidate], *statuses: str) -> list[Candidate]:
    """Those of a status with a response and, where it was measured, no truncation; each text once, by trace id."""
    those = (c for c in candidates if c.status in statuses and c.response.strip() and not c.measures.get("truncation"))
    return distinct(sorted(those, key=lambda c: c.trace_id))


def ratio(a: Candidate, b: Candidate) -> float:
    """How many times as long (characters) as the shorter one the longer one is."""
    return max(len(a.raw), len(b.raw)) / max(1, min(len(a.raw), len(b.raw)))


def each_once(ordered: Iterable[tuple[Candidate, Candidate, str]], at_most: int) -> list[Pick]:
    """Picks of (chosen, rejected, why), the first `at_most` in which no trace occurs twice."""
    picks: list[Pick] = []
    used: set[str] = set()
    for chosen, rejected, why in ordered:
        if len(picks) < at_most and not used & {chosen.trace_id, rejected.trace_id}:
            used |= {chosen.trace_id, rejected.trace_id}
            picks.append(Pick(chosen, rejected, why))
    return picks


def check_pairs(per_problem: int, max_length_ratio: float) -> None:
    """Raises UserError for bounds that no pair could meet."""
    if per_problem < 1 or max_length_ratio < 1:
        raise UserError("pairs need per_problem and max_length_ratio of 1 or more")
