"""What costs money is journaled first: newline-sealed JSON lines, group-committed with `fdatasync`.

A row is durable when `append` returned. Segments are compacted into Parquet parts by the lake; a part is named after
its segment, so a crash between "part renamed" and "segment removed" writes the same part again and doubles nothing.
On open (`recover`) a torn last line is cut off and a malformed one is set aside; neither stops a run.
"""

import errno
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

RESERVE = 32 * 2**20
"""Bytes of the disk that are held back for the rows that are finished when it is full, or an eighth of what is free."""


class Reserve:
    """A file that only takes up space, to be given up when a disk is full."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0

    def take(self) -> None:
        """Raises OSError when there is no space even for this: nothing should be bought then."""
        free = os.statvfs(self.path.parent)
        size = max(2**16, min(RESERVE, free.f_bavail * free.f_frsize // 8))
        try:
            with open(self.path, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            self.size = size
        except OSError as error:
            self.release()
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise  # any other: a file system that cannot, or a `ulimit -f`; then there is none

    def release(self) -> None:
        self.path.unlink(missing_ok=True)


class Journal:
    """One open segment of one table, for one writer. `longest` is that of its lines, in bytes."""

    def __init__(self, folder: Path, table: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{table}-{uuid.uuid4().hex[:12]}.jsonl"
        self.rows = self.bytes = self.longest = 0
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows and flush them to the disk: one `fdatasync` for the group. Raises OSError (no space, …)."""
        lines = [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows]
        try:
            self._write(memoryview(b"".join(lines)))
        except OSError:
            os.ftruncate(self._file, self.bytes)  # else the next row would be glued to half a one
            raise
        self.rows += len(rows)
        self.bytes += sum(map(len, lines))
        self.longest = max(self.longest, *map(len, lines))

    def _write(self, block: memoryview) -> None:
        while block:
            block = block[os.write(self._file, block):]
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


@dataclass(frozen=True)
class Recovered:
    """A segment read back: its good rows, the bytes of a torn last line, and the malformed lines."""

    rows: list[dict[str, Any]]
    torn: int
    malformed: list[str]


def read(path: Path) -> Recovered:
    """Read a segment, whatever a crash left of it."""
    block = path.read_bytes()
    whole, _, torn = block.rpartition(b"\n")
    rows: list[dict[str, Any]] = []
    malformed: list[str] = []
    for line in whole.split(b"\n") if whole else []:
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not row.get("id"):
                raise ValueError("not a row")
            rows.append(row)
        except ValueError:
            malformed.append(line.decode("utf-8", "replace"))
    return Recovered(rows, len(torn), malformed)


def recover(path: Path, quarantine: Path) -> Recovered:
    """`read`, with the torn tail cut off the file and the malformed lines kept in `quarantine`."""
    found = read(path)
    if found.torn:
        os.truncate(path, path.stat().st_size - found.torn)
    if found.malformed:
        quarantine.mkdir(parents=True, exist_ok=True)
        (quarantine / path.name).write_text("\n".join(found.malformed) + "\n")
    return found
