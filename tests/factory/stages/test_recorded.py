"""Traces of a file: each once, on the problems of their prompts, and whatever is left out is counted."""

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from factory import plugins, recipe
from factory import run as running
from factory.lake import Lake
from factory.protocols import UserError
from factory.run import Run
from factory.stages import load, recorded
from flows import pipeline, report

Make = Callable[..., Run]
ROWS: list[dict[str, Any]] = [
    {"prompt": "Compute 1 + 2.", "trace": "<think>one and two</think>\\boxed{3}", "by": "a", "end": "stop"},
    {"prompt": "Compute 1 + 2.", "trace": "\\boxed{4}", "by": "b", "end": "length"},
    {"prompt": "Compute 3 + 4.", "trace": "It is 7.\0", "by": "a", "end": "stop"},
    {"prompt": "Whose?", "trace": "Nobody's.", "by": "a", "end": None}]


@pytest.fixture
def make(tmp_path: Path, make_run: Make) -> Make:
    """A run whose traces are rows of a file."""
    def made(rows: list[dict[str, Any]] = ROWS, name: str = "t.jsonl", samples: int = 4, **keys: Any) -> Run:
        file, lines = tmp_path / name, "".join(json.dumps(row) + "\n" for row in rows)
        if name.endswith(".parquet"):
            pandas.DataFrame(rows).to_parquet(file)
        elif name.endswith(".gz"):
            file.write_bytes(gzip.compress(lines.encode()))
        else:
            file.write_text(lines)
        run = make_run(teacher={"plugin": "recorded", "path": str(file), **keys}, generate={"samples": samples})
        load.load(run)
        return run
    return made


def traces(run: Run) -> list[tuple[Any, ...]]:
    return run.lake.sql("""SELECT p.prompt, t.sample, t.thinking, t.response, t.raw, t.finish_reason FROM run_traces t
        JOIN problems p ON p.id = t.problem_id WHERE run_id = $1 ORDER BY ALL""", [run.id]).fetchall()


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.parquet"])
def test_each_row_is_a_trace_of_its_prompt_and_taken_once(make: Make, name: str,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    run = make(name=name, columns={"finish_reason": "end"})
    assert (recorded.take(run), recorded.take(run)) == (3, 0)
    assert traces(run) == [
        ("Compute 1 + 2.", 0, "one and two", "\\boxed{3}", ROWS[0]["trace"], "stop"),
        ("Compute 1 + 2.", 1, "", "\\boxed{4}", "\\boxed{4}", "length"),
        ("Compute 3 + 4.", 0, "", "It is 7.\ufffd", "It is 7.\ufffd", "stop")]
    assert "recorded traces: 1 belong to no problem of the run" in capsys.readouterr().err


def test_thinking_may_have_a_column_of_its_own(make: Make) -> None:
    columns = {"prompt": "q", "thinking": "r", "response": "a"}
    run = make([{"q": "Compute 1 + 2.", "r": "hm", "a": "3"}], columns=columns)
    recorded.take(run)
    assert [row[2:5] for row in traces(run)] == [("hm", "3", "<think>hm</think>3")]


def test_of_several_models_one_is_taken_and_it_is_in_the_identity(make: Make) -> None:
    run = make(columns={"model": "by"}, model="b")
    assert recorded.take(run) == 1 and [row[4] for row in traces(run)] == ["\\boxed{4}"]
    assert json.loads(run.teacher_key)["model"] == "b"


def test_more_than_the_samples_and_rows_that_are_none_are_counted(make: Make, capsys: pytest.CaptureFixture[str]
                                                                  ) -> None:
    run = make([*ROWS, {"prompt": " ", "trace": "?"}], samples=1)
    assert recorded.take(run) == 2
    told = capsys.readouterr().err
    assert "1 are more than generate.samples = 1 of a problem" in told and "1 cannot be read (in set_aside)" in told
    assert "line 5" in run.lake.value('SELECT "where" FROM set_aside')


def test_a_file_that_was_changed_is_another_teacher(make: Make) -> None:
    recorded.take(make())
    running._teacher_key.cache_clear()  # as in another process
    run = make([{"prompt": "Compute 1 + 2.", "trace": "\\boxed{5}"}])
    assert recorded.take(run) == 1 and [row[4] for row in traces(run)] == ["\\boxed{5}"]


def test_a_file_of_other_prompts_is_one_sentence(make: Make) -> None:
    run = make([{"prompt": "Whose?", "trace": "?"}])
    with pytest.raises(UserError, match="belongs to a problem of the recipe: name the column of the prompts"):
        recorded.take(run)


@pytest.mark.parametrize(("columns", "said"), [
    ({"prompt": "question"}, "has no column 'question' for prompt"), ({"trace": "text"}, "'text' for the trace"),
    ({"finish_reason": "why"}, "has no column 'why' for meta: name the right one in `columns`")])
def test_check_finds_a_wrong_column(make: Make, columns: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=f"the teacher 'recorded': .*{said}"):
        recorded.check(make(columns=columns).recipe)


@pytest.mark.parametrize(("keys", "said"), [
    ({"columns": {"text": "t"}}, "has no field 'text': use prompt, trace"),
    ({"columns": {"thinking": "t"}}, "has `thinking` without `response`")])
def test_columns_that_make_no_sense_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        plugins.bind("teacher", "recorded", {"path": "x.jsonl", **keys})()


def test_a_file_that_is_not_there_is_one_sentence_and_it_answers_nothing_new(tmp_path: Path) -> None:
    teacher = plugins.bind("teacher", "recorded", {"path": str(tmp_path / "t.jsonl")})()
    with pytest.raises(UserError, match="there is no file"):
        teacher.check()
    with pytest.raises(UserError, match="answers nothing new"):
        asyncio.run(teacher.ask([], 0))


def test_the_recipe_that_ships_judges_the_seeds_and_its_funnel_asks_nobody(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    whole = recipe.load(root / "flows/recipes/my_traces.toml", [
        f"problems.0.path={root}/data/seeds/traces.jsonl", f"teacher.path={root}/data/seeds/traces.jsonl",
        "verify.workers=1", "audit.share=0"])
    run = Run(whole, Lake(tmp_path / "lake"))
    pipeline.everything(run)
    found = dict(report.funnel(run.lake, run.id))
    assert [found[step] for step in ("problems", "traces answered", "correct", "wrong", "undecided")] == [2, 7, 4, 2, 1]
    assert "samples asked for" not in found and found["rows in dataset 'sft'"] == 4 and found["rows in dataset 'dpo'"]
    told = (run.lake.folder / "datasets/my_traces/sft/README.md").read_text()
    assert "| answered | 7 |" in told and "| asked |" not in told
