"""Is the answer the number that a Python program printed as a float? GSM-Hard's references are such.

`1.23456789012345e+22` and `36.666666666666664` are only near the truth, so an exact answer (a whole number of 23
digits, 110/3) has to be within 1e-12 of them, relative; a decimal may also be the correct rounding, as in `math_close`.
A whole number of up to 15 digits is exact, and its neighbour is wrong.
"""

import re
from fractions import Fraction

from verifiers.answers import boxes
from verifiers.compare import lone_value
from verifiers.grammar import Unreadable, read
from verifiers.math_close import math_close
from verifiers.normal_form import tidy
from verifiers.numeric import TooLarge, between
from verifiers.verdict import Verdict

VERSION = 1

NEAR = Fraction(1, 10**12)
EXACT = 2**53
"""Whole floats below it are what they say."""

_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_FLOAT = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")


def float_close(response: str, reference: str) -> Verdict:
    """As `math_close`, with the tolerance of a float; undecided when the reference is none."""
    text = (boxes(reference) or [reference])[-1].strip()
    if not _FLOAT.fullmatch(text):
        return Verdict("undecided", reason=f"the reference {text[:40]!r} is no float")
    value = Fraction(text)
    exact = value.denominator == 1 and abs(value) < EXACT
    verdict = math_close(response, str(value.numerator) if exact else _plain(value))
    if exact or verdict.status == "correct" or verdict.answer is None:
        return verdict
    if _near(lone_value(tidy(verdict.answer)), value):
        return Verdict("correct", verdict.answer, "equal as floats")
    return verdict


def own_answer(reference: str) -> str:
    """A response that is right by the reference itself. ValueError when it is no float."""
    if not _FLOAT.fullmatch(reference.strip()):
        raise ValueError(f"{reference[:40]!r} is no float")
    value = Fraction(reference.strip())
    return f"\\boxed{{{value.numerator if value.denominator == 1 else _plain(value)}}}"


def _plain(value: Fraction) -> str:
    """Without an exponent, to twelve significant digits or more: those that a float surely has."""
    if value.denominator == 1:
        return str(value.numerator)
    places = max(0, 12 - len(str(abs(value.numerator) // value.denominator).lstrip("0")))
    size = abs(value)
    while size and size < Fraction(1, 10) and places < 40:
        size, places = size * 10, places + 1
    return f"{'-' if value < 0 else ''}{_decimal(round(abs(value) * 10**places), places)}"


def _decimal(scaled: int, places: int) -> str:
    digits = str(scaled).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def _near(answer: str, value: Fraction) -> bool:
    reach = abs(value) * NEAR
    answer = answer.replace(",", "") if _GROUPED.fullmatch(answer) else answer
    try:
        found = Fraction(answer) if _FLOAT.fullmatch(answer) else None
        if found is not None:
            return abs(found - value) <= reach
        return between(read(answer), value - reach, value + reach)
    except (Unreadable, TooLarge, ValueError, ZeroDivisionError):
        return False
