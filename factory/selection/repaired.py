"""From wrong to right: traces of the strategy `repair` whose first program fails public tests and whose last passes.

Both sides are certified: the steps hold the verdicts on the public tests, and as a row of a dataset each text is judged
by the whole suite, the first as wrong and the last as correct, or the pick is dropped with the reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from factory import thoughts
from factory.records import Candidate, Pick, Step
from factory.selection import check_pairs, distinct, each_once, ratio

VERSION = 1
STEPS = True


def repaired(candidates: Sequence[Candidate], *, form: Literal["pair", "journey"] = "pair", per_problem: int = 1,
             max_length_ratio: float = 3.0) -> list[Pick]:
    """`pair`: the last attempt over the first. `journey`: one trace that thinks the first attempts, reads which test
    fails, and comes to the last; what the model was told is a part of its thinking.

    `max_length_ratio`: pairs of more unequal length (characters) are left out, else DPO learns the length.
    """
    check_pairs(per_problem, max_length_ratio)
    mended = distinct(sorted((c for c in candidates if c.status == "correct" and _certified(c.steps)),
                             key=lambda c: c.trace_id))
    if form == "journey":
        return [Pick(_journey(c), None, _why(c)) for c in mended[:per_problem]]
    both = ((c, _first(c), _why(c)) for c in mended)
    return each_once((found for found in both if ratio(found[0], found[1]) <= max_length_ratio), per_problem)


def _attempts(steps: Sequence[Step]) -> list[tuple[Step, Mapping[str, Any]]]:
    return [(step, json.loads(step.state or "{}")) for step in steps if step.kind == "attempt"]


def _certified(steps: Sequence[Step]) -> bool:
    """The first attempt fails the public tests, the last passes them."""
    states = [state.get("status") for _, state in _attempts(steps)]
    return len(states) > 1 and states[0] == "wrong" and states[-1] == "correct"


def _first(candidate: Candidate) -> Candidate:
    """The first attempt as a candidate: wrong, as the stage will have to confirm."""
    raw = _attempts(candidate.steps)[0][0].text
    thinking, response = thoughts.split(raw)
    return replace(candidate, raw=raw, thinking=thinking, response=response, status="wrong", answer=None)


def _journey(candidate: Candidate) -> Candidate:
    """All attempts and what was said about them as one thinking, with the last response behind it."""
    parts = [text for step in candidate.steps[:-1] for text in (
        thoughts.split(step.text) if step.kind == "attempt" else [step.text])]
    thinking = "\n\n".join(part for part in [*parts, candidate.thinking] if part)
    raw = thoughts.join(f"\n{thinking}\n", f"\n\n{candidate.response}", closed=True)
    return replace(candidate, raw=raw, thinking=thinking, status="undecided")


def _why(candidate: Candidate) -> str:
    attempts = _attempts(candidate.steps)
    return f"mended at attempt {len(attempts)}; the first: {attempts[0][1].get('reason', '')}"
