"""Mutants are other programs, one small change each; what cannot be parsed has none."""

import ast

import pytest

from verifiers.mutants import mutate

PROGRAM = """\
def smallest(numbers):
    best = None
    for n in numbers:
        if best is None or n < best:
            best = n
    return best
print(min(1, smallest([3, 2])))
"""


def test_each_mutant_is_another_program_with_one_line_changed() -> None:
    original = ast.unparse(ast.parse(PROGRAM)).splitlines()
    made = list(mutate(PROGRAM))
    assert len({m.code for m in made}) == len(made) > 5
    for mutant in made:
        changed = [n for n, pair in enumerate(zip(original, mutant.code.splitlines(), strict=True), 1)
                   if pair[0] != pair[1]]
        assert len(changed) == 1


@pytest.mark.parametrize(("code", "there"), [
    ("print(a < b)", "print(a <= b)"), ("print(a + b)", "print(a - b)"), ("x += 1", "x -= 1"),
    ("print(3)", "print(4)"), ("print(3)", "print(2)"), ("print(a and b)", "print(a or b)"),
    ("print(min(a))", "print(max(a))"), ("print(1 if a else b)", "print(1 if not a else b)"),
    ("print(a < b < c)", "print(a < b <= c)"),
])
def test_the_operators(code: str, there: str) -> None:
    assert there in [m.code for m in mutate(code)]


def test_it_says_what_is_different() -> None:
    assert [m.what for m in mutate("a = 1\nprint(a < b)")] == [
        "line 1: 1 became 2", "line 1: 1 became 0", "line 2: Lt became LtE"]


@pytest.mark.parametrize("code", [
    "print(", "a\0b", "(" * 10_000, "-" * 90_000 + "1", "print(1)\n" * 20_000, "", "x = '\\d'"])
def test_what_is_no_program_has_no_mutants_and_ends_nothing(code: str) -> None:
    assert list(mutate(code)) == []


def test_true_is_no_number() -> None:
    assert list(mutate("print(True)")) == []
