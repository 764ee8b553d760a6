"""Which of two decimals is larger, 9.11 or 9.9? Exact, with fractions.

The reference is the right one, or `{"numbers": ["9.11", "9.9"], "ask": "larger"}` (or "smaller"), from which the truth
is worked out here. The answer is a number (`9.9`, `9.90`) or a comparison of the two (`9.9 > 9.11`, "9.9 is larger
than 9.11"), which counts as right when it is true.
"""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from verifiers.answers import boxes, final_answer
from verifiers.json_equal import read
from verifiers.normal_form import tidy
from verifiers.verdict import Verdict

VERSION = 1

CHARACTERS = 500  # of a final answer
DIGITS = 100  # of a number


class Question(NamedTuple):
    """The right number, and both where they are known."""

    right: Fraction
    both: frozenset[Fraction]


def decimal_compare(response: str, reference: str) -> Verdict:
    """Compare exactly; undecided when a side names no number, or two of them without comparing."""
    answer = final_answer(response)
    if answer is None:
        return Verdict("undecided", reason="no final answer found")
    question = _question(reference)
    if question is None:
        return Verdict("undecided", answer.text, "the reference is neither a decimal nor two different ones and an ask")
    right = _is_right(answer.text, question)
    if right is None:
        return Verdict("undecided", answer.text, "the final answer does not name one of the numbers")
    return Verdict("correct" if right else "wrong", answer.text, answer.note)


def own_answer(reference: str) -> str:
    """A response that is right by the reference itself. ValueError when it is malformed."""
    question = _question(reference)
    if question is None:
        raise ValueError("it is neither a decimal nor two different ones and an ask")
    places = len(str(question.right.denominator))  # of a decimal it divides a power of ten
    while 10**places % question.right.denominator:
        places += 1
    digits = str(abs(question.right.numerator) * 10**places // question.right.denominator).rjust(places + 1, "0")
    return f"\\boxed{{{'-' if question.right < 0 else ''}{digits[:-places]}.{digits[-places:]}}}"


def _question(reference: str) -> Question | None:
    try:
        given: Any = read(reference)
    except ValueError:
        given = tidy((boxes(reference[:CHARACTERS]) or [reference[:CHARACTERS]])[-1])
    if not isinstance(given, dict):
        right = _number(given)
        return None if right is None else Question(right, frozenset())
    numbers, ask = given.get("numbers"), given.get("ask")
    read_ones = [_number(number) for number in numbers] if isinstance(numbers, list) else []
    both = frozenset(number for number in read_ones if number is not None)
    if len(read_ones) != 2 or len(both) != 2 or ask not in ("larger", "smaller"):
        return None
    return Question(max(both) if ask == "larger" else min(both), both)


_DECIMAL = r"[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"


def _number(given: Any) -> Fraction | None:
    if isinstance(given, Decimal) and abs(given.adjusted()) < DIGITS:
        given = f"{given:f}"
    if isinstance(given, bool) or not isinstance(given, (str, int)):
        return None
    text = str(given).strip()
    return Fraction(text) if len(text) <= DIGITS and re.fullmatch(_DECIMAL, text) else None


_LARGER = r"larger|bigger|greater|higher|more"
_SMALLER = r"smaller|less|lower"
_CLAIM = re.compile(
    rf"(?P<left>{_DECIMAL})\s*(?:>|\\gt\b|is (?:the )?(?:{_LARGER}) than)\s*(?P<right>{_DECIMAL})"
    rf"|(?P<left2>{_DECIMAL})\s*(?:<|\\lt\b|is (?:the )?(?:{_SMALLER}) than)\s*(?P<right2>{_DECIMAL})"
)
_NAMED = re.compile(rf"(?<![\w.,])({_DECIMAL})(?![\w,]|\.\d)")


def _is_right(text: str, question: Question) -> bool | None:
    """None when the text names no number or several without comparing two."""
    if len(text) > CHARACTERS:
        return None
    plain = re.sub(r"\([^()]*\)", " ", tidy(text)).lower() if _NAMED.match(tidy(text)) else tidy(text).lower()
    claims = list(_CLAIM.finditer(plain))
    named = {Fraction(number) for number in _NAMED.findall(plain)}
    if not claims:
        return next(iter(named)) == question.right if len(named) == 1 else None
    if len(claims) > 1 or len(named) != 2 or re.search(r"\bnot\b|n't\b", plain):
        return None
    return _holds(claims[0], named, question)


def _holds(claim: re.Match[str], named: set[Fraction], question: Question) -> bool | None:
    if question.right not in named or question.both not in (frozenset(), frozenset(named)):
        return None
    high, low = (claim["left"], claim["right"]) if claim["left"] else (claim["right2"], claim["left2"])
    return Fraction(high) > Fraction(low)
