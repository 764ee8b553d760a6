"""The lake: all of a row or nothing of it, never twice, whoever reads it and whenever the writer died."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from factory import lake as lakes
from factory.lake import JOURNALED, TABLES, Lake, QueryError
from factory.protocols import UserError


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def trace(name: str, **columns: Any) -> dict[str, Any]:
    return {"id": name, "problem_id": "p", "raw": name, **columns}


def segments(lake: Lake) -> list[Path]:
    return [path for path in (lake.folder / "journal").glob("*.jsonl") if not path.stem.endswith("-empty")]


def parts(lake: Lake, table: str) -> list[Path]:
    return list((lake.folder / "tables" / table).glob("part-*.parquet"))


# -- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_every_table_of_an_empty_lake_can_be_asked(lake: Lake, table: str) -> None:
    assert lake.value(f'SELECT count(*) FROM "{table}"') == 0
    assert next(iter(TABLES[table])) == "id"


def test_a_row_comes_back_with_its_types(lake: Lake) -> None:
    row = dict(id="f", trace_id="t", problem_id="p", teacher="{}", reason="no\nluck", retry=True, attempts=2,
               created="2026", tokens=7, cost=0.5, context=None)
    lake.append("failures", [row])
    assert lake.rows("SELECT * FROM failures") == [row]


def test_a_column_that_a_row_lacks_is_null(lake: Lake) -> None:
    lake.append("traces", [{"id": "t"}])
    assert lake.rows("SELECT id, raw, cost FROM traces") == [{"id": "t", "raw": None, "cost": None}]


def test_a_column_that_is_newer_than_the_lake_is_null_and_new_rows_have_it(lake: Lake) -> None:
    lake.append("traces", [trace("old")])
    for path in parts(lake, "traces"):  # as they were written before there was such a column
        pq.write_table(pq.read_table(path).drop_columns(["min_logprob"]), path)
    assert Lake(lake.folder).rows("SELECT id, min_logprob FROM traces") == [{"id": "old", "min_logprob": None}]
    lake.append("traces", [trace("new", min_logprob=-9.5)])
    lake.journal("traces", [trace("newest", min_logprob=-1.5)])
    assert lake.sql("SELECT id, min_logprob FROM traces ORDER BY id").fetchall() == [
        ("new", -9.5), ("newest", -1.5), ("old", None)]


def test_the_planner_knows_that_a_table_has_rows(lake: Lake) -> None:
    """By a guess of none it joined all problems with all verdicts, which took minutes in a lake of 50,000 traces."""
    lake.append("verdicts", [{"id": str(i), "trace_id": str(i)} for i in range(300)])
    [(_, plan)] = lake.sql("EXPLAIN SELECT * FROM verdicts").fetchall()
    assert "~300 rows" in plan


def test_append_new_adds_each_id_once(lake: Lake) -> None:
    assert lake.append_new("members", [{"id": "a"}, {"id": "a"}, {"id": "b"}]) == 2
    assert lake.append_new("members", [{"id": "b"}, {"id": "c"}]) == 1
    assert lake.ids("members") == {"a", "b", "c"}


def test_nothing_to_append_makes_no_part(lake: Lake) -> None:
    before = len(parts(lake, "members"))
    lake.append("members", [])
    assert len(parts(lake, "members")) == before


@pytest.mark.parametrize(("text", "kept"), [
    ("a\0b", "a\ufffdb"), ("\ud800", "\ufffd"), ("\ud83d\ude00", "\U0001f600"),
    ("\u2028 \x85 \r\n \x1b", "\u2028 \x85 \r\n \x1b"),
    ("'; DROP TABLE traces; --", "'; DROP TABLE traces; --"), ("", ""), ("x" * 3_000_000, "x" * 3_000_000),
], ids=["NUL", "half a pair", "a pair in two halves", "odd breaks", "SQL", "empty", "3 MB"])
def test_any_text_survives_the_journal_and_the_part(lake: Lake, text: str, kept: str) -> None:
    with lake.writing():
        lake.journal("traces", [trace("t", raw=text)])
        assert lake.value("SELECT raw FROM traces") == kept
    assert lake.value("SELECT raw FROM traces") == kept


def test_a_number_that_is_no_json_spoils_no_row(lake: Lake) -> None:
    with lake.writing():
        lake.journal("traces", [trace("t", mean_logprob=float("nan")), trace("u", mean_logprob=float("-inf"))])
        assert lake.ids("traces") == {"t", "u"}
    assert lake.ids("traces") == {"t", "u"}


# -- journal and parts -----------------------------------------------------------------------------------------------


def test_the_views_read_the_journal_and_the_parts_together(lake: Lake) -> None:
    lake.append("traces", [trace("a")])
    lake.journal("traces", [trace("b")])
    assert lake.rows("SELECT id FROM traces ORDER BY id") == [{"id": "a"}, {"id": "b"}]


def test_a_segment_that_lies_beside_its_part_for_a_moment_is_read_once(
        lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.journal("traces", [trace("a")])
    with monkeypatch.context() as killed:  # between the two steps of compacting
        killed.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        lake.compact()
    assert (len(segments(lake)), len(parts(lake, "traces"))) == (1, 2)
    assert lake.value("SELECT count(*) FROM traces") == 1
    with Lake(lake.folder).writing():
        pass
    assert (len(segments(lake)), lake.value("SELECT count(*) FROM traces")) == (0, 1)


def test_the_journal_is_compacted_when_it_is_large(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lakes, "SEGMENT_ROWS", 2)
    lake.journal("traces", [trace("a")])
    assert len(segments(lake)) == 1
    lake.journal("traces", [trace("b")])
    assert (len(segments(lake)), len(parts(lake, "traces"))) == (0, 2)


def test_what_was_journaled_before_a_lock_is_not_taken_for_a_crash(lake: Lake) -> None:
    lake.journal("traces", [trace("t1")])
    with lake.writing():
        lake.journal("traces", [trace("t2")])
    assert sorted(lake.ids("traces")) == ["t1", "t2"]


def test_a_writer_leaves_no_journal_behind_even_when_it_fails(lake: Lake) -> None:
    def fail() -> None:
        with lake.writing():
            lake.journal("traces", [trace("a")])
            raise RuntimeError
    with pytest.raises(RuntimeError):
        fail()
    assert (segments(lake), lake.ids("traces")) == ([], {"a"})


def dead_writer(lake: Lake, *names: str) -> Path:
    """A lake whose writer was killed: the open segment it left."""
    gone = Lake(lake.folder)
    gone.journal("traces", [trace(name) for name in names])
    [left] = segments(lake)
    return left


def test_the_next_writer_keeps_the_rows_of_one_that_was_killed(lake: Lake) -> None:
    dead_writer(lake, "a", "b")
    with lake.writing():
        assert segments(lake) == []
    assert lake.ids("traces") == {"a", "b"}


def test_a_crash_between_the_part_and_the_removal_of_its_segment_doubles_nothing(lake: Lake) -> None:
    left = dead_writer(lake, "a", "b")
    content = left.read_bytes()
    for _ in range(2):
        left.write_bytes(content)  # the part is there, and so is the segment
        with lake.writing():
            pass
    assert lake.value("SELECT count(*) FROM traces") == 2
    assert len(parts(lake, "traces")) == 2  # the schema's and one


def test_a_torn_row_is_cut_off_and_said(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    left = dead_writer(lake, "a")
    with left.open("ab") as file:
        file.write(b'not json\n{"id": "half')
    with lake.writing():
        pass
    said = capsys.readouterr().err
    assert "12 bytes was cut off" in said
    assert "1 malformed lines" in said
    assert lake.ids("traces") == {"a"}
    assert (lake.folder / "journal/quarantine" / left.name).read_text() == "not json\n"


def test_a_hidden_file_of_a_killed_writer_is_removed(lake: Lake) -> None:
    hidden = lake.folder / "tables/traces/.part-x.parquet.tmp"
    hidden.write_bytes(b"PAR1")
    assert lake.value("SELECT count(*) FROM traces") == 0
    with lake.writing():
        assert not hidden.exists()


def test_a_part_that_could_not_be_written_leaves_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")
    before = sorted((lake.folder / "tables/members").iterdir())
    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    with pytest.raises(OSError, match="No space"):
        lake.append("members", [{"id": "m"}])
    assert sorted((lake.folder / "tables/members").iterdir()) == before


# -- many processes --------------------------------------------------------------------------------------------------

READER = """
import sys
from factory.lake import Lake
lake, last = Lake(sys.argv[1], create=False), 0
while last < 60:
    rows, ids = lake.sql("SELECT count(*), count(DISTINCT id) FROM traces").fetchone()
    assert rows == ids, f"{rows} rows with {ids} ids"
    assert rows >= last, f"{rows} rows after {last}"
    last = rows
    print(rows, flush=True)
