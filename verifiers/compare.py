r"""Are two answers the same, whatever their kind? Trees in, True, False or None (cannot tell) out.

An order of values (a tuple, a matrix) is kept, a bare list and a set are compared without it, equations and
inequalities up to a factor, intervals by their ends, `±` as both its values. Symmetric by construction: every rule
looks at both sides alike.
"""

import itertools
import re
from collections.abc import Callable, Iterator

from verifiers.grammar import Node, Unreadable, minus, number
from verifiers.numeric import Point, TooLarge, agree, equal, has_kinks, points, symbols
from verifiers.symbolic import same_zeros

ITEMS = 64  # of a list compared without order, at most


def same(left: Node, right: Node) -> bool | None:
    """Do both say the same? None when that cannot be told: too large, unreadable, or without a value."""
    if left == right:
        return True
    try:
        return _same(left, right)
    except (TooLarge, Unreadable):
        return None


def _same(left: Node, right: Node) -> bool | None:
    left, right = _plain(left), _plain(right)
    if left == right:
        return True
    if "±" in symbols(left) | symbols(right):
        left, right = _without_choice(left), _without_choice(right)
    left, right = _aligned(left, right)
    rule = _RULES.get(frozenset((left.kind, right.kind)))
    if rule:
        return rule(left, right)
    if left.kind in _COMPOUND or right.kind in _COMPOUND:
        return None if "text" in (left.kind, right.kind) else False
    if _INFINITY in (*left.parts, *right.parts, left, right):
        return _infinities(left, right)
    found = equal(left, right)
    if found is False and _is_integral(left, right):
        return _differ_by_a_constant(left, right)
    return None if found is False and (_is_open(left) or _is_open(right)) else found


def _plain(node: Node) -> Node:
    """`{x | x > 1}` and `(x > 1)` as what they hold, `x ∈ S` as S, `a ≈ 0.5` as a, sets united as one set."""
    if node.kind in ("set", "group") and len(node.parts) == 1 and node.parts[0].kind == "relation":
        node = node.parts[0]
    if node.kind == "relation" and node.value and node.value[0] in ("in", "|"):  # type: ignore[index]
        condition = node.value[0] == "|" or len(node.parts) == 2  # type: ignore[index]
        if condition:
            rest = node.value[1:]  # type: ignore[index]
            return _plain(node.parts[1] if not rest else Node("relation", rest, node.parts[1:]))
    if node.kind == "relation" and "~=" in node.value:  # type: ignore[operator]
        return _plain(_without_approximation(node))
    if node == _REALS:
        return Node("group", "()", (minus(_INFINITY), _INFINITY))
    if node.kind in ("sum", "product") and any(part.kind in _LINEAR for part in node.parts):
        return _combined(node)
    if node.kind == "union" and all(part.kind == "set" for part in node.parts):
        return Node("set", None, tuple(item for part in node.parts for item in part.parts))
    return node


_LINEAR = ("matrix", "sum", "product")


def _combined(node: Node) -> Node:
    """A sum of matrices, or a multiple of one, as the matrix that it is; everything else as it stands."""
    parts = [_combined(part) if part.kind in ("sum", "product") else part for part in node.parts]
    matrices = [part for part in parts if part.kind == "matrix"]
    if not matrices:
        return node
    alike = len({(part.value, len(part.parts)) for part in matrices}) == 1 and len(matrices) == len(parts)
    if node.kind == "sum" and alike:
        cells = zip(*(part.parts for part in matrices), strict=True)
        return Node("matrix", matrices[0].value, tuple(Node("sum", None, cell) for cell in cells))
    if node.kind == "product" and len(matrices) == 1:
        factors = tuple(part for part in parts if part.kind != "matrix")
        return matrices[0]._replace(parts=tuple(Node("product", None, (*factors, c)) for c in matrices[0].parts))
    return node


