"""What evaluations say: no gain without the word on its significance, no score without how it was asked, and curves."""

from pathlib import Path
from typing import Any

import pytest

from factory.lake import Lake
from flows import accuracy, curves, html_report, report

RUN = dict(id="r", name="r", recipe="{}", teacher="t", strategy="s", samples=1, started="now")
HOW = dict(run_id="r", temperature=0.8, top_p=None, max_tokens=320, budget=None)


def evaluation(model: str, rate: float, created: str, **more: Any) -> dict[str, Any]:
    return dict(id=f"e-{model}", model=model, problems=200, samples=4, undecided=1, pass_at_1=rate, low=rate - 0.05,
                high=rate + 0.03, tokens=9, created=created, **HOW, **more)


def score(model: str, metric: str, k: int, value: float, part: str = "held-out", **more: Any) -> dict[str, Any]:
    key = "-".join(str(x) for x in (model, metric, k, part, *more.values()))
    return {"id": key, "evaluation": f"e-{model}", "model": model, "metric": metric, "k": k, "value": value,
            "low": value - 0.05, "high": value + 0.05, "n": 200, "samples": 4, "tokens": 50.0 * k, "part": part,
            "slice": "", "created": "1", **HOW, **more}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    made.append("runs", [RUN])
    made.append("starts", [dict(id="s", run_id="r", started="now")])
    made.append("evaluations", [
        evaluation("base", 0.96, "1"),
        evaluation("sft", 0.99, "2", gain=0.03, gain_low=0.01, gain_high=0.05, gain_p=0.004, contaminated=7,
                   clean_pass_at_1=0.98),
        evaluation("dpo", 0.97, "3", gain=0.01, gain_low=-0.01, gain_high=0.03, gain_p=0.4, contaminated=0,
                   clean_pass_at_1=0.97)])
    made.append("scores", [
        *(score("sft", metric, k, 0.5 + k / 20, by="reward" if metric == "best" else None)
          for metric in ("pass", "consensus", "best") for k in (1, 4)),
        score("sft", "pass", 1, 0.7, slice="level 1"), score("sft", "pass", 1, 0.4, slice="level 2"),
        score("sft", "cells", 1, 0.62), score("sft", "cells", 1, 0.5, slice="size s"),
        {**score("dpo", "gain", 1, -0.02, against="base"), "p": 0.3},
        {**score("dpo", "gain", 1, -0.02, against="sft"), "p": 0.3, "low": -0.06, "high": 0.02},
        *(score("sft", "pass", 1, 0.2 + budget / 200, "curve", budget=budget, thinking=budget * 0.9)
          for budget in (16, 32, 64)),
        *(score("sft", metric, k, 0.4 + k / 20, "curve") for metric in ("pass", "consensus") for k in (1, 2, 4))])
    return made


def test_a_gain_whose_interval_holds_0_is_told_to_be_not_significant(lake: Lake) -> None:
    text = report.text(lake, report.latest_run(lake, "r"))
    lines = text.splitlines()
    [sft] = [line for line in lines if line.startswith("  sft  ") and "against the base" in line]
    [dpo] = [line for line in lines if line.startswith("  dpo  ") and "against the base" in line]
    assert "+3.0% [+1.0%, +5.0%] against the base   (" in sft
    assert "+1.0% [-1.0%, +3.0%] against the base, not significant" in dpo
    assert "  dpo against sft: -2.0% [-6.0%, +2.0%], p = 0.3: not significant" in lines
    assert [line for line in lines if "cells" in line] == [
        "  sft: 62.0% [57.0%, 67.0%] of the cells of 200 grids are right"]


def test_every_report_says_how_it_was_asked(lake: Lake) -> None:
    for text in (report.text(lake, report.latest_run(lake, "r")), html_report.page(lake, report.latest_run(lake, "r"))):
        assert "temperature 0.8, top_p the server's, 320 tokens at most" in text.replace("&#x27;", "'")
        assert "200" in text


def test_what_was_met_in_training_stands_beside_the_score(lake: Lake) -> None:
    notes = accuracy.notes(accuracy.evaluations(lake, "r"))
    shared = "of 200 problems share words in a row with what it was trained on"
    assert f"sft: 7 {shared}; of the others it solves 98.0%" in notes
    assert f"dpo: 0 {shared}" in notes


def test_a_base_that_leaves_no_room_is_a_warning(lake: Lake) -> None:
    notes = accuracy.notes(accuracy.evaluations(lake, "r"))
    assert any(note.startswith("warning: base solves 96.0%") for note in notes)


def test_choices_slices_and_points_are_lines(lake: Lake) -> None:
    lines = [" ".join(line.split()) for line in report.text(lake, report.latest_run(lake, "r")).splitlines()]
    assert "sft best@4 70.0% [65.0%, 75.0%] the highest score by reward, 200 tokens a problem" in lines
    assert "sft level 1: 70.0% [65.0%, 75.0%] of 200, level 2: 40.0% [35.0%, 45.0%] of 200" in lines
    points = "16: 28.0% [23.0%, 33.0%], 32: 36.0% [31.0%, 41.0%], 64: 52.0% [47.0%, 57.0%]"
    assert f"sft thinking tokens {points}" in lines
    assert "200 problems × 4 a point, asked with temperature 0.8, top_p the server's, 320 tokens at most" in lines


def test_the_curves_are_a_picture_and_a_part_of_the_page(lake: Lake, tmp_path: Path) -> None:
    run = report.latest_run(lake, "r")
    [path] = curves.pictures(lake, run, tmp_path / "plots")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    page = html_report.page(lake, run)
    assert "Test-time compute" in page
    assert "budget of thinking" in page
    assert "tokens a problem, all samples together" in page


def test_without_an_evaluation_there_is_nothing_to_say(tmp_path: Path) -> None:
    empty = Lake(tmp_path / "lake")
    assert [lines for _, lines in accuracy.lines(empty, "r")] == [[]] * 5
    assert curves.pictures(empty, RUN, tmp_path) == []
