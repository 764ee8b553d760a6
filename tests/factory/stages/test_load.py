"""problems: what cannot be trained on is set aside with its reason, and the rest load."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory.protocols import UserError
from factory.records import Problem
from factory.run import Run
from factory.stages import load

Make = Callable[..., Run]
Source = Callable[..., dict[str, Any]]


def aside(run: Run) -> dict[str, str]:
    """Where -> reason."""
    return {row["where"]: row["reason"] for row in run.lake.rows('SELECT "where", reason FROM set_aside')}


def prompts(run: Run, part: str = "train") -> list[str]:
    return [row["prompt"] for row in run.lake.rows("""SELECT prompt FROM problems p JOIN members m
        ON m.problem_id = p.id WHERE m.run_id = $1 AND m.part = $2 ORDER BY prompt""", [run.id, part])]


def test_a_malformed_line_is_set_aside_by_name_and_the_others_load(make_run: Make, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "1+1?", "reference": "2"}\n{torn\n{"prompt": "2+2?", "reference": "4"}\n')
    run = make_run(problems=[{"plugin": "jsonl", "path": str(file), "verifier": "exact_match"}])
    load.load(run)
    assert prompts(run) == ["1+1?", "2+2?"]
    [(where, reason)] = aside(run).items()
    assert where == f"{file} line 2"
    assert reason.startswith("not JSON")


def test_a_reference_that_fails_its_own_verifier_is_set_aside(make_run: Make, private: Callable[[str, str], str],
                                                              source: Source) -> None:
    name = private("picky", """
from verifiers.verdict import Verdict
VERSION = 1
def picky(response, reference):
    return Verdict("undecided", reason="I cannot read it") if "?" in reference else Verdict("correct")""")
    run = make_run(problems=[source([("a", "1"), ("b", "?")], verifier=name, source="somewhere")])
    load.load(run)
    assert prompts(run) == ["a"]
    assert aside(run) == {"somewhere": f"its own reference is undecided for {name}: I cannot read it"}


def test_loading_again_adds_nothing(make_run: Make) -> None:
    run = make_run()
    load.load(run)
    load.load(run)
    assert [run.lake.value(f"SELECT count(*) FROM {table}") for table in ("problems", "members")] == [4, 4]


def test_two_runs_share_a_problem(make_run: Make) -> None:
    for samples in (1, 2):
        load.load(make_run(generate={"samples": samples}))
    lake = make_run().lake
    assert [lake.value(f"SELECT count(*) FROM {table}") for table in ("problems", "members")] == [4, 8]


def test_a_problem_in_both_parts_is_refused(make_run: Make, source: Source) -> None:
    held_out = source([("Compute 1 + 2.", "3"), ("Compute 9 + 9.", "18")], name="held_out")
    run = make_run(evaluate={"problems": held_out, "teacher": "scripted"})
    with pytest.raises(UserError, match="1 problems are both in `problems` and in `evaluate"):
        load.load(run)


def test_the_parts_of_a_run_are_kept_apart(make_run: Make, source: Source) -> None:
    run = make_run(evaluate={"problems": source([("new", "1")], name="held_out"), "teacher": "scripted"})
    load.load(run)
    assert (len(prompts(run)), prompts(run, "evaluate")) == (4, ["new"])


@pytest.mark.parametrize(("verifier", "said"), [
    ("exact_mtach", "there is no verifier 'exact_mtach': did you mean 'exact_match'"),
    ("no.such", "there is no module 'no.such'"),
])
def test_an_unknown_verifier_is_refused_by_name(make_run: Make, source: Source, verifier: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load.load(make_run(problems=[source(verifier=verifier)]))


def test_a_verifier_without_a_version_is_refused(make_run: Make, source: Source,
                                                 private: Callable[[str, str], str]) -> None:
    name = private("bare", "def bare(response, reference): ...")
    with pytest.raises(UserError, match="has no `VERSION: int` in its module"):
        load.load(make_run(problems=[source(verifier=name)]))


def test_a_source_without_a_usable_problem_is_refused(make_run: Make, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{torn\n")
    run = make_run(problems=[{"plugin": "jsonl", "path": str(tmp_path / "bad.jsonl")}])
    with pytest.raises(UserError, match="gave no usable problem: `cot status` shows"):
        load.load(run)
    assert len(aside(run)) == 1


def test_what_a_source_refuses_is_one_sentence(make_run: Make) -> None:
    with pytest.raises(UserError, match="the source 'worlds': worlds has no family 'gdc'"):
        load.load(make_run(problems=[{"plugin": "worlds", "families": ["gdc"]}]))


def test_the_id_of_a_row_is_that_of_what_is_read_back(make_run: Make, tmp_path: Path) -> None:
    file = tmp_path / "nul.jsonl"
    file.write_text(json.dumps({"prompt": "a\0b", "reference": "2"}) + "\n")
    run = make_run(problems=[{"plugin": "jsonl", "path": str(file), "verifier": "exact_match"}])
    load.load(run)
    [row] = run.lake.rows("SELECT * FROM problems")
    assert row.pop("id") == Problem(**row).id
