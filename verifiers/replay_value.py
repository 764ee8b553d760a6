"""The value of a row of tokens as an exact fraction, and whether two values are what an equals sign says."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol


class Unclear(ValueError):
    """No value, or more than one reading."""


class Token(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class Value:
    """`exact` as written; it lies between `low` and `high` if decimals were rounded before they were written.

    `digits` behind the point when it is a single number, else None. `percent`: a percent sign was read as hundredths.
    `divided`: a division took part, so a whole number may be a quotient without its remainder.
    """

    __slots__ = ("digits", "divided", "exact", "high", "low", "percent")

    def __init__(self, exact: Fraction, slack: Fraction = Fraction(0), digits: int | None = None) -> None:
        self.exact, self.low, self.high = exact, exact - slack, exact + slack
        self.digits, self.percent, self.divided = digits, False, False


_BITS, _EXPONENT = 2_000, 64  # of a value; of a power
_SIGNS = {"×": "*", "·": "*", "⋅": "*", "∙": "*", r"\times": "*", r"\cdot": "*", r"\*": "*", "x": "*", "÷": "/",
          r"\div": "/", "⁄": "/", "−": "-", "–": "-", "**": "^"}  # fmt: skip


def parse(tokens: Sequence[Token]) -> Value:
    """The value of all the tokens. Raises Unclear, or ZeroDivisionError."""
    reader = _Reader(tokens)
    value = reader.sum()
    if reader.at != len(tokens):
        raise Unclear
    return value


class _Reader:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def sum(self) -> Value:
        sign = self._take("+-")
        value = self.product()
        if sign == "-":
            value = _signed(value)
        while operation := self._take("+-"):
            other = self.product()
            value = _combined(value, other, operation)
        return value

    def product(self) -> Value:
        value, divided = self.power(), False
        while self.at < len(self.tokens):
            if operation := self._take("*/"):
                divided = divided or operation == "/"
                value = _combined(value, self._factor(), operation)
            elif self._peek() == "open":
                if divided or self._is_note():
                    raise Unclear  # 6/2(1+2); 0.32 (32%)
                value = _combined(value, self.power(), "*")
            else:
                break
        return value

    def _is_note(self) -> bool:
        """A single number in a bracket of its own, apart from what stands before it."""
        one = self.at + 3 <= len(self.tokens) and any(t.kind == "close" for t in self.tokens[self.at + 2 : self.at + 4])
        return one and self.tokens[self.at - 1].end < self.tokens[self.at].start

    def _factor(self) -> Value:
        return _signed(self.power()) if self._take("-") else self.power()

    def power(self) -> Value:
        negative = self._text() == "-"
        base = self.atom()
        while self._peek() in ("op", "post"):
            text = self.tokens[self.at].text
            if text in ("²", "³"):
                exponent: int | None = 2 if text == "²" else 3
                self.at += 1
            elif self._take("^"):
                exponent = _exponent(self._factor())
            elif self._peek() == "post":
                self.at += 1
                base = _post(base, text)
                continue
            else:
                break
            if negative or exponent is None:
                raise Unclear
            base = _raised(base, exponent)
        return base

    def atom(self) -> Value:
        if self.at >= len(self.tokens):
            raise Unclear
        token = self.tokens[self.at]
        self.at += 1
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "frac":
            return self._fraction()
        if token.kind != "open":
            raise Unclear
        return self._bracket(token.text)

    def _bracket(self, opening: str) -> Value:
        self.depth += 1
        if self.depth > 30:
            raise Unclear
        inside = self.sum()
        closing = self.tokens[self.at].text if self.at < len(self.tokens) else ""
        if (opening[-1], closing[-1:]) not in (("(", ")"), ("[", "]"), ("{", "}")):
            raise Unclear
        self.at += 1
        self.depth -= 1
        inside.digits = None if opening != "{" else inside.digits
        return inside

    def _fraction(self) -> Value:
        if self._text().isdigit() and len(self._text()) == 2:  # \frac12
            above, below = (_number(digit) for digit in self._text())
            self.at += 1
            return _combined(above, below, "/")
        if self._text() != "{":
            raise Unclear
        above = self.atom()
        if self._text() != "{":
            raise Unclear
        return _combined(above, self.atom(), "/")

    def _take(self, signs: str) -> str:
        if self._peek() != "op":
            return ""
        text = self.tokens[self.at].text
        sign = _SIGNS.get(text, text)
        if sign not in signs:
            return ""
        self.at += 1
        return sign

    def _peek(self) -> str:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else ""

    def _text(self) -> str:
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""


def _number(text: str) -> Value:
    plain = "".join(character for character in text if character.isdigit() or character == ".")  # 12{,}000
    if len(plain) > 40:
        raise Unclear
    digits = len(plain.partition(".")[2])
    if plain.startswith("0") and len(plain) > 1 and not digits:
        raise Unclear  # 007 + 1 is no sum
    slack = Fraction(1, 10**digits) if digits > 1 else Fraction(0)
    return Value(Fraction(plain), slack, digits)


def _exponent(value: Value) -> int | None:
    return int(value.exact) if value.exact.denominator == 1 and abs(value.exact) <= _EXPONENT else None


def _raised(base: Value, exponent: int) -> Value:
    if abs(exponent) * max(base.exact.numerator.bit_length(), base.exact.denominator.bit_length()) > _BITS:
        raise Unclear
    return _spanned([end**exponent for end in (base.exact, base.low, base.high)], base, base)


def _signed(value: Value) -> Value:
    made = _spanned([-value.exact, -value.low, -value.high], value, value)
    made.digits = value.digits
    return made


def _post(value: Value, text: str) -> Value:
    if text == "!":
        if value.exact.denominator != 1 or not 0 <= value.exact <= 40:
            raise Unclear
        return Value(Fraction(math.factorial(int(value.exact))))
    made = _spanned([end / 100 for end in (value.exact, value.low, value.high)], value, value)
    made.digits = None if value.digits is None else value.digits + 2
    made.percent = True
    return made


def _combined(one: Value, other: Value, operation: str) -> Value:
    if operation in "+-" and one.percent != other.percent:
        raise Unclear  # 100 + 20 % is 120 to many
    exact = _worked(one.exact, other.exact, operation)
    ends = [_worked(a, b, operation) for a in (one.low, one.high) for b in (other.low, other.high)
            if operation != "/" or b]  # fmt: skip
    made = _spanned([exact, *ends], one, other)
    made.divided = made.divided or operation == "/"
    return made


def _worked(one: Fraction, other: Fraction, operation: str) -> Fraction:
    if operation == "+":
        return one + other
    if operation == "-":
        return one - other
    return one * other if operation == "*" else one / other


def _spanned(values: list[Fraction], one: Value, other: Value) -> Value:
    if max(values[0].numerator.bit_length(), values[0].denominator.bit_length()) > _BITS:
        raise Unclear
    made = Value(values[0])
    made.low, made.high = min(values), max(values)
    made.percent, made.divided = one.percent or other.percent, one.divided or other.divided
    return made


def judge(left: Value, right: Value, about: bool) -> bool | None:
    """True: equal, or one is a correct rounding of the other. False: neither that nor anything that excuses it."""
    if left.exact == right.exact or _rounds_to(left, right) or _rounds_to(right, left):
        return True
    if about:
        far = abs(left.exact - right.exact) > abs(left.exact) / 10 and abs(left.exact - right.exact) > 1
        return None if not far else False
    if left.percent or right.percent:
        readings = [left.exact * factor for factor in (Fraction(1, 100), 100)]
        if any(_rounds_to(Value(reading), right) or reading == right.exact for reading in readings):
            return True
    return None if _excused(left, right) or _excused(right, left) else False


def _rounds_to(exact: Value, written: Value) -> bool:
    """Is `written` a decimal (or a percentage) that `exact` rounds to?"""
    if not written.digits or exact.digits is not None:
        return False
    return abs(exact.exact - written.exact) <= Fraction(1, 2 * 10**written.digits)


def _excused(left: Value, right: Value) -> bool:
    """Rounded on the way, cut off instead of rounded, a quotient without its remainder, another power of ten."""
    if left.low <= right.high and right.low <= left.high:
        return True
    if right.digits is None:
        return False
    if right.digits and abs(left.exact - right.exact) <= Fraction(1, 10**right.digits):
        return True
    if left.exact.denominator != 1 and not right.digits and abs(left.exact - right.exact) < 1:
        return True
    return (left.percent or right.percent) and left.exact in (right.exact * 100, right.exact / 100)
