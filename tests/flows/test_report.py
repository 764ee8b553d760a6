"""`cot status`: what was kept out before it was asked, by reason."""

import json
from pathlib import Path

from factory.lake import Lake
from factory.recipe import validate
from factory.run import Run
from flows import html_report, pipeline, report

PROMPTS = ["Compute 1 + 2.", "compute  1 + 2.", "Compute 5 + 6.", "Ann has 4 red and 5 blue hens and sells 2 in May?"]


def test_problems_that_were_kept_out_are_counted_by_stage_and_reason(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": p, "reference": "3"}) + "\n" for p in PROMPTS))
    (tmp_path / "b row 7: x.jsonl").write_text("".join(json.dumps({"q": q}) + "\n" for q in (PROMPTS[2], PROMPTS[3])))
    recipe = validate({
        "name": "r", "problems": [{"plugin": "jsonl", "path": str(tmp_path / "p.jsonl"), "verifier": "exact_match"}],
        "teacher": "scripted", "verify": {"workers": 1}, "audit": {"share": 0}, "dedup": {"problems": True},
        "decontaminate": {"against": [{"path": str(tmp_path / "b row 7: x.jsonl"), "column": "q"}]}}, "the test")
    lake = Lake(tmp_path / "lake")
    pipeline.everything(Run(recipe, lake))
    [row] = lake.rows("SELECT * FROM runs")
    told = report.text(lake, row).split("problems kept out before they were asked\n")[1].split("\n\n")[0].splitlines()
    assert told == [f"  decontaminate: 1 of 4, contaminated by {tmp_path}/b row 7: x.jsonl: 8 words",
                    f"  decontaminate: 1 of 4, contaminated by {tmp_path}/b row 7: x.jsonl: the same words",
                    "  dedup: 1 of 4, a duplicate"]


def test_a_screening_that_dropped_nothing_is_said_too(tmp_path: Path) -> None:
    recipe = validate({"name": "r", "problems": [{"plugin": "worlds", "count": 3}], "teacher": "scripted",
                       "verify": {"workers": 1}, "audit": {"share": 0}, "dedup": {"problems": True}}, "the test")
    lake = Lake(tmp_path / "lake")
    pipeline.everything(Run(recipe, lake))
    assert "  dedup: 0 of 3\n" in report.text(lake, lake.rows("SELECT * FROM runs")[0])


def test_what_a_training_brought_and_took_is_in_both_reports(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    run = dict(id="r", name="r", recipe="{}", teacher="t", strategy="s", samples=1, started="now")
    lake.append("runs", [run])
    figures = {"first_loss": 0.7, "last_loss": 0.2, "held_out_accuracy": 0.59, "held_out_pairs": 58, "seconds": 9.0}
    for created, taken in (("1", {}), ("2", figures)):
        lake.append("students", [dict(id=f"s{created}", run_id="r", name="judge", plugin="reward_model",
                                      figures=json.dumps(taken), created=created)])
    assert "\n\nstudents\n  judge: reward_model, loss 0.700 to 0.200, accuracy 0.59 on 58 held-out pairs, 9 s\n" in (
        report.text(lake, run) + "\n")
    page = html_report.page(lake, run)
    assert "<h2>Students</h2>" in page and "accuracy 0.59 on 58 held-out pairs" in page
