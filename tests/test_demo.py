"""The demo, small, with everything real: vLLM serves the bundled teacher, TRL trains, the student is evaluated."""

import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from factory.lake import Lake
from flows import accuracy, report

ROOT = Path(__file__).parent.parent
SMALL = ["problems.0.count=60", "generate.samples=2", "evaluate.problems.count=40", "students.0.trainer.epochs=1",
         "on_policy.problems.0.count=60", "on_policy.samples=3"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("demo")
    assert _run(folder).returncode == 0
    return Lake(folder)


def _run(folder: Path) -> "subprocess.CompletedProcess[str]":
    settings = [part for setting in SMALL for part in ("--set", setting)]
    command = [sys.executable, "-m", "flows.cli", "run", "flows/recipes/demo.toml", "--direct", "--lake", str(folder)]
    return subprocess.run([*command, *settings], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_a_real_vllm_answers_and_makes_real_mistakes(lake: Lake) -> None:
    counts = dict(lake.sql("SELECT status, count(*) FROM judged v JOIN run_traces t ON t.id = v.trace_id "
                           "WHERE t.run = 'demo' GROUP BY 1").fetchall())
    assert sum(counts.values()) == 120
    assert counts["correct"] > 30
    assert counts["wrong"] > 5


@pytest.mark.slow
def test_traces_think_check_and_correct_themselves(lake: Lake) -> None:
    thoughts = [row[0] for row in lake.sql("SELECT thinking FROM run_traces WHERE run = 'demo'").fetchall()]
    assert any("Wait, redo" in text for text in thoughts)
    assert any("ok." in text for text in thoughts)


@pytest.mark.slow
def test_both_datasets_open_and_hold_no_undecided_and_no_reference(lake: Lake) -> None:
    for name, columns in (("demo/sft", {"messages", "trace_id", "problem_id"}),
                          ("demo-sft/dpo", {"chosen", "rejected", "prompt"})):
        rows = datasets.load_dataset(str(lake.folder / "datasets" / name), split="train")
        assert columns <= set(rows.column_names)
        assert "reference" not in rows.column_names
        assert len(rows) > 0


@pytest.mark.slow
def test_the_pairs_are_the_students_own_and_its_server_answered_the_held_out_problems_too(lake: Lake) -> None:
    own = report.latest_run(lake, "demo-sft")
    assert lake.value("SELECT count(*) FROM run_traces WHERE run_id = $1", [own["id"]]) == 180
    asked = [row["stage"] for row in lake.rows("SELECT DISTINCT stage FROM timings WHERE part = 'ask'")]
    assert "evaluate the teacher" in asked
    assert "evaluate sft" not in asked


@pytest.mark.slow
def test_base_and_both_students_are_evaluated_with_intervals(lake: Lake) -> None:
    rows = accuracy.evaluations(lake, report.latest_run(lake, "demo")["id"])
    assert [row["model"] for row in rows] == ["student (base)", "sft", "dpo"]
    for row in rows:
        assert row["low"] <= row["pass_at_1"] <= row["high"]
        assert row["problems"] == 40


@pytest.mark.slow
def test_a_second_run_does_no_work_and_shows_the_same(lake: Lake) -> None:
    tables = ("traces", "verdicts", "measurements", "picks", "students", "evaluations", "timings")
    before = {table: lake.ids(table) for table in tables}
    again = _run(lake.folder)
    assert again.returncode == 0
    assert "accuracy on held-out problems" in again.stdout
    assert {table: lake.ids(table) for table in tables} == before
    assert (lake.folder / "plots" / "demo.png").stat().st_size > 10_000
