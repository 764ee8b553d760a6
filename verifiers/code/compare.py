"""Is what a program gave what was expected? Decided outside the sandbox, on bytes and on values of exact builtin types.

Output: `exact` bytes; `trailing` (blanks at the ends of lines and blank lines at the end do not count); `tokens` (only
what stands between blanks counts). With a tolerance two tokens that are numbers may differ by it.

Values: lists and tuples are alike, a bool is no number, a whole float equals its integer, floats agree to one part in
10^9 unless a tolerance is given, a NaN or an infinity equals nothing, sets have no order. JSON has only texts as keys
and no sets, so an expected "1" fits the key 1 and an expected list fits a set of its items.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Policy = Literal["exact", "trailing", "tokens"]

SHOWN = 200
"""Characters of a value or a line that a reason shows."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may be apart: `absolute`, or `relative` to the larger one."""

    absolute: float = 1e-9
    relative: float = 1e-9

    def holds(self, left: float, right: float) -> bool:
        if not (math.isfinite(left) and math.isfinite(right)):
            return False
        return math.isclose(left, right, rel_tol=self.relative, abs_tol=self.absolute)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How outputs are compared; without a tolerance numbers in an output are text like all else."""

    policy: Policy = "trailing"
    tolerance: Tolerance | None = None


def same_output(got: bytes, expected: bytes, how: Comparison) -> bool:
    """Is the output right?"""
    if how.policy == "exact":
        return got == expected
    if how.tolerance is not None:
        return _same_numbers(_rows(got, how.policy), _rows(expected, how.policy), how.tolerance)
    if how.policy == "tokens":
        return got.split() == expected.split()
    return got == expected or _lines(got) == _lines(expected)


def _lines(output: bytes) -> list[bytes]:
    return [line.rstrip() for line in output.rstrip().split(b"\n")]


def _rows(output: bytes, policy: Policy) -> list[list[bytes]]:
    """Tokens, line by line unless lines do not count."""
    return [output.split()] if policy == "tokens" else [line.split() for line in _lines(output)]


def _same_numbers(got: list[list[bytes]], expected: list[list[bytes]], tolerance: Tolerance) -> bool:
    return len(got) == len(expected) and all(
        len(ours) == len(theirs) and all(_same_token(a, b, tolerance) for a, b in zip(ours, theirs, strict=True))
        for ours, theirs in zip(got, expected, strict=True))


_NUMBER = re.compile(rb"[-+]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][-+]?\d{1,4})?")


def _same_token(got: bytes, expected: bytes, tolerance: Tolerance) -> bool:
    if got == expected:
        return True
    numbers = _NUMBER.fullmatch(got) and _NUMBER.fullmatch(expected)
    return bool(numbers) and tolerance.holds(float(got), float(expected))


def same_value(got: Any, expected: Any, tolerance: Tolerance | None = None) -> bool:
    """Is the returned value right? Both are trees of exact builtin types; the expected one is of JSON."""
    tolerance = tolerance or Tolerance()
    if isinstance(got, (set, frozenset)):
        return _same_items(got, expected, tolerance)
    if isinstance(got, (list, tuple)):
        return isinstance(expected, (list, tuple)) and len(got) == len(expected) and all(
            same_value(a, b, tolerance) for a, b in zip(got, expected, strict=True))
    if isinstance(got, dict):
        return isinstance(expected, dict) and _same_entries(got, expected, tolerance)
    if _is_number(got) and _is_number(expected):
        return _same_number(got, expected, tolerance)
    return type(got) is type(expected) and bool(got == expected)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same_number(got: float, expected: float, tolerance: Tolerance) -> bool:
    if isinstance(got, int) and isinstance(expected, int):
        return got == expected
    try:
        return tolerance.holds(float(got), float(expected))
    except OverflowError:  # an integer that no float can hold
        return False


def _same_items(got: Any, expected: Any, tolerance: Tolerance) -> bool:
    """A set against a list or a set, in any order; each item must be there once."""
    if not isinstance(expected, (list, tuple, set, frozenset)) or len(got) != len(expected):
        return False
    if set(map(type, got)) | set(map(type, expected)) <= {int, str}:  # else it takes the square of their number
        return bool(got == set(expected))
    left = list(got)
    for item in expected:
        place = next((i for i, one in enumerate(left) if same_value(one, item, tolerance)), None)
        if place is None:
            return False
        del left[place]
    return True


def _same_entries(got: Mapping[Any, Any], expected: Mapping[Any, Any], tolerance: Tolerance) -> bool:
    keyed = {_key(key): value for key, value in got.items()} if all(map(_is_text, expected)) else dict(got)
    return len(keyed) == len(got) == len(expected) and all(
        key in keyed and same_value(keyed[key], value, tolerance) for key, value in expected.items())


def _is_text(key: Any) -> bool:
    return isinstance(key, str)


def _key(key: Any) -> Any:
    """As JSON writes a key."""
    return str(key) if type(key) is float or (type(key) is int and key.bit_length() < 1_000) else key


def shown(value: Any) -> str:
    """A value for a reason, cut to SHOWN characters; a long one is not written out first."""
    if isinstance(value, int) and abs(value) >= 10**400:
        return "an integer of over 400 digits"
    if isinstance(value, (bytes, str, list, tuple)) and len(value) > SHOWN:
        return cut(repr(value[:SHOWN])) + f" ({len(value)} in all)"
    try:
        return cut(repr(value))
    except (RecursionError, ValueError):  # too deep; an integer of over 4300 digits in it
        return f"a {type(value).__name__} that cannot be written here"


def cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def first_difference(got: bytes, expected: bytes) -> str:
    """Where two outputs part: `line 2: got '1', expected '3'`; lines cut to SHOWN characters."""
    ours, theirs = _lines(got), _lines(expected)
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), 1):
        if a != b:
            return f"{_line_number(number, theirs)}got {_line(a)}, expected {_line(b)}"
    number = min(len(ours), len(theirs))
    if len(ours) > number:
        return f"line {number + 1}: got {_line(ours[number])}, expected the end"
    if len(theirs) > number:
        return f"line {number + 1}: got the end, expected {_line(theirs[number])}"
    return f"got {_line(got)}, expected {_line(expected)}"  # only blanks differ


def _line_number(number: int, lines: Sequence[bytes]) -> str:
    return f"line {number}: " if len(lines) > 1 else ""


def _line(line: bytes) -> str:
    return shown(line[:4 * SHOWN].decode("utf-8", "backslashreplace"))
