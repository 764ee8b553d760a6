"""Problems from a CSV or TSV file with a header line, plain or `.gz`, UTF-8.

Not `csv.py`, which would shadow the standard library. A quoted cell may span lines; `where` is the last line of its
row. A quote that is opened and never closed swallows the rows behind it: prefer JSON lines where you have the choice.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from factory.columns import Item, Shape, existing_file, problems
from factory.protocols import BadRow, UserError
from factory.records import Problem


def csv_file(
    *,
    path: str | Path,
    delimiter: str = ",",
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
    """Keys: `delimiter` ("\\t" for TSV), and those of `jsonl`."""
    if len(delimiter) != 1:
        raise UserError(f"delimiter is '{delimiter}': use one character, such as ',' or ';' or a tab")
    file = existing_file(path)
    shape = Shape(columns=columns, verifier=verifier, split=split, source=source, licence=licence, domain=domain,
                  limit=limit, prefix=prefix, suffix=suffix, meta=meta, reference_after=reference_after)
    return problems(str(file), read(file, delimiter), shape)


def read(file: Path, delimiter: str) -> Iterator[Item]:
    """Where each row stands with the row, or why there is none."""
    csv.field_size_limit(1 << 30)  # the standard 128 KiB is less than the tests of some coding problems
    opened = gzip.open if file.suffix == ".gz" else open
    # Bytes that are not UTF-8 come through as half surrogates, which make their own row a BadRow and no other.
    with opened(file, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        reader = csv.DictReader(lines, delimiter=delimiter)
        try:
            for row in reader:
                yield _row(f"{file} line {reader.line_num}", row)
        except (csv.Error, OSError, EOFError, zlib.error) as error:
            yield BadRow(f"{file} line {reader.line_num + 1}", f"the file cannot be read from here on: {error}")


def _row(where: str, row: dict[str | None, str | None]) -> Item:
    if None in row:
        return BadRow(where, "it has more cells than the header")
    return where, {str(column): cell for column, cell in row.items()}
