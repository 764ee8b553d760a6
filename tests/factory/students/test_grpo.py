"""GRPO: what an answer is worth, and that the reward rises on problems a verifier judges."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the training plugins need the extra [train]")

from transformers import AutoModelForCausalLM, AutoTokenizer

from factory import plugins
from factory.protocols import UserError
from factory.students import grpo, ppo

Write = Callable[[list[dict[str, Any]]], Path]


def said(response: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": response}]


def worth(undecided: float | None, verifier: str, reference: str, *responses: str) -> list[float | None]:
    return grpo.judged(5.0, 1, undecided)([], [said(r) for r in responses], [verifier] * len(responses),
                                          [reference] * len(responses), problem_id=["p"] * len(responses))


def test_right_is_1_wrong_is_minus_1_and_undecided_is_no_signal() -> None:
    answers = (r"<think>\boxed{7}</think>\boxed{42}", r"<think>\boxed{42}</think>\boxed{7}", "<think>still so", "")
    assert worth(None, "math_equal", "42", *answers) == [1.0, -1.0, None, None]
    assert worth(-1.0, "math_equal", "42", *answers) == [1.0, -1.0, -1.0, -1.0]


def test_each_row_is_judged_by_its_own_verifier() -> None:
    function = grpo.judged(5.0, 1, None)
    assert function([], [said(r"\boxed{yes}"), said(r"\boxed{42}"), said(r"\boxed{no}")],
                    ["yes_no", "math_equal", "yes_no"], ["yes", "42", "yes"]) == [1.0, 1.0, -1.0]


@pytest.mark.parametrize("exploit", [r"\boxed{1*1*1*1}", r"\boxed{11+11+1+1}", r"\boxed{(1+1+1+1)!}", r"\boxed{24}",
                                     r"\boxed{1//1+23}", "there is no solution", r"\boxed{}", "24"])
def test_a_problem_that_nobody_can_solve_pays_nobody(exploit: str) -> None:
    impossible = json.dumps({"numbers": [1, 1, 1, 1], "target": 24})
    for undecided in (None, -1.0):
        assert worth(undecided, "number_game", impossible, exploit)[0] in (-1.0, None)


def test_the_rise_of_the_reward_is_told_from_the_log() -> None:
    log = [{"step": i, "reward": i / 10} for i in range(1, 17)] + [{"step": 17, "reward": float("nan")}, {"loss": 1}]
    assert grpo.rise(log) == {"rewards": [[i, i / 10] for i in range(1, 17)], "first_reward": 0.15, "last_reward": 1.55}
    assert grpo.rise([]) == {"rewards": []}


@pytest.mark.slow
def test_the_reward_rises(base: Path, dataset: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pays here is to write a 7, which a model of nearly no size finds out."""
    def sevens(prompts: list[Any], completions: list[Any], **_: Any) -> list[float | None]:
        return [1.0 if "7" in said[-1]["content"] else -1.0 for said in completions]

    monkeypatch.setattr(grpo, "judged", lambda *settings: sevens)
    rows = [{"prompt": [{"role": "user", "content": f"{i}?"}], "problem_id": f"p{i}", "verifier": "math_equal",
             "reference": "7"} for i in range(96)]
    figures = grpo.grpo(base, dataset(rows), tmp_path / "out", threads=1, epochs=2, max_tokens=16,
                        learning_rate=1e-2)
    assert figures["steps"] == 24
    assert figures["last_reward"] > figures["first_reward"] + 0.3
    assert all(figures[key] > 0 for key in ("tokens", "tokens_per_second", "mfu", "peak_memory", "estimated_memory"))
    AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model")


def test_a_model_that_overflows_has_nothing_to_sample_from_and_that_is_a_sentence(base: Path, dataset: Write,
                                                                                  tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    model.model.norm.weight.data.fill_(1e38)
    model.model.embed_tokens.weight.data.mul_(1e4)
    model.save_pretrained(tmp_path / "wild")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "wild")
    rows = [{"prompt": [{"role": "user", "content": f"{i}?"}], "verifier": "math_equal", "reference": "7"}
            for i in range(8)]
    with pytest.raises(UserError, match=r"no probabilities to sample from after step 0: lower learning_rate"):
        grpo.grpo(tmp_path / "wild", dataset(rows), tmp_path / "out", threads=1, max_tokens=4)


@pytest.mark.parametrize(("params", "says"), [
    ({"batch": 8}, "do not fill a batch"), ({"max_tokens": 4000}, "lower max_tokens")])
def test_settings_that_cannot_work_are_refused_in_a_sentence(base: Path, dataset: Write, tmp_path: Path,
                                                             params: dict[str, Any], says: str) -> None:
    rows = [{"prompt": [{"role": "user", "content": "1?"}], "verifier": "math_equal", "reference": "1"}]
    with pytest.raises(UserError, match=says):
        grpo.grpo(base, dataset(rows), tmp_path / "out", threads=1, **params)


def test_who_asks_for_ppo_is_told_what_to_use(tmp_path: Path) -> None:
    for call in (lambda: plugins.bind("student", "ppo", {}), lambda: ppo.ppo(tmp_path, tmp_path, tmp_path)):
        with pytest.raises(UserError, match="use the student `grpo`"):
            call()


def test_a_step_of_which_all_is_undecided_has_no_reward() -> None:
    found = grpo.rise([{"step": 1, "reward": None}, {"step": 2, "reward": 0.5}, {"step": 3}])
    assert found["rewards"] == [[2, 0.5]]
