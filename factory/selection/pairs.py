"""Preference pairs: a correct trace over a wrong one of the same problem, both finished, each used at most once.

`shared_prefix` takes the pairs that part latest: they differ in the step that went wrong and in little else, and they
train DPO best here. An `undecided` trace is on neither side.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection import distinct, plain


def pairs(
    candidates: Sequence[Candidate],
    *,
    per_problem: int = 1,
    max_length_ratio: float = 3.0,
    prefer: Literal["shared_prefix", "shortest"] = "shared_prefix",
) -> list[Pick]:
    """`max_length_ratio`: pairs of more unequal length (characters) are left out, else DPO learns the length."""
    if prefer not in ("shared_prefix", "shortest"):
        raise UserError(f"pairs cannot prefer '{prefer}': use shared_prefix or shortest")
    if per_problem < 1 or max_length_ratio < 1:
        raise UserError("pairs needs per_problem and max_length_ratio of 1 or more")
    possible = [(c, w) for c in _finished(candidates, "correct") for w in _finished(candidates, "wrong")
                if _ratio(c, w) <= max_length_ratio and plain(c.raw) != plain(w.raw)]
    order = _by_shared_prefix if prefer == "shared_prefix" else _by_length
    return _each_once(sorted(possible, key=order), per_problem, prefer)


def _finished(candidates: Sequence[Candidate], status: str) -> list[Candidate]:
    """Those of `status` with a response and, where it was measured, no truncation."""
    those = (c for c in candidates if c.status == status and c.response.strip() and not c.measures.get("truncation"))
    return distinct(sorted(those, key=lambda c: c.trace_id))


def _ratio(a: Candidate, b: Candidate) -> float:
    return max(len(a.raw), len(b.raw)) / max(1, min(len(a.raw), len(b.raw)))


def shared_prefix(a: str, b: str) -> int:
    """Characters that `a` and `b` begin with in common; by bisection, since slices compare at the speed of memory."""
    return bisect_left(range(min(len(a), len(b))), True, key=lambda i: a[: i + 1] != b[: i + 1])


def _by_shared_prefix(pair: tuple[Candidate, Candidate]) -> tuple[int, str, str]:
    return -shared_prefix(pair[0].raw, pair[1].raw), pair[0].trace_id, pair[1].trace_id


def _by_length(pair: tuple[Candidate, Candidate]) -> tuple[int, int, str, str]:
    return pair[0].completion_tokens, pair[1].completion_tokens, pair[0].trace_id, pair[1].trace_id


def _each_once(ordered: Sequence[tuple[Candidate, Candidate]], at_most: int, prefer: str) -> list[Pick]:
    picks: list[Pick] = []
    used: set[str] = set()
    for chosen, rejected in ordered:
        if len(picks) < at_most and not used & {chosen.trace_id, rejected.trace_id}:
            used |= {chosen.trace_id, rejected.trace_id}
            common = shared_prefix(chosen.raw, rejected.raw)
            picks.append(Pick(chosen, rejected, f"correct over wrong by {prefer}, {common} characters in common"))
    return picks