def _without_approximation(node: Node) -> Node:
    """`x ≈ 5` says 5; `sqrt(3) ≈ 1.73` says sqrt(3)."""
    signs: tuple[str, ...] = node.value  # type: ignore[assignment]
    at = signs.index("~=")
    if at == 0 and _is_name(node.parts[0]):
        return node.parts[1] if len(signs) == 1 else Node("relation", signs[1:], node.parts[1:])
    return node.parts[0] if at == 0 else Node("relation", signs[:at], node.parts[: at + 1])


_INFINITY, _REALS = Node("constant", "inf"), Node("constant", "reals")


def _aligned(left: Node, right: Node) -> tuple[Node, Node]:
    """Both in one form where they differ only in it: names before values, boxes around single ones, intervals."""
    left, right = _united(left, right), _united(right, left)
    if left.kind == "relation" and right.kind != "relation":
        left = _interval(left) if _is_interval(right) else _valued(left)
    elif right.kind == "relation" and left.kind != "relation":
        right = _interval(right) if _is_interval(left) else _valued(right)
    return _opened(left, right), _opened(right, left)


def _united(node: Node, other: Node) -> Node:
    """`x < 1 or x > 3` as the union of its intervals, beside a union."""
    if node.kind != "list" or node.value != "or" or other.kind != "union":
        return node
    parts = tuple(_interval(part) if part.kind == "relation" else part for part in node.parts)
    return Node("union", None, parts)


def _opened(node: Node, other: Node) -> Node:
    """A list of one as its item, when the other is no list."""
    single = node.kind in ("set", "list") or (node.kind == "group" and node.value == "[]")
    if single and len(node.parts) == 1 and other.kind not in ("set", "list", "group", "matrix"):
        return node.parts[0]
    if node.kind == "group" and other.kind == "matrix" and node.value in ("[]", "()"):
        return _as_matrix(node)
    return node


def _as_matrix(node: Node) -> Node:
    """`[[1,2],[3,4]]` as a matrix of those rows."""
    rows = [part.parts for part in node.parts if part.kind == "group"]
    if len(rows) == len(node.parts) and len({len(row) for row in rows}) == 1:
        return Node("matrix", len(rows[0]), tuple(cell for row in rows for cell in row))
    return node


def _valued(node: Node) -> Node:
    """`x = 5`, `5 = x` and `a = 2 + 3 = 5` as 5, `f(x) = x^2` as x^2; what is false or open (`6 = 5`) stays."""
    if set(node.value) != {"="}:  # type: ignore[call-overload]
        return node
    values = list(node.parts)
    while len(values) > 1 and _is_name(values[0]):
        values.pop(0)
    while len(values) > 1 and _is_name(values[-1]):
        values.pop()
    one = all(_same_item(before, after) for before, after in itertools.pairwise(values))
    return values[-1] if one else node


def lone_value(tidied: str) -> str:
    """What is left of a tidied answer without a name or an exact form before it: `AB ≈ 3.464` as 3.464."""
    return re.split(r"=|\\approx", tidied)[-1].strip()


def _is_inverse(node: Node) -> bool:
    """f^{-1}, before the argument of a function."""
    return node.kind == "power" and node.parts[0].kind == "symbol" and node.parts[1] == minus(number(1))


def _is_name(node: Node) -> bool:
    """A name: x, x_1, AB, f(x), (x, y), \\angle ABC, S(ABC):S."""
    if node.kind == "product":
        return all(part.kind in ("symbol", "constant", "group") or _is_inverse(part) for part in node.parts)
    if node.kind in ("group", "list", "ratio", "quotient", "call") or node.value == "abs":
        return all(_is_name(part) for part in node.parts)
    return node.kind in ("symbol", "text") or node.value in ("i", "e")


def _is_open(node: Node) -> bool:
    """Holds a limit, an integral or an unknown function, of which only the spelling is known."""
    finite = node.value in ("sum", "prod") and node.parts[1].kind == "number"
    return node.kind == "call" or (node.kind == "operator" and not finite) or any(map(_is_open, node.parts))


_C = Node("symbol", "C")


def _is_integral(left: Node, right: Node) -> bool:
    """Both end in `+ C`, the constant of an integration."""
    return all(side.kind == "sum" and side.parts.count(_C) == 1 for side in (left, right))


