"""Sentences and units."""

from fractions import Fraction

import pytest

from verifiers.math_equal import math_equal
from verifiers.prose import is_sentence, quantities, scale, spelled, split


@pytest.mark.parametrize("text", ["Becca has 153 cards", "A is a knight", "the answer", "计划的比例为13/28", "est 5"])
def test_sentences(text: str) -> None:
    assert is_sentence(text)


@pytest.mark.parametrize("text", ["xy + ab", r"\sin x \cdot \log y", "x=1 or x=2", r"\text{}5", "3 cm"])
def test_algebra_is_no_sentence(text: str) -> None:
    assert not is_sentence(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("12.5 square meters", ("12.5", "square meters")),
        (r"4\sqrt{3} cm^2", (r"4\sqrt{3}", "cm^2")),
        ("10 m/s", ("10", "m/s")),
        ("10weeks", ("10", "weeks")),
        ("5 or 6", ("5 or 6", "")),
        ("x^2 + 1", ("x^2 + 1", "")),
    ],
)
def test_a_unit_is_split_off(text: str, parts: tuple[str, str]) -> None:
    assert split(text) == parts


def test_known_units_have_a_scale() -> None:
    assert scale("km") == ("length", Fraction(1000))
    assert scale("hours") == ("time", Fraction(3600))
    assert scale("apples") is None


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("forty-two", "42"),
        ("one hundred and five", "105"),
        ("two thousand three", "2003"),
        ("No solution", r"\emptyset"),
        ("oneself", "oneself"),
        ("x", "x"),
    ],
)
def test_numbers_in_words(words: str, value: str) -> None:
    assert spelled(words) == value


def test_what_a_sentence_names_comes_likeliest_first() -> None:
    assert quantities("He needs 63 - 48 = 15 more of the 63")[0] == "15"
    assert quantities("It took **3 days**, not 5") == ["3"]


@pytest.mark.parametrize(
    ("response", "reference", "status"),
    [
        ("In total, Sam ran 9 miles + 10 miles = 19 miles this week.", "19", "correct"),
        ("Lloyd makes \\$294 per week", "294", "correct"),
        ("$30.00 - $2.00 = $28.00", "28", "correct"),
        ("Becca has 153 cards", "154", "wrong"),
        ("Of 12 eggs 3 broke and 9 did not", "9", "undecided"),
        (r"\boxed{2 km}", "2000 meters", "correct"),
        (r"\boxed{2 km}", "2 meters", "wrong"),
        (r"\boxed{5 apples}", "5 pears", "undecided"),
        ("5 if __import__('os').system('true') else 5", "5", "undecided"),
    ],
)
def test_sentences_and_units_are_judged(response: str, reference: str, status: str) -> None:
    assert math_equal(response, reference).status == status


@pytest.mark.parametrize(
    ("response", "reference", "status"),
    [
        ("Therefore, Navin from Mauritius would earn the most.", r"\text{Navin}", "correct"),
        ("Therefore, Luka would earn the most, before Navin.", r"\text{Navin}", "undecided"),
        ("Navin would not earn the most.", r"\text{Navin}", "undecided"),
        ("The weight of **three** of these equals one of those", "3", "correct"),
        ("84 sofas, 88 chairs, for a combined total of 172 pieces of furniture", "172", "correct"),
        ("So Tim was off by 36 beans (about a 4% underestimate)", "36", "correct"),
        ("He bought it for $3000 and sells it for $1000", "1000", "undecided"),
        ("It is about 5 600 kilometres.", "5600", "correct"),
        (r"48\text{ min} + 5\text{ min} = 53", "53", "correct"),
        (r"\boxed{0x1d072eb}", "0x1d072ea", "wrong"),
        (r"\boxed{1,000}", "1, 0", "wrong"),
        (r"\boxed{1,000}", "1000", "correct"),
        ("**So she eats **`77`** in one week.**", "77", "correct"),
        (r"-10\,^\circ\text{F}", "-10", "correct"),
        ("It is not 5 but 6 of them", "5", "wrong"),
        ("It is not 5 but 6 of them", "6", "correct"),
        ("The result lies between 5 and 6 metres", "5", "undecided"),
        ("The answer might be 5 here", "5", "undecided"),
        ("the number is not 10 which is 1,000.99€", "1000.99", "correct"),
    ],
)
def test_what_real_answers_taught(response: str, reference: str, status: str) -> None:
    assert math_equal(response, reference).status == status


@pytest.mark.parametrize(
    ("response", "reference"),
    [
        ("The answer is not $5$.", "5"),
        ("The answer is negative $5$.", "5"),
        ("The answer is $5$ or $6$.", "5"),
        ("The answer is half of $10$.", "10"),
        (r"The answer is 5$\sqrt{2}$.", r"\sqrt2"),
        ("There is no solution for $n=4$.", "4"),
        (r"\boxed{5 squared}", "5"),
        (r"\boxed{8 over 3}", "8"),
        ("2 million", "2"),
        ("minus 5", "5"),
        ("two thirds", "2"),
        ("It is less than 5", "5"),
        ("any number except 5", "5"),
        ("I guessed 5, but it's 6.", "5"),
        ("First 3, then 4, so 7.", "3"),
        (r"\boxed{2 hours 30 minutes}", "2"),
        (r"\boxed{(A), (C)}", "A"),
        ("The answer is (A) or (B).", "A"),
        ("Not (B)", "B"),
        (r"\boxed{n}", "N"),
        (r"<thinking>\boxed{5}</thinking>", "5"),
        ("John is beaten by Mary, who wins", "John"),
        (r"\boxed{567,234,1}", "1,234,567"),
        (r"\boxed{x=1,y=2}", "2,1"),
    ],
)
def test_what_stands_beside_a_number_is_not_thrown_away(response: str, reference: str) -> None:
    assert math_equal(response, reference).status != "correct"


@pytest.mark.parametrize(
    ("response", "reference"),
    [
        ("The roots are $2$ and $3$.", "2, 3"),
        ("So $x = 2$ or $x = -2$.", "2, -2"),
        (r"\boxed{5\text{ m}}", "5"),
        (r"\boxed{A}", r"\textbf{(A)}\ 5"),
        ("We get $5$ apples in total.", "5"),
    ],
)
def test_what_is_said_in_other_words_is_right(response: str, reference: str) -> None:
    assert math_equal(response, reference).status == "correct"


@pytest.mark.parametrize("text", ["-" * 500 + "5", r"\sqrt" * 300 + "5", "|" * 300 + "5", r"\sum_{k=1}^{3}\sqrt k"])
def test_what_nests_too_deeply_is_undecided(text: str) -> None:
    assert math_equal(rf"\boxed{{{text}}}", "6").status == "undecided"
