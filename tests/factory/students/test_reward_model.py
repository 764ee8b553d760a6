"""The reward model: its loss by hand, prompts that stay whole, and that it learns an order it was shown."""

import itertools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the training plugins need the extra [train]")

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from factory.protocols import UserError
from factory.students import _heads as heads
from factory.students import reward_model

Write = Callable[[list[dict[str, Any]]], Path]


def talk(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def pair(problem: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {"chosen": talk(problem, chosen), "rejected": talk(problem, rejected), "problem_id": problem,
            "trace_id": f"{problem}/{chosen}", "rejected_id": f"{problem}/{rejected}"}


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Three traces a prompt, whose hidden utility is how much they check: the C(3, 2) pairs of that order."""
    rng, found = random.Random(seed), list[dict[str, Any]]()
    for i in range(count):
        question = f"{i} + {rng.randint(0, 99)}?"
        ranked = [" ".join(["ok."] * checks + [str(rng.randint(10, 99))]) for checks in (3, 2, 1)]
        found += [pair(question, better, worse) for better, worse in itertools.combinations(ranked, 2)]
    return found


def test_the_pairs_of_a_prompt_are_one_row_in_which_each_trace_stands_once(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    found, too_long = reward_model.prompts(tokenizer, [*rows(2), pair("long", "1" * 500, "2")], 200)
    assert too_long == 1
    assert [(len(row["texts"]), row["pairs"]) for row in found] == [(3, [[0, 1], [0, 2], [1, 2]])] * 2
    text = tokenizer.decode(found[0]["texts"][0])
    assert text.startswith("<|im_start|>user\n0 +")
    assert text.endswith("<|im_end|>")


def test_the_loss_is_the_mean_of_a_prompts_pairs_then_of_the_prompts() -> None:
    batch = heads.collate_rankings([{"texts": [[1], [2, 2], [3]], "pairs": [[0, 1], [0, 2], [1, 2]]},
                                    {"texts": [[4], [5]], "pairs": [[1, 0]]}], pad=9)
    assert batch["input_ids"].tolist() == [[1, 9], [2, 2], [3, 9], [4, 9], [5, 9]]
    assert batch["pairs"].tolist() == [[0, 1], [0, 2], [1, 2], [4, 3]]
    values = torch.tensor([2.0, 1.0, -1.0, 0.5, 0.0])
    def minus_log_sigmoid(x: float) -> float:
        return math.log1p(math.exp(-x))
    expected = (sum(map(minus_log_sigmoid, (1.0, 3.0, 2.0))) / 3 + minus_log_sigmoid(-0.5)) / 2
    assert float(heads.ranking_loss(values, batch["pairs"], batch["weights"])) == pytest.approx(expected, rel=1e-5)


def test_a_prompt_is_held_out_by_its_id_alone() -> None:
    chosen = [heads.is_held_out(f"p{i}", 0.2) for i in range(5000)]
    assert 0.18 < sum(chosen) / 5000 < 0.22
    assert not any(heads.is_held_out(f"p{i}", 0.0) for i in range(1000))
    assert all(heads.is_held_out(f"p{i}", 1.0) for i in range(1000))
    assert all(heads.is_held_out(f"p{i}", 0.5) for i in range(1000) if heads.is_held_out(f"p{i}", 0.2))


@pytest.mark.parametrize(("right", "wrong", "value"), [([2, 3], [0, 1], 1.0), ([0], [1], 0.0), ([1, 1], [1], 0.5),
                                                       ([0, 2], [1], 0.5), ([], [1], None), ([1], [], None)])
def test_auroc(right: list[float], wrong: list[float], value: float | None) -> None:
    assert heads.auroc(right, wrong) == value


def test_padding_does_not_change_a_reward(base: Path) -> None:
    model, tokenizer = heads.open_headed(base, AutoModelForSequenceClassification, seed=1)
    texts = [heads.text_ids(tokenizer, talk("1+1?", "2" * n)) for n in (1, 30, 7)]
    together, alone = heads.rewards(model, texts), [heads.rewards(model, [text])[0] for text in texts]
    assert together == pytest.approx(alone, abs=1e-4)
    assert len(set(alone)) == 3


@pytest.mark.slow
def test_it_learns_the_order_on_prompts_it_has_not_seen_and_opens_again(base: Path, dataset: Write, tmp_path: Path
                                                                          ) -> None:
    figures = reward_model.reward_model(base, dataset(rows(120)), tmp_path / "out", threads=1, learning_rate=3e-3,
                                        epochs=4, held_out=0.2)
    assert figures["prompts"] + figures["prompts_held_out"] == 120
    assert figures["held_out_pairs"] == 3 * figures["prompts_held_out"] > 30
    assert figures["held_out_accuracy"] > 0.9
    assert figures["held_out_auroc"] > 0.9
    assert all(figures[key] > 0 for key in ("tokens", "tokens_per_second", "mfu", "peak_memory", "estimated_memory"))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "model")
    better, worse = heads.rewards(model, [heads.text_ids(tokenizer, talk("5 + 5?", text)) for text in
                                          ("ok. ok. ok. 10", "ok. 10")])
    assert better > worse
    assert json.loads((tmp_path / "out" / "figures.json").read_text()) == figures
    assert reward_model.reward_model(base, tmp_path, tmp_path / "out") == figures  # nothing is done twice


def test_rows_of_another_form_are_refused_in_a_sentence(base: Path, dataset: Write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column 'chosen'"):
        reward_model.reward_model(base, dataset([{"messages": talk("1", "2")}]), tmp_path / "out", threads=1)