def _differ_by_a_constant(left: Node, right: Node) -> bool:
    ours, theirs = (Node("sum", None, tuple(p for p in side.parts if p != _C)) for side in (left, right))
    difference = Node("sum", None, (ours, minus(theirs)))
    here = [_filled(difference, point) for point in points(symbols(difference), 3)]
    return _C.value not in symbols(difference) and all(equal(here[0], other) for other in here[1:])


# -- ± and single values


def _without_choice(node: Node) -> Node:
    """`a ± b` as the two values that it stands for, in the list that it stands in."""
    if "±" not in symbols(node):
        return node._replace(value=None) if node.kind in ("list", "set") else node
    kind, items = (node.kind, node.parts) if node.kind in ("list", "set") else ("list", (node,))
    either = ((_replaced(item, 1), _replaced(item, -1)) if "±" in symbols(item) else (item,) for item in items)
    return Node(kind, None, tuple(itertools.chain.from_iterable(either)))


def _replaced(node: Node, sign: int) -> Node:
    if node.kind == "symbol" and node.value == "±":
        return number(sign)
    return node._replace(parts=tuple(_replaced(part, sign) for part in node.parts))


# -- several values


def _in_order(left: Node, right: Node) -> bool | None:
    if len(left.parts) != len(right.parts):
        return False
    return _all(_same_item(one, other) for one, other in zip(left.parts, right.parts, strict=True))


def _all(answers: Iterator[bool | None]) -> bool | None:
    """False as soon as one is; else None when one is; else True."""
    unknown = False
    for answer in answers:
        if answer is False:
            return False
        unknown = unknown or answer is None
    return None if unknown else True


def _same_item(left: Node, right: Node) -> bool | None:
    """Within a list, `x = 5` answers 5 as well as outside."""
    try:
        return _same(left, right)
    except (TooLarge, Unreadable):
        return None


def _in_any_order(left: Node, right: Node) -> bool | None:
    """Each of one side is there on the other, as often in a list; how often does not matter in a set."""
    if max(len(left.parts), len(right.parts)) > ITEMS:
        raise TooLarge(f"a list of over {ITEMS}")
    if {left.value, right.value} == {"and", "or"} and _are_orders(left):
        return False
    if _are_named(left) != _are_named(right):
        return _in_order(left, right) or None
    once = "set" in (left.kind, right.kind)
    if once:
        left, right = _distinct(left), _distinct(right)
    if len(left.parts) != len(right.parts):
        return False
    free, unknown = list(right.parts), False
    for item in left.parts:
        answers = [_same_item(item, other) for other in free]
        if True in answers:
            free.pop(answers.index(True))
        elif None in answers:
            unknown = True
        else:
            return False
    return None if unknown else True


def _are_named(node: Node) -> bool:
    """`x = 1, y = 2`: values of different names, so that their order is not free."""
    names = {part.parts[0] for part in node.parts if part.kind == "relation" and part.value == ("=",)}
    return len(names) == len(node.parts) > 1 and all(_is_name(name) for name in names)


def _distinct(node: Node) -> Node:
    kept: list[Node] = []
    for part in node.parts:
        if not any(_same_item(part, other) for other in kept):
            kept.append(part)
    return node._replace(parts=tuple(kept))


def _groups(left: Node, right: Node) -> bool | None:
    """Tuples, vectors and intervals: `[1,2]` is not `[1,2)`, but `[1,2,3]` and `(1,2,3)` are one vector."""
    interval = len(left.parts) == 2 == len(right.parts) and left.value != right.value
    if interval and (_is_interval(left) or _is_interval(right)):
        return False
    return _in_order(left, right)


def _list_and_group(left: Node, right: Node) -> bool | None:
    """`1, 2` and `(1, 2)` are one in this order; a list in square brackets has none."""
    group = left if left.kind == "group" else right
    if _is_range(group):
        return False
    return _in_any_order(left, right) if group.value == "[]" else _in_order(left, right)


def _is_range(group: Node) -> bool:
    """Surely an interval: open on one side, or infinite."""
    return group.value in ("(]", "[)") or any(part in (_INFINITY, minus(_INFINITY)) for part in group.parts)


