"""The process reward model: labels, places of steps, and that it finds a wrong step it has not seen."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the training plugins need the extra [train]")

import numpy as np
from transformers import AutoModelForTokenClassification, AutoTokenizer

from factory.protocols import UserError
from factory.steps import AGGREGATES, steps_of
from factory.students import _heads as heads
from factory.students import process_reward_model as prm

Write = Callable[[list[dict[str, Any]]], Path]


def row(problem: int, rng: random.Random) -> dict[str, Any]:
    """Three steps; a wrong one says so by how it is written, so that a model of nearly no size can see it."""
    values = [float(rng.random() < 0.7) for _ in range(3)]
    steps = [f"{rng.randint(10, 99)}{'=' if value else '*'}{rng.randint(10, 99)}\n" for value in values]
    return {"prompt": f"{problem}?", "completions": steps, "labels": [v > 0 for v in values], "values": values,
            "correct": all(values), "trace_id": f"t{problem}", "problem_id": f"p{problem}"}


@pytest.mark.parametrize(("value", "labels", "made"), [
    (1.0, "exact", 1.0), (0.0, "exact", 0.0), (0.25, "soft", 0.25), (0.25, "hard", 1.0), (0.0, "hard", 0.0)])
def test_a_label_is_exact_a_share_or_whether_any_was_right(value: float, labels: Any, made: float) -> None:
    assert prm.label(value, labels) == made


def test_a_share_is_no_exact_label() -> None:
    with pytest.raises(UserError, match='labels = "soft"'):
        prm.label(0.25, "exact")


@pytest.mark.parametrize(("n", "called_right", "called_wrong"), [(4, 0.34, 0.41), (8, 0.57, 0.17), (16, 0.81, 0.03)])
def test_hard_labels_are_as_noisy_as_their_closed_form(n: int, called_right: float, called_wrong: float) -> None:
    """A wrong step that is recovered from with c = 0.1 is called right with 1 - (1 - c)^N, a right one that succeeds
    with s = 0.2 is called wrong with (1 - s)^N (RECIPES 2.2); soft labels have a mean of c and of s at any N."""
    rng = np.random.default_rng(n)
    wrong, right = rng.binomial(n, 0.1, 20_000) / n, rng.binomial(n, 0.2, 20_000) / n
    assert np.mean([prm.label(value, "hard") for value in wrong]) == pytest.approx(called_right, abs=0.015)
    assert 1 - np.mean([prm.label(value, "hard") for value in right]) == pytest.approx(called_wrong, abs=0.015)
    assert np.mean([prm.label(value, "soft") for value in wrong]) == pytest.approx(0.1, abs=0.005)


def test_the_label_stands_at_the_last_token_of_its_step(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    made = prm.tokenised(tokenizer, {"prompt": "1?", "completions": ["<think>\n1=1\n", "\n2=3\n"], "values": [1.0, 0.0],
                                     "correct": False, "problem_id": "p"}, "exact")
    assert [tokenizer.decode(made["ids"][:place + 1]).partition("assistant\n")[2] for place in made["places"]] == [
        "<think>\n1=1\n", "<think>\n1=1\n\n2=3\n"]
    batch = heads.collate_steps([made, {"ids": [5, 6], "places": [1], "values": [0.5]}], pad=0)
    assert batch["values"][0, made["places"]].tolist() == [1.0, 0.0]
    assert int((batch["values"] >= 0).sum()) == 3


@pytest.mark.parametrize(("text", "steps"), [
    ("a\nb", ["a\n", "b"]), ("a\n\n\nb\n", ["a\n", "\n\nb\n"]),
    ("<think>\na\n</think>\nb", ["<think>\na\n", "</think>\nb"]),
    ("a\n\n", ["a\n\n"]), ("", []), ("\n \n", []), ("a", ["a"])])
def test_steps_are_lines_that_say_something(text: str, steps: list[str]) -> None:
    assert steps_of(text) == steps
    assert "".join(steps) in (text, "")


def test_the_aggregates_order_two_solutions_differently() -> None:
    one, other = [0.9, 0.2, 0.95], [0.6, 0.6, 0.6]
    assert {name: way(one) > way(other) for name, way in AGGREGATES.items()} == {
        "min": False, "product": False, "mean": True, "last": True}


@pytest.mark.slow
def test_it_finds_wrong_steps_of_prompts_it_has_not_seen_and_opens_again(base: Path, dataset: Write, tmp_path: Path
                                                                           ) -> None:
    rng = random.Random(3)
    figures = prm.process_reward_model(base, dataset([row(i, rng) for i in range(300)]), tmp_path / "out", threads=1,
                                       learning_rate=3e-3, epochs=6, batch=16, held_out=0.2)
    assert figures["rows"] + figures["rows_held_out"] == 300
    assert figures["step_auroc"] > 0.95
    assert figures["auroc_min"] > 0.95
    assert figures["first_error_f1"] > 0.8
    assert all(figures[key] > 0 for key in ("tokens", "tokens_per_second", "mfu", "peak_memory", "estimated_memory"))
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "out" / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "model")
    scores, = heads.step_scores(model, [heads.step_ids(tokenizer, [{"role": "user", "content": "7?"}],
                                                       ["11=22\n", "33*44\n"])])
    assert scores[0] > 0.5 > scores[1]
