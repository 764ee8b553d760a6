"""Small mistakes in a right Python program, one each: what tests that are worth something notice.

The operators are those of mutation testing (DeMillo, Lipton & Sayward 1978): another comparison, another operation, a
number that is off by one, a condition turned round, `and` for `or`, `min` for `max`. A program is parsed here and never
run; some mutants behave like the original, as nobody can tell in general.
"""

import ast
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

CHARACTERS = 100_000  # of a program that is looked at


class Mutant(NamedTuple):
    """A program, and what is different in it ("line 3: < became <=")."""

    code: str
    what: str


class _Change(NamedTuple):
    """Put `new` into a field of `owner` (at `place` of a list, if it is one)."""

    owner: ast.AST
    field: str
    place: int | None
    new: Any
    what: str


def mutate(code: str) -> Iterator[Mutant]:
    """Every mutant of `code`, each text once, from top to bottom; none of a program that cannot be parsed."""
    try:
        with warnings.catch_warnings(action="ignore"):  # a model's own invalid escapes
            tree = ast.parse(code[:CHARACTERS + 1])
        seen = {ast.unparse(tree)}
        changes = [change for node in ast.walk(tree) for change in _changes(node)] if len(code) <= CHARACTERS else []
        for change in changes:
            text = _with(tree, change)
            if text not in seen:
                seen.add(text)
                yield Mutant(text, f"line {getattr(change.owner, 'lineno', 1)}: {change.what}")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def _with(tree: ast.AST, change: _Change) -> str:
    """The text of `tree` with the change, which is taken back."""
    old = getattr(change.owner, change.field)
    new = change.new
    if change.place is not None:
        new = [*old[:change.place], new, *old[change.place + 1:]]
    setattr(change.owner, change.field, new)
    try:
        return ast.unparse(tree)
    finally:
        setattr(change.owner, change.field, old)


_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In}
_OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}


def _changes(node: ast.AST) -> Iterator[_Change]:
    match node:
        case ast.Compare(ops=operators):
            for place, operator in enumerate(operators):
                if other := _COMPARISONS.get(type(operator)):
                    yield _Change(node, "ops", place, other(), f"{_name(operator)} became {other.__name__}")
        case ast.BinOp(op=operation) | ast.AugAssign(op=operation):
            if swapped := _OPERATIONS.get(type(operation)):
                yield _Change(node, "op", None, swapped(), f"{_name(operation)} became {swapped.__name__}")
        case ast.BoolOp(op=joined):
            turned = ast.Or() if isinstance(joined, ast.And) else ast.And()
            yield _Change(node, "op", None, turned, f"{_name(joined)} became {_name(turned)}")
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield _Change(node, "test", None, ast.UnaryOp(ast.Not(), test), "a condition was turned round")
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            for near in (value + 1, value - 1):
                yield _Change(node, "value", None, near, f"{value} became {near}")
        case ast.Name(id=name, ctx=ast.Load()) if name in _FUNCTIONS:
            yield _Change(node, "id", None, _FUNCTIONS[name], f"{name} became {_FUNCTIONS[name]}")


def _name(operator: ast.AST) -> str:
    return type(operator).__name__