def _set_and_group(left: Node, right: Node) -> bool | None:
    group = left if left.kind == "group" else right
    return _in_any_order(left, right) if group.value == "[]" and not _is_range(group) else False


def _matrices(left: Node, right: Node) -> bool | None:
    return _in_order(left, right) if left.value == right.value else False


def _ratio_and_value(left: Node, right: Node) -> bool | None:
    ratio, other = (left, right) if left.kind == "ratio" else (right, left)
    if len(ratio.parts) != 2:
        return False
    return equal(Node("quotient", None, ratio.parts), other)


# -- intervals and inequalities


def _is_interval(node: Node) -> bool:
    if node.kind in ("union", "meet", "without"):
        return True
    return node.kind == "group" and len(node.parts) == 2 and node.value in ("()", "[]", "(]", "[)")


def _infinities(left: Node, right: Node) -> bool:
    """Infinite on one side at least: the same sign of infinity on the other."""
    signs = [
        [sign for sign, node in ((1, _INFINITY), (-1, minus(_INFINITY))) if node == side] for side in (left, right)
    ]
    return signs[0] == signs[1] != []


def _interval(node: Node) -> Node:
    """`1 < x <= 3` as (1, 3], `x > 2` as (2, inf), when one side is a lone name; else `node`."""
    signs, sides = node.value, node.parts
    if not isinstance(signs, tuple):
        return node
    if len(sides) == 3 and sides[1].kind == "symbol" and signs[0] in _LESS and signs[1] in _LESS:
        return _between(sides[0], sides[2], signs[0], signs[1])
    if len(sides) == 3 and sides[1].kind == "symbol" and signs[0] in _MORE and signs[1] in _MORE:
        return _between(sides[2], sides[0], _FLIPPED[signs[1]], _FLIPPED[signs[0]])
    if len(sides) == 2 and signs[0] in _FLIPPED:
        return _half(sides[0], signs[0], sides[1])
    if signs == ("=",):
        return _valued(node)
    return node


def _half(left: Node, sign: str, right: Node) -> Node:
    if right.kind == "symbol":
        left, sign, right = right, _FLIPPED[sign], left
    if left.kind != "symbol":
        return Node("relation", (sign,), (left, right))
    return (
        _between(right, _INFINITY, _FLIPPED[sign], "<")
        if sign in _MORE
        else _between(minus(_INFINITY), right, "<", sign)
    )


def _between(low: Node, high: Node, left: str, right: str) -> Node:
    return Node("group", ("[" if left == "<=" else "(") + ("]" if right == "<=" else ")"), (low, high))


_LESS, _MORE = ("<", "<="), (">", ">=")
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def _relations(left: Node, right: Node) -> bool | None:
    """The same conditions, in whatever order, each up to a factor (a positive one under < and <=)."""
    if _are_orders(left) and _are_orders(right) and "or" in (left.value, right.value):
        return _in_any_order(left, right) if left.value == right.value else None
    ours, theirs = list(_conditions(left)), list(_conditions(right))
    if len(ours) != len(theirs):
        return False
    for sign, difference in ours:
        found = next((c for c in theirs if c[0] == sign and _proportional(difference, c[1], sign)), None)
        if found is None:
            return False
        theirs.remove(found)
    return True


def _are_orders(node: Node) -> bool:
    parts = node.parts if node.kind == "list" else (node,)
    return any(set(part.value) & _FLIPPED.keys() for part in parts if isinstance(part.value, tuple))


def _conditions(node: Node) -> Iterator[tuple[str, Node]]:
    """Each link of a chain as (sign, left - right), with < and <= only."""
    if node.kind == "list":
        for part in node.parts:
            yield from _conditions(part)
        return
    if node.kind != "relation" or not isinstance(node.value, tuple):
        raise Unreadable("no relation")
    for sign, left, right in zip(node.value, node.parts, node.parts[1:], strict=False):
        if sign in _MORE:
            sign, left, right = _FLIPPED[sign], right, left
        yield sign, Node("sum", None, (left, minus(right)))


