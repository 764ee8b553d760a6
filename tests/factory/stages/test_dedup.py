"""Duplicates: of problems before they are asked, of rows before they are written."""

from collections.abc import Callable
from typing import Any

from factory.run import Run
from factory.stages import choose, load, screen

Make = Callable[..., Run]
Source = Callable[..., dict[str, Any]]

TEXT = ("A farmer has 12 hens and 3 ducks on his land by the river, and every week he sells all the eggs which "
        "the birds have laid to a baker in the small town over the hill, who makes cakes of them for the children of "
        "the school; when it rains the birds lay nothing, and the farmer stays in bed")
ROWS = [(TEXT + ".", "15"), (TEXT.replace("small ", "") + ".", "15"), (TEXT.replace("12", "13") + ".", "16"),
        (TEXT.upper() + ".", "15"), ("Compute 1 + 2.", "3"), ("Compute 1 - 2.", "-1")]
SFT = {"name": "sft", "selector": "everything_correct", "emitter": "sft"}


def asked(run: Run) -> set[str]:
    return {row[0] for row in run.lake.sql("""SELECT prompt FROM problems p JOIN members m ON m.problem_id = p.id
        WHERE run_id = $1 AND part = 'train'""", [run.id]).fetchall()}


def count(run: Run, table: str) -> int:
    return int(run.lake.value(f'SELECT count(*) FROM "{table}"'))


def test_nothing_is_looked_for_unless_it_is_asked_for(make_run: Make, source: Source) -> None:
    run = make_run(problems=[source(ROWS)])
    load.load(run)
    assert (len(asked(run)), count(run, "screenings"), count(run, "members")) == (6, 0, 6)


def test_duplicate_problems_are_never_asked_and_the_reason_is_kept(make_run: Make, source: Source) -> None:
    run = make_run(problems=[source(ROWS)], dedup={"problems": True})
    load.load(run)
    assert len(asked(run)) == 4
    assert {"Compute 1 + 2.", "Compute 1 - 2.", TEXT.replace("12", "13") + "."} < asked(run)
    reasons = [row["reason"] for row in run.lake.rows("SELECT reason FROM set_aside")]
    assert len(reasons) == 2 and {r.partition(" of ")[0] for r in reasons} <= {"a duplicate", "a near duplicate"}


def test_a_cluster_is_rows_with_the_one_that_is_kept_and_why(make_run: Make, source: Source) -> None:
    run = make_run(problems=[source(ROWS)], dedup={"problems": True})
    load.load(run)
    rows = run.lake.rows("SELECT * FROM duplicates")
    [kept] = [row for row in rows if row["kept"]]
    assert {row["cluster"] for row in rows} == {kept["item"]} and len(rows) == 3
    assert kept["why"].startswith("the first of 3: asked before, or its licence is stated")
    near = next(row for row in rows if not row["exact"])
    assert 0.8 <= near["jaccard"] < 1
    assert f"near duplicate of {kept['item']}: Jaccard {near['jaccard']:.2f}" in near["why"]


def test_a_problem_with_a_licence_is_preferred(make_run: Make, source: Source) -> None:
    sources = [source([(TEXT.upper(), "15")], name=f"p{i}", licence=licence) for i, licence in enumerate(("", "MIT"))]
    sources[0] = source([(TEXT, "15")], name="p0")
    run = make_run(problems=sources, dedup={"problems": True})
    load.load(run)
    assert asked(run) == {TEXT.upper()}


def test_loading_again_looks_at_nothing_again_and_changes_nothing(make_run: Make, source: Source) -> None:
    run = make_run(problems=[source(ROWS)], dedup={"problems": True})
    tables = ("members", "duplicates", "screenings", "set_aside", "problems")
    load.load(run)
    before = [count(run, table) for table in tables]
    load.load(run)
    assert [count(run, table) for table in tables] == before


def test_a_problem_that_was_asked_stays_when_the_source_grows(make_run: Make, source: Source) -> None:
    run = make_run(problems=[source([(TEXT, "15")])], dedup={"problems": True})
    load.load(run)
    source(ROWS)  # the same file, longer
    load.load(run)
    assert TEXT in asked(run) and len(asked(run)) == 4


def test_a_row_that_says_the_same_is_dropped_from_the_selection(judged: Make) -> None:
    run = judged(datasets=[SFT], dedup={"rows": True, "threshold": 0.6, "words": 1})
    whole = choose.choose(run)
    left = screen.rows(run, whole)
    picks = run.lake.sql("SELECT problem_id, chosen FROM picks WHERE selection = $1", [left["sft"]]).fetchall()
    drops = dict(run.lake.sql("SELECT trace_id, reason FROM drops WHERE selection = $1", [left["sft"]]).fetchall())
    assert left != whole and len({problem for problem, _ in picks}) == len(picks)
    assert "a near duplicate" in drops.values()
    assert set(drops) | {chosen for _, chosen in picks} == run.lake.ids("traces")
    assert not set(drops) & {chosen for _, chosen in picks}
    assert screen.rows(run, whole) == left


def test_a_selection_without_duplicates_stays_what_it_is(judged: Make) -> None:
    run = judged(datasets=[{**SFT, "selector": "shortest"}], dedup={"rows": True})
    whole = choose.choose(run)
    assert screen.rows(run, whole) == whole
    assert run.lake.rows("SELECT kind, dataset, dropped FROM screenings") == [
        {"kind": "row", "dataset": "sft", "dropped": 0}]
