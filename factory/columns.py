"""Rows of other people's tables made into problems: the part that jsonl, csv_file, parquet and hugging_face share.

A source gives `(where, row)` pairs; a `Shape` says which of their columns fill our fields. A row that cannot be a
problem is yielded as a BadRow with its reason; only a mistake that spoils every row (no such column) is a UserError.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.protocols import BadRow, UserError
from factory.records import Problem

Row = Mapping[str, Any]
Item = tuple[str, Row] | BadRow
"""What a source reads: where a row stands with the row itself, or why there is none."""

FIELDS = ("prompt", "reference", "verifier", "source", "domain", "split", "licence")
HEAD = 100
"""So many good rows are looked at before a column is called missing: a sparse column need not be in the first."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a row becomes a Problem; each attribute is a key of the recipe.

    `columns` maps our FIELDS to their columns. An optional field that it does not name is the keyword of that name;
    where that was left at its default, a column called like the field fills it (a row that says "test" stays test).
    """

    columns: Mapping[str, str]
    verifier: str
    split: str
    source: str
    licence: str
    domain: str
    limit: int | None
    prefix: str
    suffix: str
    meta: Sequence[str]
    reference_after: str

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.columns) - set(FIELDS)):
            raise UserError(f"columns has no field '{unknown[0]}': use {', '.join(FIELDS)}, "
                            "and list any further column to keep in `meta`")
        if isinstance(self.meta, str):  # it would be read as a list of letters
            raise UserError(f'meta must be a list of columns: write ["{self.meta}"]')
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit is {self.limit}: use 1 or more, or leave it out to take every row")

    def column(self, field: str) -> str:
        return self.columns.get(field, field)

    def text(self, row: Row, field: str) -> str:
        """The text of `field` in `row`; empty when it is not there."""
        if field in self.columns or field in ("prompt", "reference"):
            return as_text(row.get(self.column(field))) or getattr(self, field, "")
        default, keyword = getattr(Problem, field), str(getattr(self, field))
        return (as_text(row.get(field)) or keyword) if keyword == default else keyword


def problems(name: str, items: Iterable[Item], shape: Shape) -> Iterator[Problem | BadRow]:
    """The problems of `items`, at most `limit`, and every bad row met on the way. `name` is for messages."""
    found = 0
    for item in _checked(name, iter(items), shape):
        try:
            yield _problem(item, shape)
        except BadRow as bad:
            yield bad
            continue
        found += 1
        if found == shape.limit:
            return


def as_text(value: Any) -> str:
    """A cell as text: strings as they are, numbers as written, lists and objects as JSON, nothing as ''."""
    if value is None or (isinstance(value, float) and math.isnan(value)):  # pandas writes a missing cell as NaN
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def existing_file(path: str | Path) -> Path:
    """`path` as a Path; a UserError with the names that are there when it is no file."""
    file = Path(path).expanduser()
    if file.is_file():
        return file
    folder = file if file.is_dir() else file.parent
    there = ", ".join(sorted(f.name for f in folder.iterdir())[:20]) if folder.is_dir() else ""
    raise UserError(f"there is no file {file}: correct `path` ({folder} holds {there or 'nothing'})")


def _problem(item: Item, shape: Shape) -> Problem:
    """Raises BadRow, with the reason, for what is no problem."""
    if isinstance(item, BadRow):
        raise item
    where, row = item
    fields = {field: shape.text(row, field) for field in FIELDS}
    if shape.reference_after:
        fields["reference"] = _after(fields["reference"], shape.reference_after)
    if fault := _fault(fields, row, shape):
        raise BadRow(where, fault)
    fields["prompt"] = shape.prefix + fields["prompt"] + shape.suffix
    meta = {column: row[column] for column in shape.meta if column in row}
    return Problem(**fields, meta=json.dumps(meta, sort_keys=True, default=str))


def _after(text: str, marker: str) -> str:
    _, found, rest = text.rpartition(marker)
    return rest.strip() if found else ""


def _fault(fields: Mapping[str, str], row: Row, shape: Shape) -> str:
    prompt = row.get(shape.column("prompt"))
    if not isinstance(prompt, str | None):
        return f"'{shape.column('prompt')}' is a {type(prompt).__name__}, not text"
    for field in ("prompt", "reference"):
        if not fields[field].strip() and not (field == "reference" and fields["verifier"] == "majority"):
            marker = shape.reference_after if field == "reference" else ""
            return f"'{shape.column(field)}' is missing or empty" + (f", or without '{marker}'" if marker else "")
    try:  # half a surrogate pair is a str in Python and cannot be written to any table
        "".join(fields.values()).encode()
    except UnicodeEncodeError:
        return "it holds characters that are not valid UTF-8"
    return ""


def _checked(name: str, items: Iterator[Item], shape: Shape) -> Iterator[Item]:
    """`items` unchanged, after a look at the first good rows for the columns that the shape needs."""
    head: list[Item] = []
    rows: list[Row] = []
    for item in items:
        head.append(item)
        if not isinstance(item, BadRow):
            rows.append(item[1])
        if len(rows) == HEAD:
            break
    if not head:
        raise UserError(f"{name} is empty: give a source that holds at least one row")
    if rows:
        _refuse_missing(name, rows, shape)
    yield from head
    yield from items


def _refuse_missing(name: str, rows: Sequence[Row], shape: Shape) -> None:
    there = list(dict.fromkeys(str(column) for row in rows for column in row))
    wanted = {"prompt": "prompt", "reference": "reference", **shape.columns}
    if shape.verifier == "majority" and "reference" not in shape.columns:
        del wanted["reference"]
    for field, column in [*wanted.items(), *(("meta", column) for column in shape.meta)]:
        if column not in there:
            raise UserError(f"{name} has no column '{column}' for {field}: name the right one in "
                            f"`{'meta' if field == 'meta' else 'columns'}` (it has {', '.join(there[:40]) or 'none'})")
