"""Preference optimisation: what is compared, and that it widens the margin."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the training plugins need the extra [train]")

from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.protocols import UserError
from factory.students import dpo

Write = Callable[[list[dict[str, Any]]], Path]


def pair(chosen: str, rejected: str) -> dict[str, Any]:
    return {"prompt": [{"role": "user", "content": "1+1?"}], "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}]}


def test_a_cut_keeps_what_is_shared_and_a_few_tokens_after_it(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    row = pair("<think>\n1+1=2\nand on 3 4 5\n</think>\n2", "<think>\n1+1=7\n8 9\n</think>\n7")
    cut, whole = dpo.tokenised(tokenizer, row, 3), dpo.tokenised(tokenizer, row, None)
    common = len(tokenizer.encode("<think>\n1+1="))
    assert tokenizer.decode(cut["chosen_ids"]).startswith("<think>\n1+1=2\n")
    assert tokenizer.decode(cut["rejected_ids"]).startswith("<think>\n1+1=7\n8")
    assert cut["chosen_ids"][:common] == cut["rejected_ids"][:common]
    assert len(cut["chosen_ids"]) == len(cut["rejected_ids"]) == common + 3
    assert cut["prompt_ids"] == whole["prompt_ids"]
    assert tokenizer.decode(whole["chosen_ids"]) == row["chosen"][0]["content"] + "<|im_end|>"
    assert tokenizer.decode(whole["prompt_ids"]) == "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    assert dpo.tokenised(tokenizer, row, 0) == whole
    assert [dpo.tokenised(tokenizer, row, after)["whole"] for after in (3, 10, 100, None)] == [False, False, True, True]


def test_a_side_that_ends_where_they_part_keeps_its_end(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    cut = dpo.tokenised(tokenizer, pair("2", "2 and 3 and 4"), 2)
    assert tokenizer.decode(cut["chosen_ids"]) == "2<|im_end|>"
    assert len(cut["rejected_ids"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("params", [{"nll": 0.0}, {"cut_after": None, "epochs": 2}, {"nll_on": "answer"},
                                    {"loss": "simpo", "smoothing": 0.1}])
def test_training_raises_the_margin_of_its_pairs(base: Path, dpo_rows: list[Any], dataset: Write, tmp_path: Path,
                                                 params: dict[str, Any]) -> None:
    figures = dpo.dpo(base, dataset([*dpo_rows, pair("2", "2")]), tmp_path / "out", learning_rate=1e-3, threads=1,
                      batch=8, **params)
    assert (figures["rows"], figures["rows_equal"]) == (48, 1)
    assert figures["margin_accuracy"] > 0.9
    assert figures["margin"] > 0
    assert (figures["chosen_logprob_end"] - figures["rejected_logprob_end"]
            > figures["chosen_logprob_start"] - figures["rejected_logprob_start"])
    AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model")
    assert json.loads((tmp_path / "out" / "figures.json").read_text())["margin"] == figures["margin"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"prompt": [{"role": "user", "content": "1+1?"}]}], "no column 'chosen'"),
        ([pair("2", "2")], "chosen and rejected are equal"),
        ([pair("1" * 2000, "2" + "1" * 2000)], "raise it, or set cut_after"),
    ],
)
def test_pairs_that_cannot_be_trained_on_are_refused_in_a_sentence(
        base: Path, dataset: Write, tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(UserError, match=says):
        dpo.dpo(base, dataset(rows), tmp_path / "out", threads=1, cut_after=None)