def _proportional(left: Node, right: Node, sign: str) -> bool:
    """Is left = c * right for one c (positive under an order) other than 0? Both sides of an equation up to that."""
    names = symbols(left) | symbols(right)
    if symbols(left) != symbols(right):
        return False
    if not names or sign not in ("=", "<", "<=", "!="):
        return left == right
    factor: Node | None = None
    for point in points(names, 3, has_kinks(left) or has_kinks(right)):
        here = _at(left, right, point)
        if here is None:
            return False
        if factor is None:
            factor = here
        elif not equal(factor, here):
            return sign == "=" and _same_zeros(left, right)
    return factor is not None and (sign in ("=", "!=") or _is_positive(factor))


def _same_zeros(left: Node, right: Node) -> bool:
    try:
        return same_zeros(left, right)
    except Unreadable:
        return False


def _filled(node: Node, point: Point) -> Node:
    if node.kind == "symbol":
        return Node("number", point[str(node.value)])
    return node._replace(parts=tuple(_filled(part, point) for part in node.parts))


def _at(left: Node, right: Node, point: Point) -> Node | None:
    """left / right with the symbols replaced by their values; None where that is 0 or has no value."""
    quotient = Node("quotient", None, (_filled(left, point), _filled(right, point)))
    return quotient if agree(quotient, quotient, {}) and not equal(quotient, number(0)) else None


def _is_positive(node: Node) -> bool:
    return bool(equal(Node("function", "abs", (node,)), node))


# -- words, digits with a base, units


def _texts(left: Node, right: Node) -> bool | None:
    return words(str(left.value)) == words(str(right.value))


def words(text: str) -> list[str]:
    """The words of a text, without case, punctuation and a leading article."""
    found = re.findall(r"[^\W_]+", text.casefold())
    return found[1:] if len(found) > 1 and found[0] in ("a", "an", "the") else found


def _bases(left: Node, right: Node) -> bool | None:
    ours, theirs = (tuple(part.lstrip("0") for part in side.value) for side in (left, right))  # type: ignore[attr-defined]
    return bool(ours == theirs)


def _units(left: Node, right: Node) -> bool | None:
    """The same quantity in the same unit; without a unit on one side the number alone decides."""
    value = _same(_bare(left), _bare(right))
    if not value or left.kind != right.kind or _texts(left, right):
        return value
    return None


def _bare(node: Node) -> Node:
    return node.parts[0] if node.kind == "unit" else node


def _percents(left: Node, right: Node) -> bool | None:
    """40 % is 0.4, and is also 40 where the other side names no unit."""
    if equal(left, right):
        return True
    percent, other = (left, right) if left.kind == "percent" else (right, left)
    return equal(percent.parts[0], other)


Rule = Callable[[Node, Node], bool | None]
_COMPOUND = frozenset(
    ["list", "set", "group", "matrix", "relation", "union", "meet", "without", "text", "base", "ratio"]
)
_SINGLE = ("number", "sum", "product", "quotient", "power", "function", "constant", "symbol")
_RULES: dict[frozenset[str], Rule] = {
    frozenset(["group"]): _groups,
    frozenset(["list"]): _in_any_order,
    frozenset(["set"]): _in_any_order,
    frozenset(["set", "list"]): _in_any_order,
    frozenset(["group", "list"]): _list_and_group,
    frozenset(["group", "set"]): _set_and_group,
    frozenset(["matrix"]): _matrices,
    frozenset(["ratio"]): _in_order,
    frozenset(["ratio", "quotient"]): _ratio_and_value,
    frozenset(["ratio", "number"]): _ratio_and_value,
    frozenset(["relation"]): _relations,
    frozenset(["relation", "list"]): _relations,
    frozenset(["union"]): _in_any_order,
    frozenset(["meet"]): _in_any_order,
    frozenset(["without"]): _in_order,
    frozenset(["text"]): _texts,
    frozenset(["base"]): _bases,
    frozenset(["unit"]): _units,
    **{frozenset(["unit", kind]): _units for kind in (*_SINGLE, "percent")},
    **{frozenset(["percent", kind]): _percents for kind in _SINGLE},
}
