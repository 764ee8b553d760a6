r"""Equations that say the same, in sympy: `y = 1/x` and `xy = 1`, `(x-1)^2 = 0` and `x = 1`.

sympy is given a tree of its own constructors, built from ours and capped first; no text reaches it. Only rational
equations are looked at, whose solutions are the zeros of one polynomial: two say the same when those polynomials have
the same factors, once each, up to a constant.
"""

from typing import Any

from verifiers.grammar import Node, Unreadable
from verifiers.numeric import TooLarge, symbols

DEGREE, SIZE = 8, 60


def same_zeros(left: Node, right: Node) -> bool:
    """Have the two expressions the same zeros? Raises Unreadable when they are not rational, TooLarge over the caps."""
    if _is_linear(left) and _is_linear(right):
        return False  # then equal up to a factor, which was seen before, or not at all
    if _size(left) + _size(right) > SIZE:
        raise TooLarge("an equation too long to factor")
    ours, theirs = _factors(left), _factors(right)
    return ours == theirs and bool(ours)


def _is_linear(node: Node) -> bool:
    """Of degree one at most, as written."""
    if node.kind == "sum":
        return all(map(_is_linear, node.parts))
    if node.kind in ("product", "quotient"):
        with_symbols = [part for part in node.parts if symbols(part)]
        return (
            all(map(_is_linear, with_symbols))
            and len(with_symbols) < 2
            and not (node.kind == "quotient" and symbols(node.parts[1]))
        )
    return node.kind in ("symbol", "number") or not symbols(node)


def _size(node: Node) -> int:
    return 1 + sum(map(_size, node.parts))


def _factors(node: Node) -> set[Any]:
    import sympy

    numerator = sympy.fraction(sympy.together(_expression(node, sympy)))[0]
    polynomial = sympy.Poly(numerator, *sorted(numerator.free_symbols, key=str)) if numerator.free_symbols else None
    if polynomial is None or polynomial.total_degree() > DEGREE:
        raise TooLarge("an equation of too high a degree")
    return {factor.monic().as_expr() for factor, _ in polynomial.factor_list()[1]}


def _expression(node: Node, sympy: Any) -> Any:
    if node.kind == "symbol":
        return sympy.Symbol(str(node.value))
    if node.kind == "number":
        return sympy.Rational(node.value.numerator, node.value.denominator)  # type: ignore[attr-defined]
    parts = [_expression(part, sympy) for part in node.parts]
    if node.kind == "sum":
        return sympy.Add(*parts)
    if node.kind == "product":
        return sympy.Mul(*parts)
    if node.kind == "quotient" and parts[1] != 0:
        return parts[0] / parts[1]
    if node.kind == "power" and parts[1].is_Integer and abs(parts[1]) <= DEGREE:
        return sympy.Pow(*parts)
    raise Unreadable("an equation that is not rational")
