"""The files of a dataset, written as the rows come, so that no dataset fills memory.

    data/SPLIT/part-00000.parquet                  what `datasets.load_dataset`, pandas and every other tool open
    dataset_dict.json  SPLIT/{*.arrow, state.json, dataset_info.json}    the same rows for `datasets.load_from_disk`
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from factory.lake import clean
from factory.protocols import UserError

Row = Mapping[str, Any]
ARROW = "data-00000-of-00001.arrow"

_JSON = json.JSONEncoder(sort_keys=True)  # made once: `json.dumps` would make one for every row


class Files:
    """`write` rows, then `close`; `rows` counts them by split, `digest` is of all of them in their order."""

    def __init__(self, folder: Path, blank: Row, splits: Sequence[str]) -> None:
        """`blank` is a row of nothing: a dataset without rows has columns too, or it could not be opened."""
        self.folder, self.blank = folder, blank
        self.rows = dict.fromkeys(splits, 0)
        self._digest = hashlib.blake2b(digest_size=16)
        self._schema: pa.Schema | None = None
        self._writers: dict[str, tuple[Any, Any]] = {}
        self._writer = ThreadPoolExecutor(1)
        self._written: Future[Any] | None = None

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def write(self, split: str, rows: Sequence[Row]) -> None:
        """Raises UserError for rows that do not have the columns and types of those before."""
        if not rows:
            return
        for row in rows:
            self._digest.update(_JSON.encode([split, row]).encode())
        try:
            self._schema = self._schema or _schema(rows, self.blank)
            table = pa.Table.from_pylist([clean(row) for row in rows], self._schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UserError(f"the emitter gave rows that do not fit in one table ({error}): give every row the same "
                            "columns, each of one type") from error
        self._wait()
        pair = self._pair(split)
        self._written = self._writer.submit(lambda: [writer.write_table(table) for writer in pair])
        self.rows[split] += len(rows)

    def _wait(self) -> None:
        """Until the page before is written: it is compressed while the next one is made."""
        if self._written:
            self._written.result()

    def close(self) -> None:
        """Every split has its files, rows or not."""
        self._wait()
        self._writer.shutdown()
        self._schema = self._schema or _schema([self.blank], self.blank)
        for split in self.rows:
            for writer in self._pair(split):
                writer.close()
            _write_json(self.folder / split / "dataset_info.json", {})  # the columns are in the file
            _write_json(self.folder / split / "state.json", {
                "_data_files": [{"filename": ARROW}], "_fingerprint": self.digest, "_format_columns": None,
                "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": split})
        _write_json(self.folder / "dataset_dict.json", {"splits": list(self.rows)})

    def _pair(self, split: str) -> tuple[Any, Any]:
        """The writers of a split: of Parquet, and of an Arrow stream."""
        if split not in self._writers:
            parquet, arrow = self._parquet(split), self.folder / split / ARROW
            for path in (parquet, arrow):
                path.parent.mkdir(parents=True)
            self._writers[split] = (pq.ParquetWriter(parquet, self._schema, compression="zstd"),
                                    pa.ipc.new_stream(arrow, self._schema))
        return self._writers[split]

    def _parquet(self, split: str) -> Path:
        return self.folder / "data" / split / "part-00000.parquet"

    def read(self, split: str) -> Iterator[dict[str, Any]]:
        """The rows of a closed dataset, a page at a time."""
        with pq.ParquetFile(self._parquet(split)) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()


def manifest(folder: Path, rows: Mapping[str, int]) -> str:
    """JSON: each file of the dataset with its SHA-256, its bytes and, of a split's file, its rows."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            entry: dict[str, Any] = {"sha256": hashlib.file_digest(file, "sha256").hexdigest(),
                                     "bytes": path.stat().st_size}
        if path.suffix == ".parquet":
            entry["rows"] = rows[path.parent.name]
        found[path.relative_to(folder).as_posix()] = entry
    return json.dumps(found, indent=1) + "\n"


def _write_json(path: Path, value: Row) -> None:
    path.write_text(json.dumps(value))


def _schema(rows: Sequence[Row], blank: Row) -> pa.Schema:
    """Of the first rows; a column that they leave empty has the type of the blank row's, or is text."""
    found = pa.Table.from_pylist([clean(row) for row in rows]).schema
    spare = pa.Table.from_pylist([clean(blank)]).schema
    whole = pa.unify_schemas([found, spare], promote_options="permissive")
    return pa.schema([pa.field(name, _solid(whole.field(name).type)) for name in found.names])


def _solid(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_solid(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _solid(field.type)) for field in kind])
    return kind
