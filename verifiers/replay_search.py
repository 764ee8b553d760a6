"""Searches over numbers, as in the game of 24 and Countdown: `10 - 4 = 6 (left: 5 6 6)`.

Each step takes two numbers that are there and puts their result in their place. A search may go back to any state it
has been in; what is left after a step has to follow from one of them.
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

State = tuple[Fraction, ...]  # sorted


class Move(NamedTuple):
    """One step of a search between `start` and `end`; `found` is empty when it is right. `state`: what it leaves."""

    start: int
    end: int
    found: str
    state: State


_VALUE = r"-?\d{1,9}(?:\.\d{1,9})?(?:/\d{1,9})?"
_STEP = re.compile(
    rf"(?<![\d.)/*+×÷])(?<![\d)]\ )(?P<a>{_VALUE})\s*(?P<op>[-+*/×÷−x])\s*(?P<b>{_VALUE})\s*=\s*(?P<c>{_VALUE})"
    r"\s*[,;(\[|]{0,2}\s*(?:(?:numbers?\s)?(?:left|remaining)|(?:remaining|resulting|left)\snumbers?)"
    rf"\s*:\s*[\[({{]?\s*(?P<left>{_VALUE}(?:(?:\s*,\s*|\s+(?:and\s+)?){_VALUE}){{0,11}})",
    re.IGNORECASE,
)


_STATES = 300  # the latest of a search, to which it may go back


def moves(text: str, numbers: Sequence[Fraction] = ()) -> Iterator[Move]:
    """The steps of the search in `text` from `numbers`; without them, from what the first step implies."""
    seen: list[State] = [tuple(sorted(numbers))] if numbers else []
    for match in _STEP.finditer(text):
        used, made = [_fraction(match["a"]), _fraction(match["b"])], _fraction(match["c"])
        left = tuple(sorted(_fraction(value) for value in re.findall(_VALUE, match["left"])))
        if not numbers and (not seen or len(left) >= len(seen[0])):
            seen = [_before(used, made, left)]
        found = _arithmetic(match, used, made) or _follows(seen, used, made, left)
        if left not in seen:  # wrong or not, what comes after starts from it: one slip is one wrong step
            seen = [*seen[:1], *seen[1:][-_STATES:], left]
        yield Move(match.start(), match.end(), found, left)


def _fraction(text: str) -> Fraction:
    whole, _, below = text.partition("/")
    return Fraction(whole) / (int(below) or 1) if below else Fraction(whole)


def _before(used: list[Fraction], made: Fraction, left: State) -> State:
    rest = list(left)
    if made in rest:
        rest.remove(made)
    return tuple(sorted([*rest, *used]))


def _arithmetic(match: re.Match[str], used: list[Fraction], made: Fraction) -> str:
    one, other = used
    operation = match["op"]
    if operation in "/÷" and not other:
        return "a division by zero"
    value = {"+": one + other, "-": one - other, "−": one - other}.get(operation)
    if value is None:
        value = one / other if operation in "/÷" else one * other
    digits = max(len(match[name].partition(".")[2]) for name in "abc")
    slack = max(abs(value), Fraction(1)) * Fraction(1, 50) if digits else Fraction(0)  # decimals were rounded
    return "" if abs(value - made) <= slack else f"{one} {operation} {other} is {value}, not {made}"


def _follows(seen: list[State], used: list[Fraction], made: Fraction, left: State) -> str:
    """Empty when `left` follows from a state seen before, else what is amiss."""
    reasons = []
    for state in reversed(seen):
        rest = list(state)
        try:
            for value in used:
                rest.remove(value)
        except ValueError:
            reasons.append(f"{value} is not among {_listed(state)}")
            continue
        expected = tuple(sorted([*rest, made]))
        if expected == left:
            return ""
        reasons.append(f"{_listed(expected)} are left, not {_listed(left)}")
    return next((reason for reason in reasons if " are left" in reason), reasons[0])


def _listed(state: State) -> str:
    return " ".join(map(str, state)) or "nothing"
