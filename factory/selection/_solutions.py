r"""Where a trace's solutions end, and the trace cut there: what `first_solution` and `diverse_solutions` share.

A solution ends where an answer is stated and the text then starts over (`factory.solutions`), or where it ends. Right
is one whose answer is the trace's own, which the verifier found correct; the reference is not known here, so the stage
verifies every cut again.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from factory.records import Candidate, Pick
from factory.selection import check_pairs, distinct, ratio
from factory.solutions import starts_over

VERSION = 2

_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_SAID = re.compile(r"\banswers?\s*(?:is|should be|would be|must be|[:=])\s*:?\s*"
                   r"([^\n]{1,200}?)(?:[.;!?](?=\s|\Z)|\n|\Z)", re.IGNORECASE)
_LINK = re.compile(r"=|\b(?:gives?|is|are|equals?|get|leaves?|makes?)\b", re.IGNORECASE)


class Solution(NamedTuple):
    """`text[start:end]` states an answer at its end; `right`: it is the trace's own."""

    start: int
    end: int
    right: bool


def solutions(text: str, answer: str) -> list[Solution]:
    """The solutions of `text` in order; what comes behind the last stated answer is in none."""
    borders = [0, *starts_over(text), len(text)]
    found: list[Solution] = []
    start = 0
    for end in borders[1:]:
        if stated := _stated(text[start:end]):
            found.append(Solution(start, end, any(_plain(one) == _plain(answer) for one in stated)))
            start = end
    return found


def _stated(part: str) -> list[str]:
    """The answers that a part of a text comes to, if it comes to any; only the plainest kind of statement counts."""
    if boxes := _BOXED.findall(part):
        return [str(boxes[-1])]
    if said := _SAID.findall(part):
        return [str(said[-1])]
    linked = _LINK.split(part[-200:].rstrip(" \n.!").rpartition("\n")[2])
    return [linked[-1]] if len(linked) > 1 and linked[-1].strip() else []


def _plain(text: str) -> str:
    return re.sub(r"[\s*$,]|\\[()]|\.$", "", text).lower()


def picks(candidates: Sequence[Candidate], end: Callable[[str, str], int | None], name: str, per_problem: int,
          over_longest: bool, max_length_ratio: float) -> list[Pick]:
    """The shortest correct traces after `end(text, answer)` said where to cut each; None leaves a trace out.

    With `over_longest` the rejected side is the problem's longest correct trace, whole, as Sky-T1-Flash pairs them, of
    those that have at most `max_length_ratio` times as many characters.
    """
    check_pairs(per_problem, max_length_ratio)
    correct = distinct(sorted((c for c in candidates if c.status == "correct"), key=lambda c: c.trace_id))
    made = [shorter for c in correct if (shorter := _cut(c, end)) is not None]
    chosen = distinct(sorted(made, key=lambda c: (len(c.raw), c.trace_id)), per_problem)
    if not over_longest:
        return [Pick(c, None, f"{name}: {len(c.raw)} characters") for c in chosen]
    return [Pick(c, longest, f"{name}: {len(c.raw)} characters") for c in chosen
            if (longest := _longest(correct, c, max_length_ratio))]


def _longest(correct: Sequence[Candidate], short: Candidate, max_length_ratio: float) -> Candidate | None:
    """The longest of the others that is longer than `short`, and not by too much."""
    longer = [c for c in correct if c.trace_id != short.trace_id and len(c.raw) > len(short.raw)
              and ratio(c, short) <= max_length_ratio]
    return max(longer, key=lambda c: (len(c.raw), c.trace_id), default=None)


def _cut(candidate: Candidate, end: Callable[[str, str], int | None]) -> Candidate | None:
    """The candidate with a shorter thinking (or response, if it has none); `undecided`, since nobody has judged it."""
    text = candidate.thinking or candidate.response
    at = end(text, candidate.answer) if candidate.answer else None
    if at is None:
        return None
    short = text[:at].rstrip()
    if short == text.rstrip():
        return candidate
    if text not in candidate.raw:
        return None
    thinking, response = (short, candidate.response) if candidate.thinking else ("", short)
    tokens = round(candidate.completion_tokens * len(short) / len(text))
    return replace(candidate, raw=candidate.raw.replace(text, short, 1), thinking=thinking, response=response,
                   status="undecided", completion_tokens=tokens)
