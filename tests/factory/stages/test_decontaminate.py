"""Contamination: before tokens are spent and before rows are written, with both texts of each hit."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from factory.protocols import UserError
from factory.run import Run
from factory.stages import choose, decontaminate, load, screen

Make = Callable[..., Run]
Source = Callable[..., dict[str, Any]]

LONG = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
AGAIN = "In April Natalia had 48 friends who bought clips; in May half as many clips were sold by Natalia. How many?"
ROWS = [("Natalia SOLD clips to 48 of her friends in June.", "1"), ("Compute 1 + 2.", "3"), ("Compute 5 + 6.", "11")]
SFT = {"name": "sft", "selector": "shortest", "emitter": "sft"}


@pytest.fixture
def benchmark(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`decontaminate.against` for a file of these texts."""
    def make(*texts: str, name: str = "test.jsonl", column: str = "question") -> dict[str, Any]:
        file, rows = tmp_path / name, [{"question": text, "answer": "1"} for text in texts]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        if name.endswith(".csv"):
            pandas.DataFrame(rows).to_csv(file, index=False)
        elif name.endswith(".parquet"):
            pandas.DataFrame(rows).to_parquet(file)
        elif name.endswith(".gz"):
            file.write_bytes(gzip.compress(lines.encode()))
        else:
            file.write_text(lines)
        return {"path": str(file), "column": column}
    return make


def asked(run: Run) -> list[str]:
    return [row[0] for row in run.lake.sql("""SELECT prompt FROM problems p JOIN members m ON m.problem_id = p.id
        WHERE run_id = $1 AND part = 'train' ORDER BY 1""", [run.id]).fetchall()]


@pytest.mark.parametrize("name", ["b.jsonl", "b.jsonl.gz", "b.csv", "b.parquet"])
def test_a_problem_that_meets_a_benchmark_is_never_asked(make_run: Make, source: Source, name: str,
                                                         benchmark: Callable[..., dict[str, Any]]) -> None:
    run = make_run(problems=[source(ROWS)],
                   decontaminate={"against": [benchmark("compute 5+7", LONG, "Compute: 5 + 6", name=name)]})
    load.load(run)
    assert asked(run) == ["Compute 1 + 2."]
    found = run.lake.rows("SELECT text, benchmark_text, number, rule, shared FROM contamination ORDER BY number")
    assert found == [
        {"text": ROWS[0][0], "benchmark_text": LONG, "number": 2, "rule": "8 words",
         "shared": "natalia sold clips to 48 of her friends in"},
        {"text": ROWS[2][0], "benchmark_text": "Compute: 5 + 6", "number": 3, "rule": "the same words",
         "shared": "compute 5 + 6"}]
    reasons = {row["reason"] for row in run.lake.rows("SELECT reason FROM set_aside")}
    assert any(reason.endswith(f"{name} row 2: 8 words") for reason in reasons) and len(reasons) == 2


@pytest.mark.parametrize(("words", "paraphrase", "left"), [(8, 0.55, 1), (13, 0.55, 1), (13, 0, 3), (8, 0, 2)])
def test_the_rules_are_chosen_in_the_recipe(make_run: Make, source: Source, words: int, paraphrase: float, left: int,
                                            benchmark: Callable[..., dict[str, Any]]) -> None:
    rows = [(ROWS[0][0].replace("June", "April and half in May"), "1"), (AGAIN, "2"), ROWS[1]]
    run = make_run(problems=[source(rows)], decontaminate={
        "against": [benchmark(LONG)], "words": words, "paraphrase": paraphrase})
    load.load(run)
    assert len(asked(run)) == left


def test_a_dataset_of_the_hub_or_a_folder_is_a_benchmark_too(make_run: Make, source: Source, tmp_path: Path,
                                                             benchmark: Callable[..., dict[str, Any]]) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    benchmark(LONG, name="set/test.jsonl")
    run = make_run(problems=[source(ROWS)],
                   decontaminate={"against": [{"dataset": str(folder), "split": "test", "column": "question"}]})
    load.load(run)
    assert len(asked(run)) == 2


def test_a_benchmark_that_has_changed_is_looked_at_again_and_else_it_is_not(
        make_run: Make, source: Source, benchmark: Callable[..., dict[str, Any]]) -> None:
    run = make_run(problems=[source(ROWS)], decontaminate={"against": [benchmark(LONG)]})
    load.load(run)
    load.load(run)
    assert run.lake.value("SELECT count(*) FROM screenings") == 1
    benchmark(LONG, "another")
    load.load(run)
    assert run.lake.value("SELECT count(*) FROM screenings") == 2


