"""A row is what a trainer reads: the question as asked, the answer as it came, and the ids to find them by."""

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from factory import plugins
from factory.emitters.alpaca import alpaca
from factory.emitters.dpo import border, dpo
from factory.emitters.kto import kto
from factory.emitters.pretraining import pretraining
from factory.emitters.process_reward import process_reward, step_columns
from factory.emitters.reward_model import reward_model
from factory.emitters.rl_prompts import problem_columns, rl_prompts
from factory.emitters.sft import sft
from factory.emitters.sharegpt import sharegpt
from factory.records import Candidate, Pick, Problem, Step

RAW = "<think>\n1+1\n</think>\n\nIt is  2. "
CHOSEN = Candidate("t1", "p", "1+1?", RAW, "1+1", "It is 2.", "correct", "2", 9)
REJECTED = Candidate("t2", "p", "1+1?", "It is 3.", "", "It is 3.", "wrong", "3", 4)
PAIR, SINGLE = Pick(CHOSEN, REJECTED, "by length"), Pick(CHOSEN, None, "")
USER = {"role": "user", "content": "1+1?"}

Emit = Callable[..., Any]
ALL: list[Emit] = [sft, dpo, kto, reward_model, process_reward, rl_prompts, pretraining, sharegpt, alpaca]


def test_every_emitter_is_tested_here() -> None:
    assert {f.__name__ for f in ALL} == set(plugins.names("emitter"))


def test_sft_is_the_question_and_the_raw_answer_verbatim() -> None:
    assert sft(SINGLE) == {"messages": [USER, {"role": "assistant", "content": RAW}], "trace_id": "t1",
                           "problem_id": "p"}


@pytest.mark.parametrize(("thinking", "message"), [
    ("inline", {"content": RAW}),
    ("tags", {"content": "<think>\n1+1\n</think>\n\nIt is 2."}),
    ("reasoning_content", {"content": "It is 2.", "reasoning_content": "1+1"}),
    ("thinking", {"content": "It is 2.", "thinking": "1+1"}),
    ("drop", {"content": "It is 2."})])
def test_the_thinking_stands_where_the_template_wants_it(thinking: Any, message: dict[str, str]) -> None:
    assert sft(SINGLE, thinking=thinking)["messages"][-1] == {"role": "assistant", **message}
    assert dpo(PAIR, thinking=thinking)["chosen"] == [{"role": "assistant", **message}]


def test_dpo_is_one_question_with_both_answers() -> None:
    assert dpo(PAIR) == {
        "prompt": [USER], "chosen": [{"role": "assistant", "content": RAW}],
        "rejected": [{"role": "assistant", "content": "It is 3."}], "shared": 0,
        "trace_id": "t1", "rejected_id": "t2", "problem_id": "p"}


def test_dpo_marks_the_common_prefix_and_can_move_its_whole_steps_to_the_prompt() -> None:
    pick = Pick(replace(CHOSEN, raw="One.\nTwo 22"), replace(REJECTED, raw="One.\nTwo 33"), "")
    assert dpo(pick)["shared"] == len("One.\nTwo ")
    row = dpo(pick, split=True)
    assert row["prompt"] == [USER, {"role": "assistant", "content": "One.\n"}] and row["shared"] == 5
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("Two 22", "Two 33")
    assert dpo(PAIR, split=True) == dpo(PAIR)


@pytest.mark.parametrize(("text", "at"), [("", 0), ("abc", 0), ("a. b", 3), ("a\nb. c", 2), ("a? b! c", 6)])
def test_a_prefix_is_cut_between_steps(text: str, at: int) -> None:
    assert border(text) == at


def test_kto_labels_single_traces_by_their_verdict_and_pairs_by_their_side() -> None:
    assert [row["label"] for row in kto(SINGLE)] == [True]
    assert [row["label"] for row in kto(Pick(REJECTED, None, ""))] == [False]
    one, other = kto(Pick(CHOSEN, replace(CHOSEN, trace_id="t3"), ""))
    assert (one["label"], other["label"], other["trace_id"]) == (True, False, "t3")
    assert (one["prompt"], one["completion"]) == ([USER], [{"role": "assistant", "content": RAW}])


def test_a_reward_model_reads_two_whole_conversations() -> None:
    row = reward_model(PAIR, thinking="drop")
    assert row["chosen"] == [USER, {"role": "assistant", "content": "It is 2."}]
    assert row["rejected"] == [USER, {"role": "assistant", "content": "It is 3."}]
    assert (row["why"], row["problem_id"]) == ("by length", "p")


def test_process_rewards_are_the_steps_that_have_a_value() -> None:
    assert process_reward(Pick(REJECTED, None, ""))["correct"] is False
    steps = [Step(1, "x", "b", value=0.0), Step(0, "x", "a", value=0.5), Step(2, "x", "c")]
    assert step_columns(steps) == {"completions": ["a", "b"], "labels": [True, False], "values": [0.5, 0.0]}


