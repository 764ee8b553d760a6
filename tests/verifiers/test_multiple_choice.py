"""Letters of options."""

import pytest

from verifiers.multiple_choice import multiple_choice


@pytest.mark.parametrize(
    "response",
    [
        "The answer is (B).",
        "So the answer is B.",
        r"\boxed{\textbf{(B)}\ 24}",
        r"\boxed{B}",
        "Answer: b",
        "Answer: B) Paris",
        "Our selection is option C. No.\n#### B",
        "The correct option is B.",
    ],
)
def test_a_letter_is_read_in_all_its_spellings(response: str) -> None:
    verdict = multiple_choice(response, "(B)")
    assert (verdict.status, verdict.answer) == ("correct", "B")


def test_another_letter_is_wrong() -> None:
    assert multiple_choice("The answer is (C).", "B").status == "wrong"


def test_several_letters_are_a_set() -> None:
    assert multiple_choice(r"\boxed{C, A}", "A, C").status == "correct"
    assert multiple_choice(r"\boxed{A}", "A, C").status == "wrong"


@pytest.mark.parametrize(
    ("response", "reference"),
    [
        ("The answer is Paris.", "B"),
        ("", "B"),
        ("<think>The answer is B.", "B"),
        ("The answer is B.", "Paris"),
        ("The answer is B.", ""),
    ],
)
def test_no_letter_on_either_side_is_undecided(response: str, reference: str) -> None:
    assert multiple_choice(response, reference).status == "undecided"
