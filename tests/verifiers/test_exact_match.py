"""Answers that are names, words or labels."""

import pytest

from verifiers.exact_match import exact_match


@pytest.mark.parametrize(
    ("response", "reference"),
    [
        (r"\boxed{\text{ Evelyn }}", "Evelyn"),
        ("The answer is new   york city.", "New York City"),
        ("So the answer is yes.", "Yes"),
        ("Answer: **Tuesday**", r"\text{Tuesday}"),
    ],
)
def test_case_spaces_and_fonts_do_not_count(response: str, reference: str) -> None:
    assert exact_match(response, reference).status == "correct"


@pytest.mark.parametrize(
    ("response", "reference"),
    [("The answer is no.", "Yes"), (r"\boxed{ab c}", "a bc"), (r"\boxed{1 2}", "12")],
)
def test_another_text_is_wrong(response: str, reference: str) -> None:
    assert exact_match(response, reference).status == "wrong"


@pytest.mark.parametrize(("response", "reference"), [("", "Yes"), ("<think>Yes", "Yes"), ("a", "")])
def test_nothing_to_compare_is_undecided(response: str, reference: str) -> None:
    assert exact_match(response, reference).status == "undecided"
