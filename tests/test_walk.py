"""A newcomer's walk through a small run, by the calls that the README shows: each stop is one test on one lake.

Nothing here needs a model: the scripted teacher writes, everything behind it is real.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import pytest

from factory.lake import TABLES, Lake
from factory.recipe import Recipe, load
from factory.run import Run
from flows import cli, pipeline, report

RECIPE = Path(__file__).parents[1] / "flows" / "recipes" / "dry_run.toml"
SMALLER = ["problems.0.count=12", "generate.samples=3", "verify.workers=1"]


def run(lake: Path, *settings: str) -> Run:
    """`cot run RECIPE --direct --lake … --set …`, without its report."""
    this = Run(load(RECIPE, [*SMALLER, *settings]), Lake(lake))
    pipeline.everything(this)
    return this


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk") / "lake"
    run(folder)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The cache of `datasets` is the user's: the tests have one of their own."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return iter(())


def cot(lake: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints; it has to succeed."""
    capsys.readouterr()
    assert cli.main([*arguments, "--lake", str(lake)]) == 0
    return capsys.readouterr().out


def test_status_shows_a_funnel_that_adds_up(lake: Path) -> None:
    counts = dict(report.funnel(Lake(lake), report.latest_run(Lake(lake), "dry_run")["id"]))
    assert counts["problems"] == 12
    assert counts["traces answered"] == counts["samples asked for"] == 36
    assert counts["correct"] + counts["wrong"] + counts["undecided"] == 36
    assert counts["rows in dataset 'sft'"] > 0


def test_status_prints_the_funnel_the_drops_and_the_datasets(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = cot(lake, capsys, "status")
    for part in ("run dry_run", "traces answered", "dropped, by dataset and reason", "not chosen by shortest"):
        assert part in printed


def test_every_trace_is_chosen_or_dropped_with_a_reason(lake: Path) -> None:
    for row in Lake(lake).rows("SELECT id, dataset FROM selections"):
        used = {t for k in Lake(lake).rows("SELECT chosen, rejected FROM picks WHERE selection = $1", [row["id"]])
                for t in k.values() if t}
        dropped = Lake(lake).rows("SELECT trace_id, reason FROM drops WHERE selection = $1", [row["id"]])
        assert used.isdisjoint(d["trace_id"] for d in dropped)
        assert len(used) + len(dropped) == 36
        assert all(d["reason"] for d in dropped)


def test_sql_counts_the_verdicts(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = cot(lake, capsys, "sql", "select status, count(*) as n from verdicts group by 1", "--format", "json")
    assert sum(row["n"] for row in json.loads(printed)) == 36


def test_show_reads_like_a_page(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    correct = "SELECT t.* FROM traces t JOIN judged v ON v.trace_id = t.id WHERE v.status = 'correct'"
    row = Lake(lake).rows(f"{correct} LIMIT 1")[0]
    printed = cot(lake, capsys, "show", row["id"])
    for part in (row["id"], "verdict   correct", "── prompt ──", "── thinking ──", row["thinking"], row["response"]):
        assert part in printed


def test_a_dataset_opens_with_load_dataset_and_with_load_from_disk_alike(lake: Path) -> None:
    from datasets import load_dataset, load_from_disk

    folder = lake / "datasets" / "dry_run" / "sft"
    streamed, mapped = load_dataset(str(folder), split="train"), load_from_disk(str(folder))["train"]
    assert streamed.to_list() == mapped.to_list()
    assert [m["role"] for m in mapped[0]["messages"]] == ["user", "assistant"]


@pytest.mark.slow
def test_a_dataset_that_was_written_anew_opens_as_what_it_is_now(tmp_path: Path) -> None:
    """`datasets` caches by name: two folders called `sft` must not be taken for one."""
    from datasets import load_dataset, load_from_disk

    for samples in (2, 3):
        run(tmp_path / "lake", f"generate.samples={samples}", "problems.0.count=6")
        folder = str(tmp_path / "lake" / "datasets" / "dry_run" / "sft")
        assert load_dataset(folder, split="train").to_list() == load_from_disk(folder)["train"].to_list()


def test_nothing_undecided_and_nothing_cut_off_is_trained_on(lake: Path) -> None:
    from datasets import load_from_disk

    statuses = {r["trace_id"]: (r["status"], r["finish_reason"]) for r in Lake(lake).rows(
        "SELECT v.trace_id, v.status, t.finish_reason FROM judged v JOIN traces t ON t.id = v.trace_id")}
    sft, dpo = (load_from_disk(str(lake / "datasets" / "dry_run" / name))["train"] for name in ("sft", "dpo"))
    assert {statuses[i] for i in [*sft["trace_id"], *dpo["trace_id"]]} == {("correct", "stop")}
    assert {statuses[i] for i in dpo["rejected_id"]} == {("wrong", "stop")}


@pytest.mark.parametrize("table", TABLES)
def test_pandas_reads_every_table_in_one_line(lake: Path, table: str) -> None:
    frame = pandas.read_parquet(lake / "tables" / table)
    assert list(frame.columns) == list(TABLES[table])
    assert len(frame) == Lake(lake).value(f'SELECT count(*) FROM "{table}"')


@pytest.mark.parametrize("table", ["problems", "traces", "verdicts", "picks"])
def test_datasets_reads_a_table_in_one_line(lake: Path, table: str) -> None:
    from datasets import load_dataset

    files = str(lake / "tables" / table / "*.parquet")
    rows = load_dataset("parquet", data_files=files, split="train", batch_size=1000)
    assert rows.num_rows == Lake(lake).value(f"SELECT count(*) FROM {table}")


def test_a_second_run_asks_and_judges_nothing(lake: Path) -> None:
    before = {table: Lake(lake).ids(table) for table in TABLES if table not in ("timings", "starts")}
    run(lake)
    assert {table: Lake(lake).ids(table) for table in before} == before


@pytest.mark.slow
def test_more_samples_cost_only_the_further_ones(tmp_path: Path) -> None:
    bought: list[Any] = []
    for samples in (1, 2):
        this = run(tmp_path / "lake", f"generate.samples={samples}", "problems.0.count=5")
        bought.append(this.lake.ids("traces"))
    assert bought[0] < bought[1]
    assert [len(ids) for ids in bought] == [5, 10]


@pytest.mark.slow
def test_a_changed_rule_makes_another_dataset_of_the_same_traces_and_verdicts(tmp_path: Path) -> None:
    first = run(tmp_path / "lake", "problems.0.count=5")
    made = {table: first.lake.ids(table) for table in ("traces", "verdicts", "measurements")}
    second = run(tmp_path / "lake", "problems.0.count=5", "rules.short=completion_tokens < 10")
    assert {table: second.lake.ids(table) for table in made} == made
    assert second.lake.value("SELECT count(*) FROM drops WHERE run_id = $1 AND reason = 'short'", [second.id]) > 0


def test_export_copies_the_datasets_with_their_cards(
        lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cot(lake, capsys, "export", "dry_run", str(tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["dpo", "sft"]
    assert "made by CoT Factory" in (tmp_path / "out" / "sft" / "README.md").read_text()


def test_the_recipe_is_in_the_lake_so_that_a_run_can_be_made_again(lake: Path) -> None:
    row = report.latest_run(Lake(lake), "dry_run")
    assert Run(Recipe.model_validate_json(row["recipe"]), Lake(lake)).id == row["id"]
