"""`cot status`: what was kept out before it was asked, by reason."""

import json
from pathlib import Path

from factory.lake import Lake
from factory.recipe import validate
from factory.run import Run
from flows import pipeline, report

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
