r"""Where answers stand in a trace: the part that the measures of format share. No measure itself.

Quicker and blunter than `verifiers.answers`, which reads one answer out: here the question is whether and how often.
"""

import re
from collections.abc import Iterator

from factory.measures.words import by_trace
from factory.records import Trace
from factory.thoughts import CLOSE, OPEN, split

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_UNCLOSED = 100  # boxes: a text that opens more of them is stuck, and each costs a look at what follows
_BETWEEN = re.compile(r"[\s$\\()]*(?:,|;|and|or|\\text\{[^{}]*\}|\\q?quad|[\s$])*[\s$\\()]*")

BOX, ANSWER, VALUE = 1, 2, 4
"""Bits of what a text may state an answer by: a box, the word, and from `VALUE` on one for each of some values."""


def response_of(trace: Trace) -> str:
    """The response of a trace; of a text whose thinking was never closed, nothing."""
    response = trace.completion.response
    tagged = OPEN in response or CLOSE in response  # no teacher of ours split it, or the tags are only talked about
    return _untagged(response) if tagged else response


@by_trace
def _untagged(response: str) -> str:
    return split(response)[1]


def boxes(text: str) -> list[str]:
    """What stands in the boxes of `text`, without blanks, each once, in the order in which it is last said; those
    listed beside each other are one answer."""
    found: dict[str, None] = {}
    begin = text.find("box")  # which is seldom there, and then near the end
    row, behind, unclosed = "", -1, 0
    for box in _BOX.finditer(text, max(begin - 2, 0) if begin >= 0 else len(text)):
        if box.start() < behind:
            continue  # in another one
        if (end := closing(text, box.end())) < 0:
            unclosed += 1
            if unclosed == _UNCLOSED:
                break
            continue
        inside = "".join(text[box.end():end].split())
        listed = box.start() > behind > 0 and _BETWEEN.fullmatch(text, behind, box.start())
        if listed:
            found.pop(row, None)
        row = f"{row},{inside}" if listed and inside != row else inside
        found.pop(row, None)
        found[row] = None
        behind = end + 1
    return [one for one in found if one]


def places(mark: str, text: str) -> Iterator[int]:
    """Where `mark` stands in `text`: for a pattern that begins with it, quicker than a search for the pattern."""
    at = text.find(mark)
    while at >= 0:
        yield at
        at = text.find(mark, at + 1)


def closing(text: str, start: int) -> int:
    """Where the brace closes that opened before `start`; -1 if it does not within 4000 characters."""
    depth = 1
    for token in _BRACE.finditer(text, start, start + 4_000):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.start()
    return -1
