"""The longest loop of a trace: one part of the text said over and over with nothing between, letter for letter.

A run of pieces (`words`) in which each of eight that follow each other stood the same number of pieces before is
periodic, after Crochemore's definition of a run; three times round makes it a loop. A text that goes round with another
number in each turn is none: `compression` and `repetition` see that.
"""

from bisect import bisect_right
from functools import lru_cache
from typing import Literal, NamedTuple

from factory.measures.words import Reading, read
from factory.measures.words import prepare as prepare
from factory.records import Problem, Trace

VERSION = 1

_PIECES = 8  # that have to be said again; fewer are found in any list
_TIMES = 3
_BEHIND = 8  # pieces that may follow a loop which ends the text: a closing tag, a cut-off word


class _Loop(NamedTuple):
    length: int  # bytes
    period: float  # bytes
    at_end: bool


def loop(problem: Problem, trace: Trace, *, of: Literal["length", "period", "times", "end"] = "length") -> float:
    """0 without a loop. `of` the longest: its `length` in bytes, the `period` in bytes, how many `times` round it went;
    or `end`: the length of the longest loop that lasts to the end of the text."""
    reading, index = read(trace.completion.raw)
    found = _loops(reading).get(index, [])
    if of == "end":
        return float(max((one.length for one in found if one.at_end), default=0))
    longest = max(found, default=None)
    if longest is None:
        return 0.0
    return {"length": float(longest.length), "period": longest.period, "times": longest.length / longest.period}[of]


@lru_cache(maxsize=2)
def _loops(reading: Reading) -> dict[int, list[_Loop]]:
    """The loops of each text that has one."""
    found: dict[int, list[_Loop]] = {}
    for first, size, period in reading.again(_PIECES).rounds.tolist():
        if size + _PIECES - 1 >= (_TIMES - 1) * period:
            begin, end = first - period, first + size + _PIECES - 2
            length = int(reading.ends[end]) - int(reading.starts[begin])
            text = bisect_right(reading.bounds, begin) - 1
            at_end = end >= reading.bounds[text + 1] - 1 - _BEHIND
            found.setdefault(text, []).append(_Loop(length, length * period / (end - begin + 1), at_end))
    return found
