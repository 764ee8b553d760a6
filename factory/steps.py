"""The steps of a text, and how their scores become one score of the whole."""

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

Aggregate = Literal["min", "product", "mean", "last"]

AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,  # Math-Shepherd (Wang et al. 2024)
    "product": math.prod,  # PRM800K (Lightman et al. 2023)
    "mean": statistics.fmean,  # RLHFlow (Dong et al. 2024)
    "last": lambda scores: scores[-1],  # search-and-learn (Beeching et al. 2024)
}
"""They order solutions differently ([.9, .2, .95] against [.6, .6, .6]): name the one you use, always."""

assert tuple(AGGREGATES) == get_args(Aggregate)

_EMPTY = re.compile(r"\s*(</?\w+>)?\s*")
"""A line that says nothing: blank, or a tag alone."""


def steps_of(text: str, separator: str = "\n") -> list[str]:
    """`text` cut after each `separator`; joined they are the text. What says nothing goes with the step after it.

    So "<think>" and blank lines are never steps, and neither does a trailing newline make one (Skywork's PRM has a
    score for each newline token, and others where a tokenizer makes one token of two).
    """
    found: list[str] = []
    waiting = ""
    for piece in re.split(f"(?<={re.escape(separator)})", text):
        waiting += piece
        if not _EMPTY.fullmatch(piece):
            found.append(waiting)
            waiting = ""
    if waiting and found:
        found[-1] += waiting
    return found
