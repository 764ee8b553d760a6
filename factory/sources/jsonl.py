"""Problems from a file of JSON lines, plain or `.gz`: one object a line, UTF-8, with or without a BOM.

A line that cannot be read is a BadRow and the others load; blank lines are skipped. GSM8K as its authors publish it:

    jsonl(path="train.jsonl", columns={"prompt": "question", "reference": "answer"}, reference_after="####")
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from factory.columns import Item, Shape, existing_file, problems
from factory.protocols import BadRow
from factory.records import Problem


def jsonl(
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
    """Keys: `columns` (our field = their column), `meta` (columns kept as JSON), `prefix` and `suffix` of the prompt,
    `reference_after` (only what follows this marker's last occurrence is the answer), `limit` of problems."""
    file = existing_file(path)
    shape = Shape(columns=columns, verifier=verifier, split=split, source=source, licence=licence, domain=domain,
                  limit=limit, prefix=prefix, suffix=suffix, meta=meta, reference_after=reference_after)
    return problems(str(file), rows(file), shape)


def rows(file: Path) -> Iterator[Item]:
    """Where each line stands with the object in it, or why there is none; a file that is one array is read item by
    item."""
    found = _array(file)
    return _lines(file) if found is None else iter(found)


def _array(file: Path) -> list[Item] | None:
    """The items of a JSON array, which some authors publish in place of lines; None: the file is something else."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            if not opened.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
                return None
            opened.seek(0)
            whole = json.loads(opened.read().decode("utf-8-sig"))
    except (OSError, EOFError, zlib.error, ValueError, RecursionError):  # lines that are arrays, or a file cut short
        return None
    return [(f"{file} item {number}", item) if isinstance(item, dict) else
            BadRow(f"{file} item {number}", f"a {type(item).__name__}, not an object")
            for number, item in enumerate(whole, 1)]


def _lines(file: Path) -> Iterator[Item]:
    number = 0
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _row(f"{file} line {number}", line)
    except (OSError, EOFError, zlib.error) as error:  # a download that was cut short: what came before is good
        yield BadRow(f"{file} line {number + 1}", f"the file cannot be read from here on: {error}")


def _row(where: str, line: bytes) -> Item:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return BadRow(where, f"not valid UTF-8 at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return BadRow(where, f"not JSON: {error}")
    return (where, row) if isinstance(row, dict) else BadRow(where, f"a {type(row).__name__}, not an object")
