"""KTO and ORPO: the rows go in, the loss goes down, the model opens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the training plugins need the extra [train]")

from transformers import AutoModelForCausalLM

from factory.protocols import UserError
from factory.students import kto, orpo

Write = Callable[[list[dict[str, Any]]], Path]


def labelled(rows: list[Any]) -> list[dict[str, Any]]:
    return [{"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
            for row in rows for side in ("chosen", "rejected")]


@pytest.mark.slow
@pytest.mark.parametrize(("train", "form"), [(kto.kto, labelled), (orpo.orpo, list)], ids=["kto", "orpo"])
def test_it_trains_on_what_its_emitter_writes(base: Path, dpo_rows: list[Any], dataset: Write, tmp_path: Path,
                                              train: Any, form: Callable[[list[Any]], list[Any]]) -> None:
    long = {**dpo_rows[0], "chosen": [{"role": "assistant", "content": "1" * 900}]}
    figures = train(base, dataset(form([*dpo_rows, long])), tmp_path / "out", threads=1, epochs=4, learning_rate=2e-3,
                    max_length=600)
    assert (figures["rows_too_long"], figures["resumed_from_step"]) == (1, 0)
    assert figures["rows"] == len(form([*dpo_rows, long])) - 1
    assert figures["last_loss"] < figures["first_loss"]
    assert all(figures[key] > 0 for key in ("tokens", "tokens_per_second", "mfu", "peak_memory", "estimated_memory"))
    AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model")


def test_rows_of_another_emitter_are_refused_in_a_sentence(base: Path, dpo_rows: list[Any], dataset: Write,
                                                           tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column 'completion'"):
        kto.kto(base, dataset(dpo_rows), tmp_path / "out", threads=1)
