r"""What an expression is worth: exact fractions where that is possible, 60 digits where it is not.

    equal(read(r"\sqrt{8}"), read(r"2\sqrt2"))  # True

Two expressions are equal when their values agree at random points of their symbols (Schwartz 1980, Zippel 1979:
for polynomials of degree d a false agreement at k points from a set of size N has probability (d/N)^k; with the sets
below under 1e-12). Everything is capped before it is worked out: a value over the caps is `TooLarge`, never a guess.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import comb, factorial, prod
from typing import Any

from verifiers.grammar import Node, Unreadable
from verifiers.vocabulary import INVERTED

BITS = 4_000  # of an exact number
MAGNITUDE = 20_000  # bits of the exponent's reach of an inexact one
ARGUMENT = 5_000  # of a factorial
DIGITS = 60
TERMS = 1_000  # of a finite sum

Point = Mapping[str, Fraction]


class TooLarge(ArithmeticError):
    """A value over the caps."""


class _Inexact(ArithmeticError):
    """No fraction; 60 digits are needed."""


def symbols(node: Node) -> set[str]:
    """The names that stand for a value in `node`."""
    found, open_nodes = set(), [node]
    while open_nodes:
        here = open_nodes.pop()
        if here.kind == "symbol":
            found.add(str(here.value))
        open_nodes.extend(here.parts)
    return found


def points(names: set[str], count: int = 2, wide: bool = False) -> Iterator[Point]:
    """Random positive points, then one of mixed signs; the same ones for the same names. `wide` adds twelve of all
    sizes, for functions that agree on one side of a kink, as |x - 4| and 4 - x do."""
    chance = random.Random(20260101)
    for last in (False,) * count + (True,):
        yield {
            name: Fraction(chance.randint(10**6, 10**7) * (-1 if last and n % 2 == 0 else 1), 3 * 10**6 + 7)
            for n, name in enumerate(sorted(names))
        }
    for size in (1, 4, 10, 40, 100, 400) if wide and names else ():
        for sign in (1, -1):
            yield {name: Fraction(sign * size * chance.randint(10**6, 10**7), 10**8 + 7) for name in sorted(names)}


_KINKED = frozenset(
    ["abs", "max", "min", "floor", "ceil", "asin", "acos", "atan", *(f"arc{name}" for name in INVERTED)]
)


def has_kinks(node: Node) -> bool:
    """May its value change its course somewhere, as |x| does at 0?"""
    root = node.kind == "power" and node.parts[1].kind == "quotient" and bool(symbols(node.parts[0]))
    return root or node.value in _KINKED or any(map(has_kinks, node.parts))


def equal(left: Node, right: Node) -> bool | None:
    """Is `left` equal to `right` wherever both have a value? None when they never have.

    Raises TooLarge over the caps and Unreadable for nodes without a value (sets, relations, words).
    """
    names, agreed = symbols(left) | symbols(right), None
    for point in points(names, 2, has_kinks(left) or has_kinks(right)):
        same = agree(left, right, point)
        if same is False:
            return False
        agreed = agreed or same
        if not names:
            break
    return agreed


def between(node: Node, low: Fraction, high: Fraction) -> bool:
    """Is the value of a constant expression, a real one, from `low` to `high`? False for one with symbols."""
    import mpmath

    if symbols(node):
        return False
    with mpmath.workdps(DIGITS):
        value = inexact(node, {})
        if value is None or isinstance(value, mpmath.mpc):
            return False
        ends = [mpmath.mpf(end.numerator) / end.denominator for end in (low, high)]
        return bool(ends[0] <= value <= ends[1])


def agree(left: Node, right: Node, point: Point) -> bool | None:
    """Do both have the same value at `point`? None where one has no (real, on mixed signs) value."""
    for work_out in (exact, _residues):
        try:
            return work_out(left, point) == work_out(right, point)
        except _Inexact:
            continue
        except ZeroDivisionError:
            return None
    mixed = any(value < 0 for value in point.values())
    return _agree_in_digits(left, right, point, mixed)


def _agree_in_digits(left: Node, right: Node, point: Point, mixed: bool) -> bool | None:
    import mpmath

    with mpmath.workdps(DIGITS):
        one, other = inexact(left, point), inexact(right, point)
        if one is None or other is None or (mixed and (isinstance(one, mpmath.mpc) or isinstance(other, mpmath.mpc))):
            return None
        scale, distance = max(abs(one), abs(other)), abs(one - other)
        if distance <= scale * mpmath.mpf(10) ** -40:
            return _agree_to_the_end(left, right, point, scale)
        if min(abs(one), abs(other)) > scale * mpmath.mpf(10) ** -30 or scale > mpmath.mpf(10) ** -30:
            return False
    # One of them may be zero but for rounding: then it shrinks with more digits.
    with mpmath.workdps(3 * DIGITS):
        one, other = inexact(left, point), inexact(right, point)
        return one is not None and other is not None and bool(abs(one - other) <= scale * mpmath.mpf(10) ** -60)


def _agree_to_the_end(left: Node, right: Node, point: Point, scale: Any) -> bool:
    """Once more with so many digits that a 1 beside the largest value would show."""
    import mpmath

    with mpmath.workdps(2 * DIGITS + max(0, int(mpmath.mag(scale) * 0.302)) if scale else DIGITS):
        one, other = inexact(left, point), inexact(right, point)
        return (
            one is not None
            and other is not None
            and bool(abs(one - other) <= max(abs(one), abs(other)) * mpmath.mpf(10) ** (20 - mpmath.mp.dps))
        )


def exact(node: Node, point: Point) -> Fraction:
    """The value as a fraction. Raises what `equal` raises, and ZeroDivisionError."""
    return _capped(_EXACT.get(node.kind, _no_fraction)(node, point))


def _capped(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > BITS:
        raise _Inexact
    return value


def _no_fraction(node: Node, point: Point) -> Fraction:
    if node.kind in ("constant", "function"):
        raise _Inexact
    raise Unreadable(f"a {node.kind} has no value")


def _exact_sum(node: Node, point: Point) -> Fraction:
    return sum((exact(part, point) for part in node.parts), Fraction(0))


def _exact_product(node: Node, point: Point) -> Fraction:
    result = Fraction(1)
    for part in node.parts:
        result = _capped(result * exact(part, point))
    return result


def _exact_power(node: Node, point: Point) -> Fraction:
    base, exponent = (exact(part, point) for part in node.parts)
    if exponent.denominator == 1:
        size = base.numerator.bit_length() + base.denominator.bit_length()
        if abs(exponent) * size > BITS + 4 and abs(base) != 1:
            raise _Inexact
        return Fraction(base**exponent)
    raise _Inexact


def _exact_factorial(node: Node, point: Point) -> Fraction:
    n = exact(node.parts[0], point)
    if n.denominator != 1 or n < 0 or n > 400:
        raise _Inexact
    return Fraction(factorial(int(n)))


def _exact_choice(node: Node, point: Point) -> Fraction:
    n, k = (exact(part, point) for part in node.parts)
    if k.denominator != 1 or not 0 <= k <= 1_000 or abs(n) > 10**4:
        raise TooLarge("a binomial coefficient too large to work out")
    if n.denominator == 1 and n >= 0:
        return Fraction(comb(int(n), int(k)))
    return prod((n - j for j in range(int(k))), start=Fraction(1)) / factorial(int(k))


def _exact_operator(node: Node, point: Point) -> Fraction:
    """A finite sum or product is worked out; of an integral or a limit only the spelling is known."""
    start, end, body = node.parts
    finite = start.kind == "relation" and start.value == ("=",) and end.kind == "number"
    if not finite or node.value not in ("sum", "prod"):
        return _unknown(node)
    name, first, last = str(start.parts[0].value), exact(start.parts[1], point), exact(end, point)
    if first.denominator * last.denominator != 1 or last - first > TERMS:
        raise TooLarge(f"a sum or product of over {TERMS} terms")
    terms = (exact(body, {**point, name: Fraction(n)}) for n in range(int(first), int(last) + 1))
    return _capped(sum(terms, Fraction(0)) if node.value == "sum" else prod(terms, start=Fraction(1)))


def _unknown(node: Node) -> Fraction:
    """One value for one spelling: f(x, y) equals itself and nothing else."""
    return Fraction(int.from_bytes(hashlib.blake2b(repr(node).encode(), digest_size=8).digest()), 10**15 + 37)


_PRIMES = (2**127 - 1, 2**521 - 1)


def _residues(node: Node, point: Point) -> tuple[int, ...]:
    """The value modulo two large primes, for rational expressions whose exact value is too long to write down."""
    return tuple(_residue(node, point, prime) for prime in _PRIMES)


def _residue(node: Node, point: Point, prime: int) -> int:
    parts = node.parts
    if node.kind in ("sum", "product"):
        result = 0 if node.kind == "sum" else 1
        for part in parts:
            value = _residue(part, point, prime)
            result = (result + value if node.kind == "sum" else result * value) % prime
        return result
    if node.kind == "quotient":
        return _residue(parts[0], point, prime) * _inverse(_residue(parts[1], point, prime), prime) % prime
    if node.kind == "power":
        base, exponent = _residue(parts[0], point, prime), exact(parts[1], point)
        if exponent.denominator != 1:
            raise _Inexact
        return pow(base if exponent >= 0 else _inverse(base, prime), abs(int(exponent)), prime)
    value_ = exact(node, point)
    return value_.numerator * _inverse(value_.denominator % prime, prime) % prime


def _inverse(value: int, prime: int) -> int:
    if not value:
        raise ZeroDivisionError
    return pow(value, -1, prime)


_EXACT: Mapping[str, Any] = {
    "number": lambda node, point: node.value,
    "symbol": lambda node, point: point[node.value],
    "sum": _exact_sum,
    "product": _exact_product,
    "quotient": lambda node, point: exact(node.parts[0], point) / exact(node.parts[1], point),
    "power": _exact_power,
    "factorial": _exact_factorial,
    "choice": _exact_choice,
    "percent": lambda node, point: exact(node.parts[0], point) / 100,
    "unit": lambda node, point: exact(node.parts[0], point),
    "operator": lambda node, point: _exact_operator(node, point),
    "call": lambda node, point: _unknown(node),
}


def inexact(node: Node, point: Point) -> Any:
    """The value as an mpmath number at the current precision; None where there is none (a pole, infinity)."""
    import mpmath

    try:
        value = _Digits(mpmath, point).value(node)
    except Unreadable:
        raise
    except (ZeroDivisionError, ValueError):
        return None
    except OverflowError as error:
        raise TooLarge("powers too large to work out") from error
    except _Inexact as error:
        raise TooLarge("no fraction where one is needed") from error
    if isinstance(value, mpmath.mpc) and abs(value.imag) <= abs(value.real) * mpmath.mpf(10) ** (10 - mpmath.mp.dps):
        value = value.real
    return value if mpmath.isfinite(value) else None


class _Digits:
    """Evaluation in mpmath numbers; each result is checked before the next operation can see it."""

    def __init__(self, mpmath: Any, point: Point) -> None:
        self.mpmath, self.point = mpmath, point

    def value(self, node: Node) -> Any:
        rule = getattr(self, f"_{node.kind}", None)
        if rule is None:
            raise Unreadable(f"a {node.kind} has no value")
        result = rule(node)
        if self._bits(result) > MAGNITUDE:
            raise TooLarge("powers too large to work out")
        return result

    def _bits(self, value: Any) -> float:
        """The binary logarithm's size of a value: 0 for zero."""
        size = self.mpmath.mag(value) if value else 0
        return abs(size) if self.mpmath.isfinite(size) else 0

    def _fraction(self, value: Fraction) -> Any:
        return self.mpmath.mpf(value.numerator) / value.denominator

    def _number(self, node: Node) -> Any:
        return self._fraction(node.value)  # type: ignore[arg-type]

    def _symbol(self, node: Node) -> Any:
        return self._fraction(self.point[str(node.value)])

    def _constant(self, node: Node) -> Any:
        known = {"pi": self.mpmath.pi, "e": self.mpmath.e, "i": self.mpmath.mpc(0, 1)}
        if node.value not in known:
            raise Unreadable(f"{node.value} in an expression")
        return +known[str(node.value)]

    def _sum(self, node: Node) -> Any:
        return self.mpmath.fsum(self.value(part) for part in node.parts)

    def _product(self, node: Node) -> Any:
        result = self.mpmath.mpf(1)
        for part in node.parts:
            result *= self.value(part)
        return result

    def _quotient(self, node: Node) -> Any:
        return self.value(node.parts[0]) / self.value(node.parts[1])

    def _power(self, node: Node) -> Any:
        base, exponent = self.value(node.parts[0]), self.value(node.parts[1])
        if abs(exponent) * max(1, self._bits(base)) > MAGNITUDE:
            raise TooLarge("powers too large to work out")
        if root := self._odd_root(base, node.parts[1]):
            return root
        return self.mpmath.power(base, exponent)

    def _odd_root(self, base: Any, exponent: Node) -> Any:
        r"""The real cube root of a negative number, which is what `\sqrt[3]{-8}` means."""
        whole = exponent.kind == "quotient" and all(part.kind == "number" for part in exponent.parts)
        if not whole or isinstance(base, self.mpmath.mpc) or base >= 0:
            return None
        top, bottom = (part.value for part in exponent.parts)
        if not isinstance(bottom, Fraction) or top != 1 or bottom.denominator != 1 or bottom % 2 == 0:
            return None
        return -self.mpmath.power(-base, self.mpmath.mpf(1) / int(bottom))

    def _factorial(self, node: Node) -> Any:
        n = self.value(node.parts[0])
        if isinstance(n, self.mpmath.mpc) or abs(n) > ARGUMENT:
            raise TooLarge("factorials too large to work out")
        return self.mpmath.gamma(n + 1)

    def _choice(self, node: Node) -> Any:
        return self._fraction(exact(node, self.point))

    _operator = _choice

    def _call(self, node: Node) -> Any:
        return self._fraction(_unknown(node))

    def _percent(self, node: Node) -> Any:
        return self.value(node.parts[0]) / 100

    def _unit(self, node: Node) -> Any:
        return self.value(node.parts[0])

    def _function(self, node: Node) -> Any:
        name = _NAMES.get(str(node.value), str(node.value))
        arguments = node.parts[0].parts if node.parts[0].kind == "list" else node.parts
        if name in ("max", "min", "gcd", "lcm"):
            return self._of_several(name, node.parts[0].parts)
        values = [self.value(part) for part in arguments]
        if name in ("log", "ln", "lg"):
            return self._logarithm(name, *values)
        if name == "abs":
            return abs(values[0])
        if name not in _ONE_ARGUMENT or len(values) != 1:
            raise Unreadable(f"the function {name}")
        if name in ("exp", "sinh", "cosh") and abs(values[0]) > MAGNITUDE:
            raise TooLarge("powers too large to work out")
        return getattr(self.mpmath, name)(values[0])

    def _logarithm(self, name: str, value: Any, base: Any = None) -> Any:
        if not value or (base is not None and not base):
            raise ZeroDivisionError
        result = self.mpmath.log(value)
        if name == "lg":
            return result / self.mpmath.log(10)
        return result if base is None else result / self.mpmath.log(base)

    def _of_several(self, name: str, parts: tuple[Node, ...]) -> Any:
        try:
            values = [exact(part, self.point) for part in parts]
        except _Inexact as error:
            raise Unreadable(f"{name} of what is no fraction") from error
        if not values:
            raise Unreadable(f"{name} of nothing")
        if name in ("gcd", "lcm") and any(value.denominator != 1 for value in values):
            raise Unreadable(f"{name} of what is no whole number")
        if name in ("max", "min"):
            return self._fraction(max(values) if name == "max" else min(values))
        import math

        whole = [int(value) for value in values]
        return self.mpmath.mpf(math.gcd(*whole) if name == "gcd" else math.lcm(*whole))


_NAMES = {"Re": "re", "Im": "im"} | {f"arc{name}": f"a{name}" for name in INVERTED}
_ONE_ARGUMENT = INVERTED | frozenset(["coth", "exp", "floor", "ceil", "re", "im", "arg"])
_ONE_ARGUMENT |= {f"a{name}" for name in INVERTED}
