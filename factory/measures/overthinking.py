r"""Overthinking: how much of a trace came before its first right answer, and how much of it was new.

Chen et al. 2024, "Do NOT Think That Much for 2+3=?" (RECIPES §2.6). With T pieces in all, T̂ up to the end of the first
solution that is right, and D in the solutions that are the first of their kind: ξ_O = T̂ / T (0 if none is right) and
ξ_P = D / T, for this one trace. Average over traces, never over solutions, as their released code does (RECIPES D5).

They split and compare solutions by asking LLMs; here it is by rule. A solution ends where an answer is stated and the
text starts over (`factory.solutions`); an answer without a mark counts when it is the one that
the trace ends with. A solution is of a kind with an earlier one in which most of its words and numbers stand.
"""

import re
from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import accumulate
from operator import or_
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory.measures.answers import ANSWER, BOX, VALUE, boxes, response_of
from factory.measures.words import by_trace, fold, pieces_between, stretch
from factory.measures.words import prepare as prepare
from factory.records import Problem, Trace
from factory.solutions import begins_over
from verifiers.answers import final_answer
from verifiers.math_equal import math_equal
from verifiers.vocabulary import FUNCTIONS, NO_UNITS, NUMBER_WORDS, POWER_WORDS

VERSION = 3


class Solution(NamedTuple):
    """`size` in pieces (words, numbers, signs); `correct`: right, which is asked until one is; `new`: unlike all before
    it."""

    size: int
    correct: bool
    new: bool


def overthinking(problem: Problem, trace: Trace, *,
                 of: Literal["outcome", "process", "solutions", "distinct", "first_correct"] = "outcome") -> float:
    """`outcome` is ξ_O, `process` ξ_P (0 to 1); `solutions` and `distinct` count; `first_correct` is T̂ in pieces."""
    completion = trace.completion
    found = _solutions(completion.raw, completion.thinking, response_of(trace), problem.reference)
    return efficiency(found)[of]


def efficiency(solutions: tuple[Solution, ...]) -> dict[str, float]:
    """The five figures of one trace from its solutions, by the paper's formulas."""
    total = sum(one.size for one in solutions)
    right = next((i for i, one in enumerate(solutions) if one.correct), None)
    until = 0 if right is None else sum(one.size for one in solutions[:right + 1])
    new = [one.size for one in solutions if one.new]
    return {"outcome": until / total if total else 0.0, "process": sum(new) / total if total else 0.0,
            "solutions": float(len(solutions)), "distinct": float(len(new)), "first_correct": float(until)}


@by_trace
def _solutions(raw: str, thinking: str, response: str, reference: str) -> tuple[Solution, ...]:
    from factory.measures import _compiled

    text = thinking or raw
    reading, begin, behind = stretch(raw, text)
    parts = _parts(text, reading.bytes, begin, behind, _known(response, reference))
    borders = [begin, *(end for end, _ in parts)]
    new = _compiled.novel(reading.bytes, np.array(borders), _ALIKE, _BEHIND).tolist() if len(parts) > 1 else [True]
    right = next((i for i, (_, answer) in enumerate(parts) if _right(answer, reference)), None)
    sizes = pieces_between(reading, borders)
    return tuple(Solution(size, i == right, one) for i, (size, one) in enumerate(zip(sizes, new, strict=False)))


_SENTENCE = 200  # characters of an answer that no mark tells


class _Known(NamedTuple):
    """Answers that a sentence may come to, and as they are looked for: their bytes, and where each begins."""

    values: list[str]
    folded: NDArray[np.uint8]
    bounds: NDArray[np.int64]


@lru_cache(maxsize=1024)  # traces of one problem often come to the same answers
def _known(response: str, reference: str) -> _Known:
    """What the trace ends with and what is right: an answer also where nothing marks it."""
    final = final_answer(response)
    stated = {_plain(final.text) if final else "", _plain(reference)}
    values = sorted(value for value in stated if 0 < len(value) <= _SENTENCE)
    folded = [fold(value) for value in values]
    return _Known(values, np.frombuffer(b"".join(folded), np.uint8), np.array([0, *accumulate(map(len, folded))]))


_LONGEST = 100  # characters of an answer that is compared by mathematics: nobody stops it here when it takes long
_WHOLE = re.compile(r"-?[1-9]\d{0,14}|0", re.ASCII)
_SAYING = re.compile(r"[A-Za-z ,.'\"?!:;]+|[A-Za-z ,'\"?:;=`$]*?(\d{1,15})[A-Za-z ,'\"?:;=`$]*\.?", re.ASCII)
_COUNTING = NUMBER_WORDS.keys() | POWER_WORDS.keys() | FUNCTIONS | NO_UNITS | {"percent", "percentage", "pct"}


