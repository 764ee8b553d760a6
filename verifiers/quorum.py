"""Tests that nobody wrote by hand: what most of several programs answer counts, and only where most agree.

As for Kimi k1.5 (2025, §2.3.1): of ten programs seven have to agree on an input, else it is no test; and nine have to
pass all tests, else the problem has none that can be trusted. Here programs are lists of what they gave on each input.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

AGREE, PASS = 0.7, 0.9
"""Shares of the programs that have to agree on an input, and to pass all tests."""


class Quorum(NamedTuple):
    """`elected`: what is right on each input, None where too few agree; `passing`: which programs pass all of it."""

    elected: list[Hashable | None]
    passing: list[int]
    sound: bool


def elect(outputs: Sequence[Sequence[Hashable | None]]) -> Quorum:
    """`outputs[program][input]`; None (it did not run to its end) agrees with nothing. Unsound without any test."""
    elected = [_elected(column, len(outputs)) for column in zip(*outputs, strict=True)]
    passing = [number for number, mine in enumerate(outputs)
               if all(right is None or right == got for right, got in zip(elected, mine, strict=True))]
    some = any(right is not None for right in elected)
    return Quorum(elected, passing, some and len(passing) >= needed(PASS, len(outputs)))


def needed(share: float, of: int) -> int:
    """The least number of `of` that is a share of at least `share`."""
    return math.ceil(share * of - 1e-9)


def _elected(column: Sequence[Hashable | None], programs: int) -> Hashable | None:
    votes = Counter(got for got in column if got is not None)
    best = votes.most_common(1)
    return best[0][0] if best and best[0][1] >= needed(AGREE, programs) else None
