"""Which traces of a problem become rows of a dataset. A selector sees statuses and measures, never the reference.

Every selector leaves `undecided` alone, gives the same picks for the same candidates in any order (ties go by trace
id), and takes a text once: that last part is here.
"""

from collections.abc import Iterable

from factory.protocols import UserError
from factory.records import Candidate


def plain(text: str) -> str:
    """`text` without case and line breaks: two traces of one plain text teach the same."""
    return " ".join(text.lower().split())


def distinct(ordered: Iterable[Candidate], at_most: int | None = None) -> list[Candidate]:
    """The first `at_most` candidates, each near-identical text once, where it stood first."""
    if at_most is not None and at_most < 1:
        raise UserError(f"per_problem is {at_most}: use 1 or more")
    kept: dict[str, Candidate] = {}
    for candidate in ordered:
        kept.setdefault(plain(candidate.raw), candidate)
    return list(kept.values())[:at_most]
