"""Equations with the same solutions, through sympy; only rational ones, only small ones."""

import pytest

from verifiers.grammar import Unreadable, read
from verifiers.numeric import TooLarge
from verifiers.symbolic import same_zeros


@pytest.mark.parametrize(("left", "right", "equal"), [
    ("y - 1/x", "xy - 1", True), ("(x-1)^2", "x - 1", True), ("x^2 - y^2", "(x+y)(x-y)", True),
    ("x^2 - 1", "x - 1", False), ("x y - 1", "x y - 2", False), ("2x - 4", "x - 3", False),
])  # fmt: skip
def test_zeros(left: str, right: str, equal: bool) -> None:
    assert same_zeros(read(left), read(right)) is equal
    assert same_zeros(read(right), read(left)) is equal


def test_what_is_not_rational_is_unreadable_and_what_is_long_too_large() -> None:
    with pytest.raises(Unreadable):
        same_zeros(read(r"\sin(x) y"), read("x y"))
    with pytest.raises(TooLarge):
        same_zeros(read("+".join(f"{n} x y^{n}" for n in range(20))), read("x y"))
