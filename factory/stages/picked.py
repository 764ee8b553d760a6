"""The picks of a selection with their texts, read from the lake a page at a time."""

from collections.abc import Iterator
from typing import Any

from factory.lake import Lake
from factory.records import Candidate, Pick, Problem

Row = dict[str, Any]

_PLACES = ", ".join(
    f"strpos(raw, {part}) AS {part}_start, length({part}) AS {part}_length, "
    f"CASE WHEN strpos(raw, {part}) = 0 THEN {part} END AS {part}_apart" for part in ("thinking", "response"))
"""Thinking and response as places in the raw text, which mostly holds both: half as much to carry."""


def _columns(side: str) -> str:
    named = ("id", "raw", "thinking_start", "thinking_length", "thinking_apart", "response_start", "response_length",
             "response_apart", "completion_tokens")
    return ", ".join(f"{side}.{name} AS {side}_{name}" for name in named) + (
        f", coalesce({side}v.status, 'undecided') AS {side}_status")


# The texts that are needed are gathered first: a join with all of `traces` would hold every text of the lake.
SQL = f"""
    WITH mine AS (SELECT * FROM picks WHERE selection = $1),
    used AS (SELECT chosen AS id FROM mine UNION ALL SELECT rejected FROM mine WHERE rejected IS NOT NULL),
    texts AS MATERIALIZED (
        SELECT id, raw, {_PLACES}, completion_tokens FROM traces WHERE id IN (SELECT id FROM used)),
    v AS MATERIALIZED (SELECT trace_id, verifier, status FROM judged WHERE trace_id IN (SELECT id FROM used))
    SELECT k.why, p.id AS problem_id, p.* EXCLUDE (id), {_columns("c")}, {_columns("r")}
    FROM mine k JOIN problems p ON p.id = k.problem_id
    JOIN texts c ON c.id = k.chosen LEFT JOIN v cv ON cv.trace_id = c.id AND cv.verifier = p.verifier
    LEFT JOIN texts r ON r.id = k.rejected LEFT JOIN v rv ON rv.trace_id = r.id AND rv.verifier = p.verifier
    ORDER BY k.id"""


def pages(lake: Lake, selection: str, size: int) -> Iterator[list[tuple[Pick, Problem]]]:
    """In an order that says nothing: by the hash that is a pick's id. The statuses are the verdicts of now."""
    cursor = lake.sql(SQL, [selection])
    names = [column[0] for column in cursor.description or []]
    while found := cursor.fetchmany(size):
        rows = (dict(zip(names, row, strict=True)) for row in found)
        yield [(_pick(row), _problem(row)) for row in rows]


def _pick(row: Row) -> Pick:
    return Pick(_candidate(row, "c"), _candidate(row, "r") if row["r_id"] else None, row["why"])


def _candidate(row: Row, side: str) -> Candidate:
    raw = row[f"{side}_raw"]
    tokens = row[f"{side}_completion_tokens"] or len(raw)
    return Candidate(row[f"{side}_id"], row["problem_id"], row["prompt"], raw, _part(row, side, "thinking"),
                     _part(row, side, "response"), row[f"{side}_status"], None, tokens)


def _part(row: Row, side: str, part: str) -> str:
    start, length = row[f"{side}_{part}_start"], row[f"{side}_{part}_length"]
    text: str = row[f"{side}_raw"][start - 1:start - 1 + length] if start else row[f"{side}_{part}_apart"] or ""
    return text


def _problem(row: Row) -> Problem:
    return Problem(**{name: row[name] for name in Problem.__dataclass_fields__})
