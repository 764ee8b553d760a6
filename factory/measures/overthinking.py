r"""Overthinking: how much of a trace came before its first right answer, and how much of it was new.

Chen et al. 2024, "Do NOT Think That Much for 2+3=?" (RECIPES §2.6). With T pieces in all, T̂ up to the end of the first
solution that is right, and D in the solutions that are the first of their kind: ξ_O = T̂ / T (0 if none is right) and
ξ_P = D / T, for this one trace. Average over traces, never over solutions, as their released code does (RECIPES D5).

They split and compare solutions by asking LLMs; here it is by rule. A solution ends where an answer is stated and the
text starts over ("Wait", "Let me check", "Alternatively", …); an answer without a mark counts when it is the one that
the trace ends with. A solution is of a kind with an earlier one in which most of its words and numbers stand.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from factory.measures.answers import boxes, response_of
from factory.measures.words import split
from factory.records import Problem, Trace
from verifiers.answers import final_answer
from verifiers.math_equal import math_equal

VERSION = 1


class Solution(NamedTuple):
    """`size` in pieces (words, numbers, signs); `new`: unlike all before it."""

    size: int
    correct: bool
    new: bool


def overthinking(problem: Problem, trace: Trace, *,
                 of: Literal["outcome", "process", "solutions", "distinct", "first_correct"] = "outcome") -> float:
    """`outcome` is ξ_O, `process` ξ_P (0 to 1); `solutions` and `distinct` count; `first_correct` is T̂ in pieces."""
    found = _solutions(trace.completion.thinking or trace.completion.raw, response_of(trace), problem.reference)
    return efficiency(found)[of]


def efficiency(solutions: tuple[Solution, ...]) -> dict[str, float]:
    """The five figures of one trace from its solutions, by the paper's formulas."""
    total = sum(one.size for one in solutions)
    right = next((i for i, one in enumerate(solutions) if one.correct), None)
    until = 0 if right is None else sum(one.size for one in solutions[:right + 1])
    new = [one.size for one in solutions if one.new]
    return {"outcome": until / total if total else 0.0, "process": sum(new) / total if total else 0.0,
            "solutions": float(len(solutions)), "distinct": float(len(new)), "first_correct": float(until)}


@lru_cache(maxsize=4)
def _solutions(text: str, response: str, reference: str) -> tuple[Solution, ...]:
    final = final_answer(response)
    known = {_plain(final.text) if final else "", _plain(reference)} - {""}
    found: list[Solution] = []
    kinds: list[set[str]] = []
    verdicts: dict[str, bool] = {}
    for part, answer in _parts(text, known):
        if answer not in verdicts:
            verdicts[answer] = _right(answer, reference)
        words = set(_WORD.findall(part.lower()))
        new = not any(len(words & other) > _ALIKE * len(words) for other in kinds)
        found.append(Solution(len(split(part).codes), verdicts[answer], new))
        kinds.append(words)
    return tuple(found)


_LONGEST = 100  # characters of an answer that is compared by mathematics: nobody stops it here when it takes long


def _right(answer: str, reference: str) -> bool:
    """What is longer has to be the reference letter for letter."""
    if len(answer) > _LONGEST:
        return "".join(answer.split()) == "".join(reference.split())
    return math_equal(rf"\boxed{{{answer}}}", reference).status == "correct"


_ALIKE = 0.6  # of a solution's words and numbers in one before it: the same kind
_WORD = re.compile(r"[a-z]{4,}|\d+")
_AGAIN = re.compile(
    r"""(?: (?<=\n) | (?<=[.!?]\ ) | (?<=[.!?]\ \ ) )
        (?= (?:(?:but|okay|ok|so|and|now|yes|hmm)[,.]*\ )*
            (?: wait\b | hold\ on\b | alternatively\b | another\ (?:way|approach|method) | double[- ]check
              | (?:let\ me|let['’]s|i(?:['’]ll|\ can|\ could|\ should|\ want\ to|\ need\ to)?|we\ (?:can|could))
                \ (?:just\ |also\ |quickly\ )?(?:double[- ]?|re-?|cross-?)?
                (?:check|verify|confirm|try|do\ it|solve|think)
              | to\ (?:verify|confirm|double[- ]check|check|be\ (?:sure|thorough|certain)|make\ sure)
              | (?:just\ )?(?:verifying|checking|confirming)\b | using\ (?:another|a\ different)
              | maybe\ (?:another|i)\b ))""",
    re.VERBOSE | re.IGNORECASE,
)


def _parts(text: str, known: set[str]) -> list[tuple[str, str]]:
    """Solutions with their answers; what comes behind the last answer belongs to the last, a text without is one."""
    found: list[tuple[str, str]] = []
    part, answer = "", ""
    for piece in _AGAIN.split(text):
        if answer:
            found.append((part, answer))
            part, answer = "", ""
        part += piece
        answer = _stated(piece, known)
    if found and not answer:
        part, answer = found[-1][0] + part, found.pop()[1]
    return [*found, (part, answer)] if part.strip() else found


_SAID = re.compile(r"\banswer(?:\ is|\ should\ be|\ would\ be|\ must\ be|\s*[:=])\s*:?\s*([^\n]{1,200})", re.IGNORECASE)
_ENDS = re.compile(r"[,;!?](?=\s)|\.(?=\s|\Z)")
_LEADS = re.compile(
    r"(?:\b(?:so|therefore|thus|hence|total|gives?|is|are|equals?|makes?|get|leaves?|be|has|have)\b|=)[^.\n]*\Z",
    re.IGNORECASE)


def _stated(part: str, known: set[str]) -> str:
    """The answer that a part comes to; empty when it comes to none."""
    if boxed := boxes(part):
        together = "".join(part.split())
        return max(boxed, key=together.rfind)
    if said := _SAID.findall(part):
        return _plain(_ENDS.split(said[-1], maxsplit=1)[0])
    return next((value for value in sorted(known) if _concludes(part, value)), "")


def _concludes(part: str, value: str) -> bool:
    """Whether a sentence of `part` comes to `value`: "so that is 448", "272 + 176 = 448"."""
    at = len(part)
    while (at := part.rfind(value, 0, at)) >= 0:
        around = part[at - 1:at] + part[at + len(value):at + len(value) + 1]
        if not any(map(str.isalnum, around)) and _LEADS.search(part, max(0, at - 60), at):
            return True
    return False


def _plain(text: str) -> str:
    return text.strip(" .*$").replace(",", "").replace("**", "").removeprefix(r"\(").removesuffix(r"\)").strip(" $")
