"""reasoning-gym as a verifier, against a stand-in for the package: only its full score counts."""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import verifiers.reasoning_gym as module
from verifiers.reasoning_gym import reasoning_gym

SHARED = Path(__file__).parents[3] / "shared" / "data" / "answers" / "reasoning_gym_answers.jsonl.gz"

Score = Callable[[str | None, dict[str, Any]], Any]


class Listed:
    """A data set whose entries say what each answer scores."""

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> Any:
        return entry["metadata"].get(answer, 0.0)


class Evaluating:
    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> Any:
        return float(eval(str(answer)))


class Failing:
    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> Any:
        raise ZeroDivisionError("no")


class Anything:
    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> Any:
        return 1.0 if answer else 0.0


DATASETS = {"listed": Listed, "evaluating": Evaluating, "failing": Failing, "anything": Anything}


@pytest.fixture(autouse=True)
def _package(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("reasoning_gym")
    package.get_score_answer_fn = lambda name: DATASETS[name]().score_answer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reasoning_gym", package)


def reference(scores: dict[str, Any] | None = None, answer: str | None = "42", dataset: str = "listed") -> str:
    return json.dumps({"dataset": dataset, "entry": {"question": "?", "answer": answer, "metadata": scores or {}}})


def test_the_full_score_is_correct_and_partial_credit_is_wrong() -> None:
    scores = {"41.99": 0.99, "forty-two": 1.0, "43": 0.01, "44": 0}
    assert reasoning_gym("<answer>forty-two</answer>", reference(scores)).status == "correct"
    assert reasoning_gym("The answer is 42.", reference(scores)).status == "correct"
    verdict = reasoning_gym(r"\boxed{41.99}", reference(scores))
    assert (verdict.status, verdict.answer, verdict.reason) == ("wrong", "41.99", "score 0.99")
    assert reasoning_gym("<answer>43</answer>", reference(scores)).status == "wrong"
    assert reasoning_gym("<answer>44</answer>", reference(scores)).status == "wrong"


def test_the_thinking_is_no_answer_and_the_last_tag_counts() -> None:
    assert reasoning_gym("<think><answer>42</answer></think><answer>7</answer>", reference()).status == "wrong"
    assert reasoning_gym("<answer>7</answer> no: <answer>42</answer>", reference()).status == "correct"
    assert reasoning_gym("<think>42", reference()).status == "undecided"


def test_an_answer_of_several_lines() -> None:
    grid = reference(answer="1 2\n2 1")
    assert reasoning_gym("<answer>\n1 2\n2 1\n</answer>", grid).status == "correct"
    assert reasoning_gym("1 2\n2 1", grid).status == "correct"
    assert reasoning_gym("<answer>1 2\n1 2</answer>", grid).status == "wrong"
    assert reasoning_gym("It is\n1 2\n2 1", grid).status == "undecided"


def test_an_entry_without_an_answer_of_its_own_is_scored() -> None:
    assert reasoning_gym("<answer>b</answer>", reference({"b": 1.0}, answer=None)).status == "correct"
    assert reasoning_gym("<answer>c</answer>", reference({"b": 1.0}, answer=None)).status == "wrong"


def test_a_scorer_that_evaluates_is_never_called() -> None:
    called = "<answer>__import__('os').abort() or 1</answer>"
    verdict = reasoning_gym(called, reference(dataset="evaluating"))
    assert verdict.status == "undecided" and "execute" in verdict.reason
    assert reasoning_gym("<answer>42</answer>", reference(dataset="evaluating")).status == "correct"


@pytest.mark.parametrize("score", [float("nan"), 2.0, -1.0, "many", None, float("inf")])
def test_a_score_that_is_none_is_undecided(score: Any) -> None:
    assert reasoning_gym("<answer>b</answer>", reference({"b": score})).status == "undecided"


def test_scorers_that_fail_or_take_anything_are_undecided() -> None:
    failed = reasoning_gym("<answer>b</answer>", reference(dataset="failing"))
    assert failed.status == "undecided" and "ZeroDivisionError" in failed.reason
    assert reasoning_gym("<answer>b</answer>", reference(dataset="anything")).status == "undecided"
    unknown = reasoning_gym("<answer>b</answer>", reference(dataset="nothing"))
    assert unknown.status == "undecided" and "nothing" in unknown.reason


@pytest.mark.parametrize(
    "bad",
    ["", "{", "[]", "42", '{"dataset": "listed"}', '{"dataset": 1, "entry": {"answer": "1"}}',
     '{"dataset": "listed", "entry": {}}', '{"dataset": "listed", "entry": {"answer": 5}}'],
)  # fmt: skip
def test_an_unusable_reference_is_undecided(bad: str) -> None:
    verdict = reasoning_gym("<answer>42</answer>", bad)
    assert verdict.status == "undecided" and "reference" in verdict.reason


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    verdict = reasoning_gym("<answer>42</answer>", reference())
    assert verdict.status == "undecided" and "pip install reasoning-gym" in verdict.reason
    assert module.NEEDS == ("reasoning_gym",)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data are not here")
def test_no_partial_score_of_a_real_answer_is_correct() -> None:
    seen = set()
    with gzip.open(SHARED, "rt") as file:
        for row in map(json.loads, file):
            if row["final"] and row["final"].strip() != (row["gold"] or "").strip() and "<answer>" not in row["final"]:
                answer = row["final"].strip()
                entry = reference({answer: row["score"]}, answer=row["gold"])
                status = reasoning_gym(f"<answer>{answer}</answer>", entry).status
                assert status == ("correct" if row["score"] == 1.0 else "wrong"), row
                seen.add(0 < row["score"] < 1)
    assert seen == {True, False}
