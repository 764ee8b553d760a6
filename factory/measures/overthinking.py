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
from functools import lru_cache
from typing import Literal, NamedTuple

from factory.measures.answers import boxes, response_of
from factory.measures.words import pieces_between
from factory.measures.words import prepare as prepare
from factory.records import Problem, Trace
from factory.solutions import starts_over
from verifiers.answers import final_answer
from verifiers.math_equal import math_equal

VERSION = 2


class Solution(NamedTuple):
    """`size` in pieces (words, numbers, signs); `new`: unlike all before it."""

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


@lru_cache(maxsize=4)
def _solutions(raw: str, thinking: str, response: str, reference: str) -> tuple[Solution, ...]:
    text = thinking or raw
    parts = _parts(text, _known(response, reference))
    sizes = pieces_between(raw, text, [end for end, _ in parts])
    found: list[Solution] = []
    kinds: list[set[bytes]] = []
    begin = 0
    for (end, answer), size in zip(parts, sizes, strict=True):
        words = _words(text[begin:end]) if len(parts) > 1 else set()
        new = not any(len(words & other) > _ALIKE * len(words) for other in kinds)
        found.append(Solution(size, _right(answer, reference), new))
        kinds.append(words)
        begin = end
    return tuple(found)


@lru_cache(maxsize=1024)  # traces of one problem often come to the same answers
def _known(response: str, reference: str) -> list[str]:
    """What the trace ends with and what is right: an answer also where nothing marks it."""
    final = final_answer(response)
    return sorted({_plain(final.text) if final else "", _plain(reference)} - {""})


_LONGEST = 100  # characters of an answer that is compared by mathematics: nobody stops it here when it takes long
_WHOLE = re.compile(r"-?[1-9]\d{0,14}|0", re.ASCII)


@lru_cache(maxsize=1 << 14)
def _right(answer: str, reference: str) -> bool:
    """What is longer has to be the reference letter for letter."""
    if len(answer) > _LONGEST:
        return "".join(answer.split()) == "".join(reference.split())
    if _WHOLE.fullmatch(answer) and _WHOLE.fullmatch(reference):  # most are, and there is nothing to work out
        return answer == reference
    return math_equal(rf"\boxed{{{answer}}}", reference).status == "correct"


_ALIKE = 0.6  # of a solution's words and numbers in one before it: the same kind
_LETTERS = bytes(byte if chr(byte).isalpha() and byte < 128 else 32 for byte in range(256)).lower()
_DIGITS = bytes(byte if chr(byte).isdigit() and byte < 128 else 32 for byte in range(256))


def _words(part: str) -> set[bytes]:
    """The words of four letters or more, and the numbers. By tables: ten times quicker than an expression."""
    data = part.encode("utf-8", "surrogatepass")
    words = {word for word in set(data.translate(_LETTERS).split()) if len(word) > 3}
    return words.union(data.translate(_DIGITS).split())


def _parts(text: str, known: Sequence[str]) -> list[tuple[int, str]]:
    """Where each solution ends, and its answer; what comes behind the last answer belongs to the last, a text without
    is one."""
    found: list[tuple[int, str]] = []
    begin, answer = 0, ""
    for end in [*starts_over(text), len(text)]:
        if answer:
            found.append((begin, answer))
        answer = _stated(text[begin:end], known)
        begin = end
    if found and not answer:
        return [*found[:-1], (len(text), found[-1][1])]
    return [*found, (len(text), answer)] if text.strip() else found


_SAID = re.compile(r"\banswer(?:\ is|\ should\ be|\ would\ be|\ must\ be|\s*[:=])\s*:?\s*([^\n]{1,200})", re.IGNORECASE)
_ENDS = re.compile(r"[,;!?](?=\s)|\.(?=\s|\Z)")
_LEADS = re.compile(
    r"(?:\b(?:so|therefore|thus|hence|total|gives?|is|are|equals?|makes?|get|leaves?|be|has|have)\b|=)[^.\n]*\Z",
    re.IGNORECASE)


def _stated(part: str, known: Sequence[str]) -> str:
    """The answer that a part comes to; empty when it comes to none."""
    if boxed := boxes(part):
        together = "".join(part.split())
        return max(boxed, key=together.rfind)
    if "answer" in part.lower() and (said := _SAID.findall(part)):
        return _plain(_ENDS.split(said[-1], maxsplit=1)[0])
    return next((value for value in known if _concludes(part, value)), "")


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