"""


def test_a_reader_in_another_process_sees_every_row_once_while_they_are_written_and_compacted(
        lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lakes, "SEGMENT_ROWS", 10)
    with subprocess.Popen([sys.executable, "-c", READER, str(lake.folder)], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as reader, lake.writing():
        assert reader.stdout
        for i in range(60):
            lake.journal("traces", [trace(f"t{i}")])
            if i % 6 == 0:
                reader.stdout.readline()  # in step with the reader, so that it reads in between
        _, errors = reader.communicate()
    assert (reader.returncode, errors) == (0, "")


def test_a_second_writer_waits_for_the_first_and_says_so(lake: Lake) -> None:
    code = "import sys; from factory.lake import Lake\nwith Lake(sys.argv[1]).writing(): print('mine')"
    with lake.writing():
        second = subprocess.Popen([sys.executable, "-c", code, str(lake.folder)], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert second.stderr
        assert "another run is writing" in second.stderr.readline()
        assert second.poll() is None
    assert second.communicate()[0] == "mine\n"


def test_many_may_make_the_same_lake_at_once(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def make() -> None:
        try:
            Lake(tmp_path / "lake")
        except BaseException as error:
            failed.append(error)
    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert Lake(tmp_path / "lake", create=False).ids("traces") == set()


# -- opening ---------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_lake_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no lake in {tmp_path}: run a recipe first"):
        Lake(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("version", "advice"), [(99, "upgrade cot-factory"), (0, "use the version that made it")])
def test_a_lake_of_another_version_is_refused(lake: Lake, version: int, advice: str) -> None:
    (lake.folder / "lake.json").write_text(json.dumps({"version": version}))
    with pytest.raises(UserError, match=f"has version {version} and this program reads version 1: {advice}"):
        Lake(lake.folder)


@pytest.mark.parametrize("content", ["", "{}", "[]", "7", "not json"])
def test_an_unreadable_version_is_said(lake: Lake, content: str) -> None:
    (lake.folder / "lake.json").write_text(content)
    with pytest.raises(UserError, match="is not readable"):
        Lake(lake.folder)


def test_a_lake_that_is_older_than_a_table_is_read_and_the_next_writer_adds_it(lake: Lake) -> None:
    shutil.rmtree(lake.folder / "tables/students")
    old = Lake(lake.folder, create=False)
    assert old.rows("SELECT * FROM students") == []
    assert not (lake.folder / "tables/students").exists()
    with lake.writing():
        lake.append("students", [{"id": "s"}])
    assert lake.ids("students") == {"s"}


def test_a_file_that_cannot_be_read_is_one_sentence(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lakes.time, "sleep", lambda seconds: None)
    lake.append("students", [{"id": "s"}])
    part = max(parts(lake, "students"))
    part.unlink()
    part.symlink_to("nowhere")
    with pytest.raises(UserError, match=r"a file cannot be read: .*, restore it from a copy"):
        lake.ids("students")


def test_a_lake_may_lie_at_an_odd_path(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "it's a «lake»")
    lake.append("traces", [trace("a")])
    lake.journal("traces", [trace("b")])
    assert lake.ids("traces") == {"a", "b"}


def test_a_wrong_query_is_said_on_one_line(lake: Lake) -> None:
    with pytest.raises(QueryError) as error:
        lake.sql("SELECT nothing FROM traces")
    assert "\n" not in lakes.complaint(error.value)
    assert '"nothing" not found' in lakes.complaint(error.value)


# -- the world's own readers -----------------------------------------------------------------------------------------


@pytest.fixture
def two_parts(lake: Lake) -> Lake:
    lake.append("verdicts", [dict(id="v", trace_id="t", status="correct", version=1)])
    lake.append("verdicts", [dict(id="w", trace_id="u", status="wrong", version=1)])
    return lake


def test_pandas_reads_a_table_in_one_line(two_parts: Lake) -> None:
    import pandas

    frame = pandas.read_parquet(two_parts.folder / "tables/verdicts")
    assert sorted(frame["id"]) == ["v", "w"]
    assert list(frame.columns) == list(TABLES["verdicts"])


def test_datasets_reads_a_table_in_one_line(two_parts: Lake, tmp_path: Path) -> None:
    import datasets

    table = datasets.load_dataset("parquet", data_files=f"{two_parts.folder}/tables/verdicts/*.parquet",
                                  cache_dir=str(tmp_path / "cache"), split="train")
    assert sorted(table["status"]) == ["correct", "wrong"]


def test_what_costs_money_is_journaled() -> None:
    assert {"traces", "failures", "steps"} <= set(JOURNALED)
