"""n words in a row, and short texts as a whole."""

import random

import pytest

from factory.overlap import Overlap, shared

LONG = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."


def rules(benchmark: list[str], texts: list[str], n: int = 8) -> list[tuple[int, int, str]]:
    return [(hit.text, hit.other, hit.rule) for hit in Overlap(benchmark, n).hits(texts)]


@pytest.mark.parametrize(("n", "text", "hit"), [
    (8, "Once natalia sold clips to 48 of HER friends: how many?", True),
    (8, "Natalia sold clips to 48 of her sisters", False),
    (13, "Natalia sold clips to 48 of her friends", False),
    (13, LONG, True),
    (8, "friends in April and then she sold half", True),
])
def test_n_words_in_a_row_are_a_hit(n: int, text: str, hit: bool) -> None:
    assert rules([LONG], ["nothing in common", text], n) == ([(1, 0, f"{n} words")] if hit else [])


def test_words_of_two_texts_are_not_in_a_row() -> None:
    half = LONG.split()
    assert rules([LONG], [" ".join(half[:6]), " ".join(half[6:11])]) == []


def test_the_best_text_of_the_benchmark_is_named() -> None:
    other = " ".join(LONG.split()[:9]) + " and nothing else of it at all, but other things"
    assert rules([other, LONG], [LONG]) == [(0, 1, "8 words")]


@pytest.mark.parametrize(("text", "rule"), [
    ("evaluate  3.5 + 4", "the same words"),
    ("Please evaluate 3.5 + 4", "nearly the same letters"),
    ("Evaluate 3.5 + 5", None), ("Evaluate 3.5 - 4", None), ("Hello", None), ("", None),
])
def test_a_short_text_is_compared_as_a_whole_and_its_numbers_count(text: str, rule: str | None) -> None:
    assert rules(["Evaluate: 3.5 + 4.", LONG], [text]) == ([(0, 0, rule)] if rule else [])


@pytest.mark.parametrize("benchmark", [[], ["", "..."]])
def test_a_benchmark_of_nothing_is_met_by_nothing(benchmark: list[str]) -> None:
    assert rules(benchmark, [LONG, "short", ""]) == []


def test_it_finds_whatever_a_dictionary_of_words_between_blanks_finds() -> None:
    rng = random.Random(5)
    def text() -> str:
        return " ".join(rng.choices(["a", "b", "c,", "(d)", "$", "{ }", "e-f", "\\frac{1}{2}"], k=30))
    def grams(text: str) -> set[str]:
        words = text.lower().split()
        return {" ".join(words[i:i + 8]) for i in range(len(words) - 7)}
    benchmark, texts = [text() for _ in range(200)], [text() for _ in range(3000)]
    theirs = set().union(*map(grams, benchmark))
    expected = {i for i, t in enumerate(texts) if grams(t) & theirs}
    assert len(expected) > 30
    assert expected <= {hit.text for hit in Overlap(benchmark, 8).hits(texts)}


def test_the_shared_words_are_shown() -> None:
    assert shared("He said: sold Clips to 48!", LONG) == ["sold", "clips", "to", "48"]
    assert shared("", LONG) == []
