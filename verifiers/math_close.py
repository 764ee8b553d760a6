"""`math_equal`, and a decimal also answers the exact value that it rounds: 0.4286 for 3/7, 3.14159 for pi.

The tolerance is stated by the decimal itself and relative to the number: of at least three significant digits, half a
unit of the last. Between two decimals the coarser one decides. Everything else is as in `math_equal`.
"""

import re
from fractions import Fraction

from verifiers.answers import boxes
from verifiers.compare import lone_value
from verifiers.grammar import Unreadable, read
from verifiers.math_equal import math_equal
from verifiers.normal_form import tidy
from verifiers.numeric import TooLarge, between
from verifiers.verdict import Verdict

VERSION = 1

_DECIMAL = re.compile(r"-?(\d*)\.(\d+)")
_SIGNIFICANT = 3


def math_close(response: str, reference: str) -> Verdict:
    """As `math_equal`; what it calls wrong is correct when one side is the other, correctly rounded."""
    verdict = math_equal(response, reference)
    if verdict.status != "wrong" or verdict.answer is None:
        return verdict
    mine, theirs = lone_value(tidy(verdict.answer)), lone_value(tidy((boxes(reference) or [reference])[-1]))
    if _rounds(mine, theirs) or _rounds(theirs, mine):
        return Verdict("correct", verdict.answer, "equal when rounded")
    return verdict


def _rounds(decimal: str, exact: str) -> bool:
    """Is `exact` within half a unit of the last digit of `decimal`, and no coarser decimal itself?"""
    found, other = _DECIMAL.fullmatch(decimal), _DECIMAL.fullmatch(exact)
    if not found or len((found[1] + found[2]).lstrip("0")) < _SIGNIFICANT:
        return False
    if other and len(other[2]) < len(found[2]):
        return False
    half = Fraction(1, 2 * 10 ** len(found[2]))
    try:
        return between(read(exact), Fraction(decimal) - half, Fraction(decimal) + half)
    except (Unreadable, TooLarge):
        return False
