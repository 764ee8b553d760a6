"""Values: exact where that is possible, in digits where not, and never over the caps."""

from fractions import Fraction

import pytest

from verifiers.grammar import Unreadable, read
from verifiers.numeric import TooLarge, between, equal, exact, points


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (r"\sqrt{8}", r"2\sqrt{2}"),
        (r"\frac{\sqrt{5}-1}{4}", r"\sin(\frac{18\pi}{180})"),
        (r"(\sqrt{2}+\sqrt{3})^2 - 5 - 2\sqrt{6}", "0"),
        ("(x+1)^{5000}", "(1+x)^{5000}"),
        (r"\sin(2x)", r"2\sin x\cos x"),
        (r"2\ln x", r"\ln x^2"),
        (r"\sqrt[3]{-8}", "-2"),
        ("e^{i\\pi}", "-1"),
        (r"\frac{n(n+1)}{2}", r"\binom{n+1}{2}"),
        ("10!", "3628800"),
        (r"\log_2 8", "3"),
        (r"\gcd(12, 18)", "6"),
        (r"|x|", r"\sqrt{x^2}"),
    ],
)
def test_equal_values(left: str, right: str) -> None:
    assert equal(read(left), read(right)) is True
    assert equal(read(right), read(left)) is True


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
        ("(x+1)^{5000} + 1", "(x+1)^{5000}"),
        (r"10^{50}\pi + 1", r"10^{50}\pi"),
        ("x", r"\sqrt{x^2}"),
        (r"e^{\pi\sqrt{163}}", "262537412640768744"),
        ("10^{-300}", "0"),
        (r"\pi", r"\frac{355}{113}"),
        (r"\sqrt{x+1}", r"\sqrt{x}+1"),
    ],
)
def test_different_values_however_close(left: str, right: str) -> None:
    assert equal(read(left), read(right)) is False


@pytest.mark.parametrize(
    "bomb", ["9^{9^{9^9}}", r"2^{99999}\pi", "((10^9)!)!", r"e^{e^{e^{e}}}", r"\binom{10^9}{10^8}"]
)
def test_too_large_is_said_not_guessed(bomb: str) -> None:
    with pytest.raises(TooLarge):
        equal(read(bomb), read(r"\sqrt{2}"))


def test_a_pole_has_no_value() -> None:
    assert equal(read(r"\frac{1}{0}"), read("1")) is None
    assert equal(read(r"\ln 0"), read("1")) is None


def test_a_set_has_no_value() -> None:
    with pytest.raises(Unreadable):
        equal(read(r"\{1\}"), read("1"))


def test_points_are_the_same_each_time_and_end_with_mixed_signs() -> None:
    names = {f"x_{n}" for n in range(20)}
    first, *_, last = found = list(points(names))
    assert found == list(points(names))
    assert all(value > 0 for value in first.values())
    assert any(value < 0 for value in last.values())


def test_an_exact_value_is_a_fraction() -> None:
    assert exact(read(r"\frac{1}{3} + 0.5x"), {"x": Fraction(2)}) == Fraction(4, 3)


def test_between_is_for_real_constants() -> None:
    assert between(read(r"\pi"), Fraction("3.1415"), Fraction("3.1416"))
    assert not between(read("x"), Fraction(0), Fraction(10**9))
    assert not between(read("3+i"), Fraction(0), Fraction(9))
