"""Preference pairs: a correct trace over a wrong one of the same problem, both finished, each used at most once.

`shared_prefix` takes the pairs that part latest: they differ in the step that went wrong and in little else, and they
train DPO best here. `min_shared` keeps those alone that part late enough for a preference between single steps, as
Step-DPO (Lai et al. 2024) trains; the emitter `dpo` marks where. An `undecided` trace is on neither side.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection import check_pairs, each_once, finished, plain, ratio

VERSION = 2


def pairs(
    candidates: Sequence[Candidate],
    *,
    per_problem: int = 1,
    max_length_ratio: float = 3.0,
    prefer: Literal["shared_prefix", "shortest"] = "shared_prefix",
    min_shared: int = 0,
) -> list[Pick]:
    """`max_length_ratio`: pairs of more unequal length (characters) are left out, else DPO learns the length.
    `min_shared`: characters that both begin with in common, at least."""
    if prefer not in ("shared_prefix", "shortest"):
        raise UserError(f"pairs cannot prefer '{prefer}': use shared_prefix or shortest")
    check_pairs(per_problem, max_length_ratio)
    possible = [(c, w) for c in finished(candidates, "correct") for w in finished(candidates, "wrong")
                if ratio(c, w) <= max_length_ratio and plain(c.raw) != plain(w.raw)]
    order = _by_shared_prefix if prefer == "shared_prefix" else _by_length
    ordered = ((c, w, shared_prefix(c.raw, w.raw)) for c, w in sorted(possible, key=order))
    return each_once(((c, w, f"correct over wrong by {prefer}, {common} characters in common")
                      for c, w, common in ordered if common >= min_shared), per_problem)


def shared_prefix(a: str, b: str) -> int:
    """Characters that `a` and `b` begin with in common; by bisection, since slices compare at the speed of memory."""
    return bisect_left(range(min(len(a), len(b))), True, key=lambda i: a[: i + 1] != b[: i + 1])


def _by_shared_prefix(pair: tuple[Candidate, Candidate]) -> tuple[int, str, str]:
    return -shared_prefix(pair[0].raw, pair[1].raw), pair[0].trace_id, pair[1].trace_id


def _by_length(pair: tuple[Candidate, Candidate]) -> tuple[int, int, str, str]:
    return pair[0].completion_tokens, pair[1].completion_tokens, pair[0].trace_id, pair[1].trace_id