def test_rl_prompts_alone_hold_a_reference_and_take_any_trace() -> None:
    problem = Problem("1+1?", "the reference", verifier="exact_match", source="s", domain="d")
    assert rl_prompts(Pick(REJECTED, None, "")) == {"prompt": [USER], "problem_id": "p"}
    assert problem_columns(problem) == {"verifier": "exact_match", "reference": "the reference", "source": "s",
                                        "domain": "d"}
    hooked = [name for name in plugins.names("emitter")
              if hasattr(importlib.import_module(f"factory.emitters.{name}"), "problem_columns")]
    assert hooked == ["rl_prompts"]


def test_pretraining_text_is_laid_out_and_braces_in_it_are_text() -> None:
    braces = replace(CHOSEN, prompt="{answer}?", raw="{prompt} {x}")
    assert pretraining(Pick(braces, None, ""))["text"] == "{answer}?\n\n{prompt} {x}"
    assert pretraining(SINGLE, layout="Q {prompt} A {answer}", thinking="drop")["text"] == "Q 1+1? A It is 2."
    with pytest.raises(ValueError, match="has to hold"):
        pretraining(SINGLE, layout="{prompt}")


@pytest.mark.parametrize(("emit", "columns"), [
    (sharegpt, {"messages": "conversations", "system": "system"}),
    (alpaca, {"prompt": "instruction", "query": "input", "response": "output", "system": "system"})])
def test_llama_factory_is_told_how_to_read_it(emit: Emit, columns: dict[str, str]) -> None:
    files = importlib.import_module(emit.__module__).extra_files([], "mine")
    info = json.loads(files["dataset_info.json"])["mine"]
    assert info == {"file_name": "data/train", "formatting": emit.__name__, "columns": columns}
    assert set(columns.values()) <= set(emit(SINGLE))


def test_the_yaml_for_llama_factory_is_the_published_recipe() -> None:
    text = importlib.import_module("factory.emitters.sharegpt").extra_files([], "mine")["llamafactory_sft.yaml"]
    found = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line and not line.startswith("#"))
    wanted = {"stage": "sft", "finetuning_type": "full", "deepspeed": "examples/deepspeed/ds_z3_config.json",
              "cutoff_len": "4096", "per_device_train_batch_size": "4", "gradient_accumulation_steps": "2",
              "learning_rate": "1.0e-5", "num_train_epochs": "3.0", "lr_scheduler_type": "cosine",
              "warmup_ratio": "0.1", "bf16": "true", "ddp_timeout": "180000000", "dataset": "mine"}
    assert wanted.items() <= found.items()


def test_alpaca_of_pairs_is_a_ranking_for_dpo() -> None:
    row = alpaca(PAIR, ranking=True)
    files = importlib.import_module("factory.emitters.alpaca").extra_files(iter([row]), "mine")
    info = json.loads(files["dataset_info.json"])["mine"]
    assert info["ranking"] is True and info["columns"] == {
        "prompt": "instruction", "query": "input", "system": "system", "chosen": "chosen", "rejected": "rejected"}
    assert set(info["columns"].values()) <= set(row)
    assert (row["chosen"], row["rejected"]) == (PAIR.chosen.raw, PAIR.rejected.raw if PAIR.rejected else None)
    assert "stage: dpo\n" in files["llamafactory_dpo.yaml"] and "pref_beta: 0.1\n" in files["llamafactory_dpo.yaml"]
    with pytest.raises(ValueError, match="has no rejected trace, and `alpaca` needs two"):
        alpaca(SINGLE, ranking=True)


def test_sharegpt_and_alpaca_are_one_turn() -> None:
    assert sharegpt(SINGLE)["conversations"] == [{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": RAW}]
    row = alpaca(SINGLE, system="Think.")
    assert (row["instruction"], row["input"], row["output"], row["system"]) == ("1+1?", "", RAW, "Think.")


def test_the_asked_text_can_be_reproduced() -> None:
    asked = [{"role": "system", "content": "Think."}, {"role": "user", "content": "Q: 1+1? Box it."}]
    keys = {"system": "Think.", "prefix": "Q: ", "suffix": " Box it."}
    assert sft(PAIR, **keys)["messages"][:2] == asked
    assert dpo(PAIR, **keys)["prompt"] == asked
    assert rl_prompts(PAIR, **keys)["prompt"] == asked


@pytest.mark.parametrize("emit", [dpo, reward_model])
def test_a_preference_needs_a_rejected_trace(emit: Emit) -> None:
    with pytest.raises(ValueError, match="choose with `pairs`"):
        emit(SINGLE)


@pytest.mark.parametrize("emit", [sft, pretraining, sharegpt, alpaca])
@pytest.mark.parametrize("status", ["wrong", "undecided"])
def test_nothing_but_a_correct_trace_is_imitated(emit: Emit, status: str) -> None:
    with pytest.raises(ValueError, match=f"is {status}, and `{emit.__name__}` takes correct ones only"):
        emit(Pick(replace(CHOSEN, status=status), None, ""))


@pytest.mark.parametrize("emit", ALL)
def test_rows_are_json(emit: Emit) -> None:
    assert json.loads(json.dumps(emit(PAIR))) == emit(PAIR)
