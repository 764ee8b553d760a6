"""Counting letters: the truth from the word itself, the answer in digits or words."""

import json

import pytest

from verifiers.letter_count import letter_count

STRAWBERRY = '{"word": "Strawberry", "letter": "R"}'


@pytest.mark.parametrize("reference", [STRAWBERRY, "3", "three", r"\boxed{3}"])
@pytest.mark.parametrize(
    "response",
    ["3", "three", r"\boxed{3}", r"\boxed{\text{Three}}", "The answer is 3.", "There are **3** r's.",
     "There are three r's in strawberry.", "There are 3 (at 3, 8 and 9).", "1 + 1 + 1 = 3",
     "The letter appears 3 times in the 10-letter word.", "<think>2?</think>#### 3"],
)  # fmt: skip
def test_a_right_count(response: str, reference: str) -> None:
    assert letter_count(response, reference).status == "correct"


@pytest.mark.parametrize(
    "response", ["2", "twice", "There are two r's.", "There is no 'r' in it.", "twenty-three", "13", "0"]
)
def test_a_wrong_count(response: str) -> None:
    assert letter_count(response, STRAWBERRY).status == "wrong"


@pytest.mark.parametrize(
    ("word", "letter", "count"),
    [("blueberrycherryberrycarbonpherry", "r", 9), ("raspberry", "r", 3), ("banana", "z", 0), ("Élève", "é", 1)],
)
def test_the_truth_is_counted_here(word: str, letter: str, count: int) -> None:
    assert letter_count(f"It is {count}.", json.dumps({"word": word, "letter": letter})).status == "correct"
    assert letter_count(f"It is {count + 1}.", json.dumps({"word": word, "letter": letter})).status == "wrong"


def test_no_letters_are_zero() -> None:
    assert letter_count("There are no z's in it.", '{"word": "strawberry", "letter": "z"}').status == "correct"


def test_the_word_is_not_taken_for_a_count() -> None:
    assert letter_count("There are three e's in eleven", '{"word": "eleven", "letter": "e"}').status == "correct"
    assert letter_count('There are 3 in "seven eleven"', "3").status == "correct"


@pytest.mark.parametrize("response", ["", "many", "None.", "There is no answer", "2 or 3", "3.5", "1/3", "<think>3"])
def test_no_single_count_is_undecided(response: str) -> None:
    assert letter_count(response, STRAWBERRY).status == "undecided"


@pytest.mark.parametrize(
    "reference", ["", "many", "-1", "2.5", "[3]", "{}", '{"word": "ab", "letter": "ab"}', '{"word": 1, "letter": "a"}']
)
def test_an_unusable_reference_is_undecided(reference: str) -> None:
    assert letter_count("3", reference).status == "undecided"
