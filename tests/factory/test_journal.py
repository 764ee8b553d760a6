"""A row is durable when `append` returned, and nothing that a crash leaves behind stops the next run."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory.journal import Journal, read, recover


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", "traces")


def ids(path: Path) -> list[str]:
    return [row["id"] for row in read(path).rows]


def test_what_was_appended_is_read_back_in_order(journal: Journal) -> None:
    journal.append([{"id": "a", "raw": "line\nbreak"}, {"id": "b", "raw": "ü\u2028"}])
    journal.append([{"id": "c"}])
    assert ids(journal.path) == ["a", "b", "c"]
    assert read(journal.path).rows[0]["raw"] == "line\nbreak"


def test_a_group_is_flushed_to_the_disk_once(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    journal.append([{"id": str(i)} for i in range(64)])
    assert len(flushed) == 1


def test_two_writers_never_share_a_segment(tmp_path: Path) -> None:
    assert Journal(tmp_path, "traces").path != Journal(tmp_path, "traces").path


@pytest.mark.parametrize("torn", range(1, len(b'{"id":"b"}')))
def test_a_torn_last_line_is_cut_off_wherever_it_tore(journal: Journal, torn: int, tmp_path: Path) -> None:
    journal.append([{"id": "a"}])
    with journal.path.open("ab") as file:
        file.write(b'{"id":"b"}'[:torn])
    assert recover(journal.path, tmp_path / "quarantine").torn == torn
    assert journal.path.read_bytes() == b'{"id":"a"}\n'


@pytest.mark.parametrize("line", [b"{", b"[1]", b"null", b'{"id": ""}', b'{"no": "id"}', b"\xff\xfe", b""])
def test_a_malformed_line_is_set_aside_and_its_neighbours_stay(journal: Journal, line: bytes, tmp_path: Path) -> None:
    journal.path.write_bytes(b'{"id": "a"}\n' + line + b'\n{"id": "b"}\n')
    found = recover(journal.path, tmp_path / "quarantine")
    assert [row["id"] for row in found.rows] == ["a", "b"]
    assert (tmp_path / "quarantine" / journal.path.name).read_text() == line.decode("utf-8", "replace") + "\n"


@pytest.mark.parametrize("content", [b"", b"torn"])
def test_a_segment_without_a_whole_line_has_no_rows(journal: Journal, content: bytes) -> None:
    journal.path.write_bytes(content)
    assert (read(journal.path).rows, read(journal.path).malformed) == ([], [])


def full_after(size: int) -> Callable[[int, Any], int]:
    """An os.write on a disk with room for `size` bytes."""
    really, left = os.write, [size]

    def write(file: int, block: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = really(file, block[:left[0]])
        left[0] -= written
        return written
    return write


def test_a_disk_that_is_full_in_the_middle_of_a_row_leaves_no_half_row(
        journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.append([{"id": "a"}])
    with monkeypatch.context() as full:
        full.setattr(os, "write", full_after(5))
        with pytest.raises(OSError, match="No space left"):
            journal.append([{"id": "b"}])
    journal.append([{"id": "c"}])
    assert ids(journal.path) == ["a", "c"]
