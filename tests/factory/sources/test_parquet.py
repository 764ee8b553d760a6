"""Parquet shares the mapping with jsonl; what is its own is finding files and reading batches."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from factory.protocols import BadRow, UserError
from factory.records import Problem
from factory.sources.parquet import parquet


def write(file: Path, *numbers: int) -> None:
    rows = {"prompt": [f"{n}+0?" for n in numbers], "reference": list(numbers)}
    pyarrow.parquet.write_table(pyarrow.table(rows), file)


def references(path: Path) -> list[str]:
    return [p.reference for p in parquet(path=path) if isinstance(p, Problem)]


def test_a_file_a_folder_and_a_glob_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 1, 2)
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep/b.parquet", 3)
    write(tmp_path / ".unfinished.parquet", 4)
    assert references(tmp_path / "a.parquet") == ["1", "2"]
    assert references(tmp_path) == ["1", "2", "3"]
    assert references(tmp_path / "*" / "b.parq*") == ["3"]


def test_rows_are_counted_across_batches(tmp_path: Path) -> None:
    rows = pyarrow.table({"prompt": ["?"] * 600, "reference": ["1"] * 599 + [None]})
    pyarrow.parquet.write_table(rows, tmp_path / "a.parquet")
    bad = list(parquet(path=tmp_path))[-1]
    assert isinstance(bad, BadRow) and bad.where == f"{tmp_path / 'a.parquet'} row 600"


def test_lists_and_missing_numbers_come_through(tmp_path: Path) -> None:
    rows = pyarrow.table({"prompt": ["?"], "reference": [[1, 2]]})
    pyarrow.parquet.write_table(rows, tmp_path / "a.parquet")
    assert references(tmp_path) == ["[1, 2]"]
    rows = pyarrow.table({"prompt": ["?", "?"], "reference": [2.0, float("nan")]})
    pyarrow.parquet.write_table(rows, tmp_path / "a.parquet")
    assert references(tmp_path) == ["2.0"]


def test_a_string_that_is_not_utf8_spoils_its_row_alone(tmp_path: Path) -> None:
    prompts = pyarrow.array([b"one", b"\xff", b"three"]).cast(pyarrow.string(), safe=False)
    rows = pyarrow.table({"prompt": prompts, "reference": ["1", "2", "3"]})
    pyarrow.parquet.write_table(rows, tmp_path / "a.parquet")
    items = list(parquet(path=tmp_path))
    assert [type(i) for i in items] == [Problem, BadRow, Problem]


def test_a_file_that_is_not_parquet_is_a_bad_row_among_good_files(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("nothing of the kind")
    write(tmp_path / "b.parquet", 1)
    bad, good = parquet(path=tmp_path)
    assert isinstance(bad, BadRow) and isinstance(good, Problem)


def test_mistakes_of_the_recipe_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Parquet file"):
        parquet(path=tmp_path)
    write(tmp_path / "a.parquet", 1)
    with pytest.raises(UserError, match="it has prompt, reference"):
        list(parquet(path=tmp_path, columns={"reference": "answer"}))