def test_rows_are_looked_at_again_before_they_are_written(judged: Make, benchmark: Callable[..., dict[str, Any]]
                                                          ) -> None:
    run = judged(datasets=[SFT], decontaminate={"against": [benchmark(LONG)]})
    before = choose.choose(run)
    benchmark(LONG, "Compute 1 + 2.")  # which was loaded and asked when the benchmark had no such problem
    after = screen.rows(run, before)
    prompts = run.lake.sql("SELECT prompt FROM picks k JOIN problems p ON p.id = problem_id WHERE selection = $1",
                           [after["sft"]]).fetchall()
    assert after != before and "Compute 1 + 2." not in {row[0] for row in prompts}
    reasons = run.lake.sql("SELECT reason FROM drops WHERE selection = $1", [after["sft"]]).fetchall()
    assert any(reason.startswith("contaminated by") and reason.endswith("test.jsonl") for (reason,) in reasons)


def test_a_trace_that_recites_a_benchmark_is_found_by_13_words(judged: Make,
                                                               benchmark: Callable[..., dict[str, Any]]) -> None:
    run = judged(datasets=[SFT], decontaminate={"against": [benchmark(LONG)]})
    selection = choose.choose(run)
    raw = run.lake.value("SELECT raw FROM traces WHERE id = (SELECT min(chosen) FROM picks)")
    benchmark("Before it come other words: " + " ".join(raw.split()[:15]))
    found = list(decontaminate.rows(run, "s", decontaminate.read(run.recipe), selection["sft"]))
    assert len(raw.split()) >= 15
    assert [row["rule"] for row in found if row["text"] == raw] == ["13 words"]


def test_when_nothing_is_left_it_says_where_to_look(make_run: Make, source: Source,
                                                    benchmark: Callable[..., dict[str, Any]]) -> None:
    run = make_run(problems=[source(ROWS[:1])], decontaminate={"against": [benchmark(LONG)]})
    with pytest.raises(UserError, match=r"every problem is dropped \(1 contaminated by .*look at the tables"):
        load.load(run)


@pytest.mark.parametrize(("change", "said"), [
    ({"column": "qestion"}, "has no column 'qestion': name the right one in `column` (it has question, answer)"),
    ({"path": "no/such.jsonl"}, "there is no file no/such.jsonl"),
    ({"path": "pyproject.toml"}, "pyproject.toml is of an unknown kind: use .jsonl"),
])
def test_a_benchmark_that_cannot_be_read_is_one_sentence_before_anything_starts(
        make_run: Make, change: dict[str, str], said: str, benchmark: Callable[..., dict[str, Any]]) -> None:
    run = make_run(decontaminate={"against": [{**benchmark(LONG), **change}]})
    for look in (decontaminate.check, decontaminate.read):
        with pytest.raises(UserError) as error:
            look(run.recipe)
        assert said in str(error.value) and str(error.value).startswith("decontaminate.against: ")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "said"), [("", "is empty"), ('{"question": ""}\n', "holds no text in 'question'")])
def test_an_empty_benchmark_is_refused(make_run: Make, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "e.jsonl").write_text(text)
    run = make_run(decontaminate={"against": [{"path": str(tmp_path / "e.jsonl"), "column": "question"}]})
    with pytest.raises(UserError, match=said):
        decontaminate.check(run.recipe)


def test_a_malformed_line_of_a_benchmark_is_named_and_the_others_count(
        make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.jsonl").write_text("{torn\n" + json.dumps({"question": LONG}) + "\n")
    run = make_run(decontaminate={"against": [{"path": str(tmp_path / "m.jsonl"), "column": "question"}]})
    found = decontaminate.read(run.recipe)
    assert (found.texts, found.places[0][1]) == ([LONG], 2)
    assert "m.jsonl line 1: not JSON" in capsys.readouterr().err


@pytest.mark.parametrize("against", [{"column": "q"}, {"column": "q", "path": "a.jsonl", "dataset": "b"}])
def test_a_benchmark_is_a_file_or_a_dataset(make_run: Make, against: dict[str, str]) -> None:
    with pytest.raises(UserError, match="needs either a `path` or a `dataset`"):
        make_run(decontaminate={"against": [against]})


def test_recipes_without_these_keys_load_nothing_for_them() -> None:
    code = "import sys, flows.cli\nprint('numpy' in sys.modules, 'factory.minhash' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "False"]
