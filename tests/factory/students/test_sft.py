"""Supervised fine-tuning: what is trained on, what survives a kill, what is refused."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the training plugins need the extra [train]")

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.protocols import UserError
from factory.students import _rows, sft

Write = Callable[[list[dict[str, Any]]], Path]
DIES_AT_ITS_FIRST_CHECKPOINT = """
import os, signal, sys
from factory.students import __main__ as program, _training
_training.Watch.on_save = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
program.main(sys.argv[1:])
"""


def run(base: Path, dataset: Path, output: Path, **params: Any) -> dict[str, Any]:
    return sft.sft(base, dataset, output, threads=1, **params)


def test_exactly_the_assistants_text_and_the_end_of_its_turn_bear_loss(base: Path, sft_rows: list[Any]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    for row in sft_rows:
        made = sft.tokenised(tokenizer, row["messages"])
        trained = [label for label in made["labels"] if label >= 0]
        assert tokenizer.decode(trained) == row["messages"][1]["content"] + "<|im_end|>"
        assert made["labels"] == [-100] * (len(made["labels"]) - len(trained)) + trained
        whole = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        assert tokenizer.decode(made["input_ids"]) == whole.removesuffix("\n")


def test_a_template_that_opens_the_thinking_does_not_open_it_twice(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = tokenizer.chat_template.replace("assistant\n{%", "assistant\n<think>\n{%")
    messages = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "<think>\n2\n</think>\n2"}]
    assert tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True).endswith("<think>\n")
    assert tokenizer.decode(sft.tokenised(tokenizer, messages)["input_ids"]).count("<think>") == 1


def test_a_row_is_seen_once_an_epoch_and_batches_are_of_like_length() -> None:
    lengths = [(i * 37) % 101 + 1 for i in range(100)]
    places = _rows.order(lengths, batch=8, epochs=3, seed=0)
    assert sorted(places) == sorted(list(range(100)) * 3)
    padding = sum(max(lengths[p] for p in places[i:i + 8]) - lengths[p] for i in range(0, 300, 8)
                  for p in places[i:i + 8])
    assert padding < 0.2 * sum(lengths) * 3
    assert len(_rows.order(lengths, batch=8, epochs=0.5, seed=0)) == 50
    assert places != _rows.order(lengths, batch=8, epochs=3, seed=1)


@pytest.mark.slow
def test_training_lowers_the_loss_and_writes_a_model_that_opens(
        base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path) -> None:
    long = {**sft_rows[0], "messages": [sft_rows[0]["messages"][0], {"role": "assistant", "content": "7" * 2000}]}
    folder, output = dataset([*sft_rows, long]), tmp_path / "out"
    figures = run(base, folder, output, epochs=6, batch=16)
    assert figures["last_loss"] < 0.9 * figures["first_loss"]
    assert (figures["rows"], figures["rows_too_long"], figures["steps"]) == (48, 1, 18)
    assert 0 < len(figures["points"]) <= 100
    AutoModelForCausalLM.from_pretrained(output / "model")
    assert AutoTokenizer.from_pretrained(output / "model").chat_template
    assert json.loads((output / "model" / "generation_config.json").read_text())["eos_token_id"] == 2
    assert {t.dtype for t in load_file(output / "model" / "model.safetensors").values()} == {torch.float32}
    assert sorted(p.name for p in output.iterdir()) == ["figures.json", "model", "plan.json", "run.json"]
    written = (output / "model" / "model.safetensors").stat().st_mtime_ns
    assert run(base, folder, output, epochs=6, batch=16) == figures
    assert (output / "model" / "model.safetensors").stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_complete_checkpoint_to_the_same_weights(
        base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path) -> None:
    folder, killed, straight = dataset(sft_rows), tmp_path / "killed", tmp_path / "straight"
    params = {"epochs": 4, "batch": 16, "save_steps": 5, "threads": 1}
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"plugin": "sft", "base": str(base), "dataset": str(folder), "output": str(killed),
                                "params": params}))
    child = subprocess.run([sys.executable, "-c", DIES_AT_ITS_FIRST_CHECKPOINT, str(spec)], check=False,
                           capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert [p.name for p in (killed / "checkpoints").glob("checkpoint-*")] == ["checkpoint-5"]
    assert not (killed / "model").exists()
    torn = killed / "checkpoints" / "checkpoint-10"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half of i")
    with pytest.raises(UserError, match="unfinished run with learning_rate"):
        run(base, folder, killed, learning_rate=1e-5, epochs=4, batch=16, save_steps=5)
    resumed = run(base, folder, killed, epochs=4, batch=16, save_steps=5)
    whole = run(base, folder, straight, epochs=4, batch=16, save_steps=5)
    assert (resumed["resumed_from_step"], whole["resumed_from_step"]) == (5, 0)
    assert resumed["points"] == whole["points"]
    assert len(whole["points"]) == 12
    one, other = (load_file(out / "model" / "model.safetensors") for out in (killed, straight))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_half_written_model_and_a_model_without_figures_are_written_anew(
        base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for leftover in (output / ".model-tmp", output / "model"):
        leftover.mkdir(parents=True)
        (leftover / "model.safetensors").write_bytes(b"half")
    assert run(base, dataset(sft_rows[:4]), output, epochs=1)["steps"] == 1
    assert not (output / ".model-tmp").exists()
    AutoModelForCausalLM.from_pretrained(output / "model")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "does not open|has no rows"),
        ([{"text": "hello"}], "no column 'messages' .it has text."),
        ([{"messages": "hello"}], "must be lists of messages"),
        ([{"messages": [{"role": "user", "content": "1+1?"}]}], "role 'user', not 'assistant'"),
        ([{"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "9" * 3000}]}],
         "longer than max_length = 1024 tokens: raise it"),
    ],
)
def test_a_dataset_that_cannot_be_trained_on_is_refused_in_a_sentence(
        base: Path, dataset: Write, tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(UserError, match=says):
        run(base, dataset(rows), tmp_path / "out")


def test_a_base_that_is_no_chat_model_is_refused(base: Path, sft_rows: list[Any], dataset: Write,
                                                 tmp_path: Path) -> None:
    folder, bare = dataset(sft_rows), tmp_path / "bare"
    with pytest.raises(UserError, match="not a model folder"):
        run(bare, folder, tmp_path / "out")
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(bare)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(bare)
    with pytest.raises(UserError, match="no chat template"):
        run(bare, folder, tmp_path / "out")


def test_a_loss_that_is_no_number_ends_the_run(base: Path, sft_rows: list[Any], dataset: Write, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.model.norm.weight.fill_(1e38)
    model.save_pretrained(broken)
    AutoTokenizer.from_pretrained(base).save_pretrained(broken)
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at step 1: lower learning_rate"):
        run(broken, dataset(sft_rows), tmp_path / "out")
    assert not (tmp_path / "out" / "model").exists()
