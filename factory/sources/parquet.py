"""Problems from Parquet: a file, a folder (every `*.parquet` below it) or a glob, read in batches and never whole."""

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from factory.columns import Item, Shape, problems
from factory.protocols import BadRow, UserError
from factory.records import Problem

if TYPE_CHECKING:
    import pyarrow


def parquet(
    *,
    path: str | Path,
    columns: Mapping[str, str] = {},
    verifier: str = "math_equal",
    split: str = "train",
    source: str = "",
    licence: str = "",
    domain: str = "",
    limit: int | None = None,
    prefix: str = "",
    suffix: str = "",
    meta: Sequence[str] = (),
    reference_after: str = "",
) -> Iterator[Problem | BadRow]:
    """Keys: those of `jsonl`. A file that is not Parquet is one BadRow; the others of the folder load."""
    files = _files(Path(path).expanduser())
    shape = Shape(columns=columns, verifier=verifier, split=split, source=source, licence=licence, domain=domain,
                  limit=limit, prefix=prefix, suffix=suffix, meta=meta, reference_after=reference_after)
    return problems(str(path), (item for file in files for item in read(file)), shape)


def _files(path: Path) -> list[Path]:
    found = path.rglob("*.parquet") if path.is_dir() else map(Path, glob.glob(str(path), recursive=True))
    # A hidden name is a part that someone is still writing.
    files = [path] if path.is_file() else sorted(f for f in found if f.is_file() and f.name[0] not in "._")
    if not files:
        raise UserError(f"there is no Parquet file at {path}: correct `path`, "
                        "a file, a folder that holds *.parquet, or a glob such as data/*.parquet")
    return files


def read(file: Path) -> Iterator[Item]:
    """Where each row stands with the row, or why there is none."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=256):
                yield from _batch(file, batch, number)
                number += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        yield BadRow(f"{file} row {number + 1}", f"the file cannot be read from here on: {reason}")


def _batch(file: Path, batch: "pyarrow.RecordBatch", before: int) -> Iterator[Item]:
    """The rows of `batch` at once; one by one only when a string is not UTF-8, so that it spoils its row alone."""
    wheres = [f"{file} row {before + i}" for i in range(1, batch.num_rows + 1)]
    try:
        yield from zip(wheres, batch.to_pylist(), strict=True)
    except UnicodeDecodeError:
        for i, where in enumerate(wheres):
            try:
                yield where, batch.slice(i, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield BadRow(where, "not valid UTF-8")
