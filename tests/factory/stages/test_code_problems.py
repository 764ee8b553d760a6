"""Problems whose references are tests: loaded, judged, and kept apart where the verdict is not certain."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from factory.lake import Lake
from factory.protocols import UserError
from factory.records import content_id
from factory.run import Run
from factory.stages import choose, load, verify
from flows import export, pipeline
from verifiers.verdict import Verdict

Make = Callable[..., Run]
Source = Callable[..., dict[str, Any]]
Private = Callable[[str, str], str]

SFT = {"name": "sft", "selector": "shortest", "emitter": "sft"}
CASES = {"kind": "stdio", "tests": [{"stdin": "1 2", "stdout": "3"}]}
ADD = "print(sum(map(int, input().split())))"


def test_a_solution_that_fails_and_tests_that_cannot_be_read_are_set_aside(make_run: Make, source: Source) -> None:
    rows = [("solved", {**CASES, "solution": ADD}), ("unsolved", CASES), ("failing", {**CASES, "solution": "print(4)"}),
            ("torn", {"kind": "stdio", "tests": 3}), ("empty", {**CASES, "tests": []})]
    run = make_run(problems=[source([(name, json.dumps(row)) for name, row in rows], verifier="code_tests")])
    load.load(run)
    found = {row["prompt"]: row["reason"] for row in run.lake.rows("SELECT prompt, reason FROM set_aside")}
    assert found == {
        "failing": "its own reference is wrong for code_tests: test 1 of 1: got '4', expected '3'",
        "torn": 'its reference cannot be read by code_tests: "tests" is no list',
        "empty": "its reference cannot be read by code_tests: the reference has no tests"}
    assert run.lake.value("SELECT count(*) FROM members") == 2


def graded(grade: str) -> str:
    """A verifier that is right, by evidence of one grade."""
    return f"""
from verifiers.verdict import Verdict
VERSION = 1
def graded(response, reference):
    return Verdict("correct", reference, "as told", {grade!r}, detail='{{"verdict": "passed"}}')"""


def test_a_verdict_that_the_program_could_have_forged_is_neither_chosen_nor_rejected(
        judged: Make, private: Private, source: Source) -> None:
    name = private("graded", graded("in_process"))
    run = judged(problems=[source(verifier=name)], datasets=[SFT])
    selection = choose.choose(run)["sft"]
    assert run.lake.value("SELECT count(*) FROM picks") == 0
    assert run.lake.sql("SELECT DISTINCT reason FROM drops WHERE selection = $1", [selection]).fetchall() == [
        ("judged in the program's own process",)]
    assert {json.loads(row[0])["verdict"] for row in run.lake.sql("SELECT detail FROM judged").fetchall()} == {"passed"}


def test_rows_that_were_judged_without_a_sandbox_do_not_leave(make_run: Make, private: Private, source: Source,
                                                              tmp_path: Path) -> None:
    name = private("graded", graded("unsafe"))
    run = make_run(problems=[source(verifier=name, licence="MIT")], datasets=[SFT], audit={"share": 0})
    pipeline.everything(run)
    with pytest.raises(UserError, match="judged without a sandbox"):
        list(export.export(run.lake, "small", str(tmp_path / "out"), private=False))
    assert not (tmp_path / "out").exists()


def test_verdicts_of_an_older_lake_have_no_detail(lake: Lake) -> None:
    row = verify.row({"id": "t", "verifier": "exact_match"}, Verdict("correct"))
    lake.append("verdicts", [row])
    [part] = (lake.folder / "tables" / "verdicts").glob("part-*[!m]?.parquet")
    pq.write_table(pq.read_table(part).drop_columns(["detail"]), part)
    again = Lake(lake.folder)
    again.append("verdicts", [{**row, "id": content_id("another"), "detail": "{}"}])
    assert again.sql("SELECT detail FROM verdicts ORDER BY detail").fetchall() == [("{}",), (None,)]
