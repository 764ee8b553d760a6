"""Outputs and values: what is right, and how a difference is told."""

from typing import Any

import pytest

from verifiers.code.compare import SHOWN, Comparison, Tolerance, first_difference, same_output, same_value, shown
from verifiers.sandbox import OPAQUE

LOOSE = Tolerance(1e-3, 1e-3)


@pytest.mark.parametrize(("policy", "got", "expected", "same"), [
    ("exact", b"a\n", b"a\n", True), ("exact", b"a", b"a\n", False),
    ("trailing", b"a  \nb\t\n\n\n", b"a\nb", True), ("trailing", b"a\r\nb\r\n", b"a\nb\n", True),
    ("trailing", b" a", b"a", False), ("trailing", b"a\n\nb", b"a\nb", False), ("trailing", b"", b"\n", True),
    ("trailing", b"1\n2\n3", b"1\n2", False), ("trailing", b"1", b"1\n2\n3", False),
    ("tokens", b"1\n2 3", b"1 2\n3", True), ("tokens", b"12", b"1 2", False), ("tokens", b"1 2 3", b"1 2", False),
    ("trailing", b"\xff\xfe", b"\xff\xfe", True), ("trailing", b"\xff", b"\xfe", False),
])
def test_outputs(policy: Any, got: bytes, expected: bytes, same: bool) -> None:
    assert same_output(got, expected, Comparison(policy)) is same


@pytest.mark.parametrize(("got", "expected", "same"), [
    (b"0.3333", b"0.33333333", True), (b"0.34", b"0.3333", False), (b"1 2\n3", b"1.0 2\n3.0001", True),
    (b"x", b"x", True), (b"nan", b"1", False), (b"inf", b"inf", True), (b"1", b"1 1", False), (b"1\n1", b"1 1", False),
    (b"1e3", b"1000", True), (b"0x10", b"16", False), (b"1_0", b"10", False), (b"9" * 500, b"9" * 499 + b"8", False),
])
def test_outputs_with_a_tolerance(got: bytes, expected: bytes, same: bool) -> None:
    assert same_output(got, expected, Comparison("trailing", LOOSE)) is same


@pytest.mark.parametrize(("got", "expected", "same"), [
    (1, 1, True), (1, 2, False), (1, 1.0, True), (1.0, 1, True), (True, 1, False), (0, False, False),
    (True, True, True), ("1", 1, False), (None, None, True), (None, 0, False), ((1, 2), [1, 2], True),
    ([1, (2,)], [1, [2]], True), ([1], [1, 2], False), ([], (), True), ([], {}, False),
    (0.1 + 0.2, 0.3, True), (float("nan"), float("nan"), False),
    (float("inf"), float("inf"), False), ({1, 2}, [2, 1], True), ({1, 2}, [1, 2, 2], False), ({1}, [1], True),
    ([1, 2], {1, 2}, False), ({1: "a"}, {"1": "a"}, True), ({1: "a", "1": "a"}, {"1": "a"}, False),
    ({"a": [1]}, {"a": (1,)}, True), ({"a": 1}, {"a": 1, "b": 2}, False), (b"a", "a", False), (10**400, 1.5, False),
    (10**400, 10**400, True), (OPAQUE, None, False), ([OPAQUE], [OPAQUE], False), ("\ud800", "\ud800", True),
])
def test_values(got: Any, expected: Any, same: bool) -> None:
    assert same_value(got, expected) is same


@pytest.mark.parametrize(("got", "expected", "says"), [
    (b"1\n2\n", b"1\n3\n", "line 2: got '2', expected '3'"), (b"2", b"3", "got '2', expected '3'"),
    (b"1\n2", b"1", "line 2: got '2', expected the end"), (b"1", b"1\n2", "line 2: got the end, expected '2'"),
    (b"\xff", b"a", r"got '\\xff', expected 'a'")])
def test_the_first_difference_is_told(got: bytes, expected: bytes, says: str) -> None:
    assert first_difference(got, expected) == says


def test_what_is_shown_is_short() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    for value in (deep, [10**5000], "x" * 10**6, list(range(10**6)), 10**5000, {"k": "x" * 10**6}, b"x" * 10**6):
        assert len(shown(value)) < 2 * SHOWN


def test_large_sets_are_compared_in_time_that_grows_with_their_size() -> None:
    many = set(range(200_000))  # by pairs it would take hours
    assert same_value(many, sorted(many, reverse=True))
    assert not same_value(many, [*range(1, 200_000), "0"])
    assert not same_value({True, 2}, [1, 2])
