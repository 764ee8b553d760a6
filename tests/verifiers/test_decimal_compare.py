"""9.9 and 9.11, exactly."""

import pytest

from verifiers.decimal_compare import decimal_compare

LARGER = '{"numbers": ["9.11", "9.9"], "ask": "larger"}'
SMALLER = '{"numbers": [9.11, 9.9], "ask": "smaller"}'


@pytest.mark.parametrize("reference", ["9.9", r"\boxed{9.90}", LARGER])
@pytest.mark.parametrize(
    "response",
    ["9.9", "9.90", r"\boxed{9.9}", "The answer is 9.9.", "9.9 is the larger one.", "9.9 (because 0.90 > 0.11)",
     "9.9 is larger than 9.11.", r"\boxed{9.9 > 9.11}", "9.11 < 9.9", "9.11 is less than 9.9"],
)  # fmt: skip
def test_the_larger_one(response: str, reference: str) -> None:
    assert decimal_compare(response, reference).status == "correct"


@pytest.mark.parametrize("reference", ["9.9", LARGER])
@pytest.mark.parametrize("response", ["9.11", "9.11 is larger than 9.9", "9.11 > 9.9", "9.90001", "99"])
def test_the_other_one(response: str, reference: str) -> None:
    assert decimal_compare(response, reference).status == "wrong"


def test_the_smaller_one_and_negative_ones() -> None:
    assert decimal_compare("9.11", SMALLER).status == "correct"
    assert decimal_compare("9.9", SMALLER).status == "wrong"
    assert decimal_compare("−1.5", '{"numbers": ["-1.5", "-1.25"], "ask": "smaller"}').status == "correct"
    assert decimal_compare("0.0000001", "0.0000001").status == "correct"


def test_more_digits_than_a_float_has() -> None:
    reference = '{"numbers": ["0.10000000000000000001", "0.1"], "ask": "larger"}'
    assert decimal_compare("0.10000000000000000001", reference).status == "correct"
    assert decimal_compare("0.1", reference).status == "wrong"


@pytest.mark.parametrize(
    "response", ["", "the first", "9.9 or 9.11", "9.9 is not larger than 9.11", "9.8 > 9.7", "1.2.3", "<think>9.9"]
)
def test_no_single_choice_is_undecided(response: str) -> None:
    assert decimal_compare(response, LARGER).status == "undecided"


@pytest.mark.parametrize(
    "reference",
    ["", "nine", "1e9999999", "[9.9]", '{"numbers": ["1", "1.0"], "ask": "larger"}', '{"numbers": ["1", "2"]}',
     '{"numbers": ["1"], "ask": "larger"}', '{"numbers": ["1", "x"], "ask": "larger"}'],
)  # fmt: skip
def test_an_unusable_reference_is_undecided(reference: str) -> None:
    assert decimal_compare("1", reference).status == "undecided"
