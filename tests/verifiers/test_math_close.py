"""A decimal answers the exact value that it rounds, and nothing else."""

import pytest

from verifiers.math_close import math_close
from verifiers.math_equal import math_equal


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("0.4286", r"\frac{3}{7}"),
        ("37.70", r"12\pi"),
        (r"AB \approx 3.464", r"2\sqrt{3}"),
        (r"\frac{1}{3}", "0.3333333333"),
        ("-0.7071", r"-\frac{\sqrt{2}}{2}"),
        ("0.0287", r"\frac{448}{15625}"),
        ("0.066667", "0.0666667"),
    ],
)
def test_a_correct_rounding_is_accepted_and_was_not_equal(answer: str, reference: str) -> None:
    assert math_equal(rf"\boxed{{{answer}}}", reference).status == "wrong"
    assert math_close(rf"\boxed{{{answer}}}", reference).status == "correct"


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("0.4285", r"\frac{3}{7}"),  # cut off, not rounded
        ("0.33", r"\frac{1}{3}"),  # two digits say little
        ("38", r"12\pi"),
        ("0.0", "0.222222"),
        ("3.142", "3.15"),
        ("x", r"\frac{3}{7}"),
        ("0.4286", r"\frac{3}{8}"),
    ],
)
def test_everything_else_stays_wrong(answer: str, reference: str) -> None:
    assert math_close(rf"\boxed{{{answer}}}", reference).status == "wrong"


def test_what_is_undecided_stays_undecided() -> None:
    assert math_close("", "0.5").status == "undecided"
