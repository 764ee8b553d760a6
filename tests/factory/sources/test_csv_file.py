"""CSV shares the mapping with jsonl; what is its own is the reading of cells."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from factory.protocols import BadRow, UserError
from factory.records import Problem
from factory.sources.csv_file import csv_file


def load(folder: Path, content: bytes, **keys: Any) -> list[Problem | BadRow]:
    file = folder / "p.csv"
    file.write_bytes(content)
    return list(csv_file(path=file, **keys))


def test_a_quoted_cell_may_hold_commas_and_lines(tmp_path: Path) -> None:
    assert load(tmp_path, b'\xef\xbb\xbfprompt,reference\n"one, two\nor three?",2\n') == [
        Problem("one, two\nor three?", "2")]


def test_a_delimiter_of_ones_own_and_gzip(tmp_path: Path) -> None:
    file = tmp_path / "p.tsv.gz"
    file.write_bytes(gzip.compress(b"q\ta\r\n1+1?\t2\r\n"))
    assert list(csv_file(path=file, delimiter="\t", columns={"prompt": "q", "reference": "a"})) == [
        Problem("1+1?", "2")]


@pytest.mark.parametrize("line", [b"1+1?", b"1+1?,", b"1+1?,2,3", b"\xff,2"])
def test_a_bad_line_is_yielded_and_the_others_load(tmp_path: Path, line: bytes) -> None:
    bad, good = load(tmp_path, b"prompt,reference\n" + line + b"\n2+2?,4\n")
    assert isinstance(bad, BadRow) and bad.where.endswith("line 2")
    assert good == Problem("2+2?", "4")


def test_a_cell_may_be_longer_than_the_standard_limit(tmp_path: Path) -> None:
    [problem] = load(tmp_path, b"prompt,reference\n?," + b"9" * 200_000 + b"\n")
    assert isinstance(problem, Problem) and len(problem.reference) == 200_000


def test_mistakes_of_the_recipe_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is empty"):
        load(tmp_path, b"prompt,reference\n")
    with pytest.raises(UserError, match="it has prompt, reference"):
        load(tmp_path, b"prompt,reference\n?,2\n", columns={"prompt": "question"})
    with pytest.raises(UserError, match="one character"):
        load(tmp_path, b"prompt,reference\n?,2\n", delimiter="||")
    with pytest.raises(UserError, match="no file"):
        csv_file(path=tmp_path / "none.csv")
