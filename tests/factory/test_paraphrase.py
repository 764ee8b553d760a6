"""The same problem in other words, and another problem in the same words."""

import gzip
import json
from pathlib import Path

import pytest

from factory.paraphrase import Paraphrases, features

SHARED = Path(__file__).parents[3] / "shared" / "data"
THRESHOLD = 0.55
BENCHMARK = [
    "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take?",
    "Kylar went to the store to buy 16 glasses for his new apartment. One glass costs $5, but every second glass costs "
    "only 60% of the price. How much does he need to pay for them?",
    "Find the value of x.",
]


def scores(texts: list[str]) -> list[tuple[int, bool]]:
    return [(hit.other, hit.score >= THRESHOLD) for hit in Paraphrases(BENCHMARK).best(texts)]


def test_a_rewording_with_the_numbers_in_order_is_found() -> None:
    text = ("For a new flat, Kylar wants sixteen glasses from a shop: each glass is $5.00, yet every second glass has "
            "a price of 60 % of that. What does he pay?")
    assert scores([text]) == [(1, True)]


@pytest.mark.parametrize("text", [
    "Kylar went to the store to buy 12 glasses for his apartment. One costs $3, and every second costs 45%. How much?",
    "Find the value of y.", "", "16, 5 and 60.",
])
def test_other_numbers_no_numbers_or_other_words_are_another_problem(text: str) -> None:
    assert [found for _, found in scores([text])] == [False]


def test_numbers_are_read_in_words_too() -> None:
    assert features("Half of 1,000.50 twenty")[1] == ["1/2", "1000.5", "20"]


def test_a_threshold_only_leaves_out_what_is_below_it() -> None:
    made = Paraphrases(BENCHMARK)
    every = [hit for hit in made.best(BENCHMARK) if hit.score >= 0.4]
    assert list(made.hits(BENCHMARK, 0.4)) == every
    assert [hit.other for hit in every] == [0, 1]


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data are not here")
def test_recall_on_paraphrases_by_a_model_and_false_alarms_on_other_problems() -> None:
    def read(name: str) -> list[dict[str, str]]:
        with gzip.open(SHARED / name, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    made = Paraphrases([row["problem"] for row in read("problems/gsm8k_test.jsonl.gz")])
    pairs = [row["rephrased"] for row in read("decontam/rephrased_pairs.jsonl.gz") if row["benchmark"] == "gsm8k"][::3]
    others = [row["problem"] for row in read("problems/gsm8k_train.jsonl.gz")][::10]
    assert sum(1 for _ in made.hits(pairs, THRESHOLD)) >= 0.85 * len(pairs)
    assert sum(1 for _ in made.hits(others, THRESHOLD)) <= 0.01 * len(others)