@lru_cache(maxsize=1 << 14)
def _right(answer: str, reference: str) -> bool:
    """What is longer has to be the reference letter for letter."""
    if not reference.strip() or not answer.strip():
        return False
    if len(answer) > _LONGEST:
        return "".join(answer.split()) == "".join(reference.split())
    if _WHOLE.fullmatch(reference):  # most are, and there is nothing to work out
        if _WHOLE.fullmatch(answer):
            return answer == reference
        said = _SAYING.fullmatch(answer)
        other = said and (said[1] is None or int(said[1]) != abs(int(reference)))
        if other and _COUNTING.isdisjoint(re.findall("[a-z]+", answer.lower())):
            return False
    return math_equal(rf"\boxed{{{answer}}}", reference).status == "correct"


_ALIKE = 0.6  # of a solution's words and numbers in one before it: the same kind
_BEHIND = 1000  # solutions before it that it is compared with; a trace that has more is stuck


def _parts(text: str, folded: NDArray[np.uint8], begin: int, behind: int, known: _Known) -> list[tuple[int, str]]:
    """Where each solution of the text that is `folded` from `begin` to `behind` ends there, and its answer; what comes
    behind the last answer belongs to the last, a text without is one.

    Looked at are only the parts in which there may be an answer, between two places at which the text starts over.
    """
    from factory.measures import _compiled

    overs, stated = _compiled.marks(folded, begin, behind, known.folded, known.bounds)
    marks = stated.tolist()
    real = [over for over in overs.tolist() if begins_over(text, over[1])] if marks else []
    borders = [(0, 0), *real, (0, len(text))]
    found: list[tuple[int, str]] = []
    mark = border = 0
    while mark < len(marks):
        while borders[border + 1][1] <= marks[mark][1]:
            border += 1
        (_, start), (byte, end) = borders[border:border + 2]
        first = mark
        while mark < len(marks) and marks[mark][1] < end:
            mark += 1
        if answer := _stated(text, start, end, marks[first:mark], known.values):
            found.append((begin + byte, answer))
    if not found:
        return [(behind, "")] if text.strip() else []
    return [*found[:-1], (behind, found[-1][1])]


_SAID = re.compile(r"\banswer(?:\ is|\ should\ be|\ would\ be|\ must\ be|\s*[:=])\s*:?\s*([^\n]{1,200})", re.IGNORECASE)
_ENDS = re.compile(r"[,;!?](?=\s)|\.(?=\s|\Z)")
_LEADS = re.compile(
    r"(?:\b(?:so|therefore|thus|hence|total|gives?|is|are|equals?|makes?|get|leaves?|be|has|have)\b|=)[^.\n]*\Z",
    re.IGNORECASE)


def _stated(text: str, start: int, end: int, marks: Sequence[Sequence[int]], known: Sequence[str]) -> str:
    """The answer that a part of the text comes to, in which `_compiled.marks` saw these bits at these places; empty
    when to none."""
    bits = reduce(or_, [bits for bits, _ in marks])
    if bits & BOX and (boxed := boxes(text[start:end])):
        return boxed[-1]
    if bits & ANSWER and (said := _said(text, end, [at for bits, at in marks if bits & ANSWER])):
        return _plain(_ENDS.split(said, maxsplit=1)[0])
    for number, value in enumerate(known):
        if bits & VALUE << number:
            for has, at in reversed(marks):
                if has & VALUE << number and _concludes(text, start, end, value, at):
                    return value
    return ""


def _said(text: str, end: int, places: Sequence[int]) -> str:
    """What is said last to be the answer, up to `end`; where it speaks of an answer itself, that is part of it."""
    said, behind = "", 0
    for at in places:
        if at >= behind and (found := _SAID.match(text, at, end)):
            said, behind = found[1], found.end()
    return said


def _concludes(text: str, start: int, end: int, value: str, at: int) -> bool:
    """Whether a sentence between two places comes to `value` at a third: "so that is 448", "272 + 176 = 448"."""
    behind = at + len(value)
    if not text.startswith(value, at, end):
        return False
    around = text[max(at - 1, start):at] + text[behind:min(behind + 1, end)]
    return not any(map(str.isalnum, around)) and bool(_LEADS.search(text, max(start, at - 60), at))


def _plain(text: str) -> str:
    return text.strip(" .*$").replace(",", "").replace("**", "").removeprefix(r"\(").removesuffix(r"\)").strip(" $")
