"""What a training leaves in the lake: rows that fit the tables, whatever the trainer tells, and a picture."""

from pathlib import Path
from typing import Any

import pytest

from factory import training_records
from factory.lake import TABLES, Lake

FIGURES: dict[str, Any] = {"rows": 10, "rows_too_long": 1, "points": [[5, 2.5], [10, 1.5]], "seconds": 3.0, "mfu": 0.5,
                           "tokens_per_second": 1234.5, "peak_memory": 2**30, "bf16": False, "device": "CPU, 2 threads",
                           "versions": {"trl": "1.16.0"}}


@pytest.mark.parametrize("figures", [FIGURES, {}, {"rows": 3}])
def test_a_training_and_its_losses_are_rows_of_the_lake(tmp_path: Path, figures: dict[str, Any]) -> None:
    lake = Lake(tmp_path)
    row = training_records.training_row("s1", "r1", "sft", "d1", {"epochs": 5}, figures, "2026-11-28T00:00:00.000Z")
    losses = training_records.loss_rows("s1", "r1", figures)
    assert set(row) == set(TABLES["trainings"])
    for _ in range(2):  # a stage that runs again adds nothing
        lake.append_new("trainings", [row])
        lake.append_new("losses", losses)
    assert lake.rows("SELECT name, rows, mfu FROM trainings") == [
        {"name": "sft", "rows": figures.get("rows"), "mfu": figures.get("mfu")}]
    assert lake.rows("SELECT step, loss FROM losses ORDER BY 1") == [
        {"step": step, "loss": loss} for step, loss in figures.get("points", [])]


def test_the_picture_is_made_where_there_are_losses(tmp_path: Path) -> None:
    path = training_records.picture("demo, sft", FIGURES, tmp_path / "plots" / "demo-sft.png")
    assert path
    assert path.read_bytes().startswith(b"\x89PNG")
    assert training_records.picture("demo, sft", {}, tmp_path / "none.png") is None
    assert training_records.cost(FIGURES) == ["3 s", "1,234 tokens/s", "50% of the matrix rate", "1,024 MiB at most"]
    assert training_records.cost({}) == []


def test_what_was_learnt_is_told_as_far_as_it_is_known(tmp_path: Path) -> None:
    ranked = {"first_loss": 0.7, "last_loss": 0.2, "held_out_accuracy": 0.5926, "held_out_pairs": 1200,
              "held_out_auroc": None}
    assert training_records.learnt(ranked) == ["loss 0.700 to 0.200", "accuracy 0.59 on 1,200 held-out pairs"]
    rewarded = {**FIGURES, "rewards": [[5, -1.0], [10, -0.5]], "first_reward": -1.0, "last_reward": -0.5}
    assert training_records.learnt(rewarded) == ["mean reward -1.00 to -0.50"]
    assert training_records.learnt({}) == []
    plain, both = (training_records.picture("x", figures, tmp_path / f"{name}.png")
                   for name, figures in (("plain", FIGURES), ("both", rewarded)))
    assert plain and both and plain.read_bytes() != both.read_bytes()


def test_prompts_that_were_trained_on_and_left_out_are_rows_too() -> None:
    figures = {"prompts": 35, "pairs": 126, "pairs_too_long": 4}
    row = training_records.training_row("s", "r", "rm", "d", {}, figures, "now")
    assert (row["rows"], row["rows_too_long"]) == (35, 4)
