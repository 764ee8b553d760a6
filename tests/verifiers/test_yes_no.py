"""Yes or no, also inside a short sentence."""

import pytest

from verifiers.yes_no import yes_no


@pytest.mark.parametrize(
    "response",
    ["Yes", "yes.", "**Yes**", r"\boxed{\text{Yes.}}", "So the answer is yes.", "Answer: True", "#### true",
     "The argument is valid.", "Yes, because it has no legs.", "The statement is not false.",
     "Yes, and it is not a fish.", "No, wait.\nThe answer is yes."],
)  # fmt: skip
def test_yes(response: str) -> None:
    assert yes_no(response, "Yes").status == "correct"
    assert yes_no(response, r"\boxed{\text{false}}").status == "wrong"


@pytest.mark.parametrize(
    "response",
    ["No", r"\boxed{false}", "So the answer is no.", "The argument is invalid.", "The statement is not true.",
     "It isn't true.", "It is not a valid argument.", "No, it is not true."],
)  # fmt: skip
def test_no(response: str) -> None:
    assert yes_no(response, "no").status == "correct"
    assert yes_no(response, "valid").status == "wrong"


@pytest.mark.parametrize(
    "response",
    ["", "maybe", "Yes and no.", "yes/no", "Yes, that is false.", "No, it is true.", "It may be true.",
     "It is neither true nor false.", "Whether it is valid depends on n.", "There is no such number",
     "It is not the case that it is true", "<think>yes", "yes " * 500],
)  # fmt: skip
def test_both_or_neither_is_undecided(response: str) -> None:
    assert yes_no(response, "yes").status == "undecided"


@pytest.mark.parametrize("reference", ["", "maybe", "yes or no", "42"])
def test_a_reference_that_says_neither_is_undecided(reference: str) -> None:
    assert yes_no("yes", reference).status == "undecided"
