"""What a selector chooses from: the traces that passed the rules, problem by problem, with their texts.

Memory holds two parts of them: the one that is worked on, and the one that is read meanwhile.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from typing import Any

from factory.records import Candidate, Step
from factory.run import Run
from factory.stages import embed

TEXTS = 20_000
"""Texts of a part."""

Group = tuple[list[Candidate], dict[str, str]]
"""The candidates of a problem, and the bucket of each by its id."""


def problems(run: Run, cursor: Any) -> Iterator[Group]:
    """The candidates that pass the rules, out of the cursor's table `candidates`, one group a problem.

    The next part is read while one is worked on.
    """
    names = [m.column for m in run.recipe.measures]
    parts = _place(run, cursor)
    with ThreadPoolExecutor(1) as reader:
        ahead = deque(reader.submit(_read, cursor, number, names) for number in range(min(1, parts)))
        for number in range(1, parts + 1):
            rows = ahead.popleft().result()
            if number < parts:
                ahead.append(reader.submit(_read, cursor, number, names))
            for _, group in groupby(rows, key=lambda row: row[1]):
                found = [(_candidate(row, names), row[9]) for row in group]
                yield [c for c, _ in found], {c.trace_id: bucket for c, bucket in found}


def _read(cursor: Any, part: int, names: Sequence[str]) -> list[Any]:
    """The rows of a part of `kept`, with their texts, by problem and trace."""
    files = [row[0] for row in cursor.execute(
        "SELECT DISTINCT filename FROM kept WHERE part = $1 ORDER BY 1", [part]).fetchall()]
    rows: list[Any] = cursor.execute(f"""SELECT k.trace_id, k.problem_id, k.prompt, t.raw, t.thinking, t.response,
            k.status, k.answer, k.completion_tokens, k.bucket {"".join(f', k."{name}"' for name in names)}
        FROM read_parquet($1) t JOIN kept k ON k.trace_id = t.id WHERE k.part = $2""", [files, part]).fetchall()
    rows.sort(key=lambda row: (row[1], row[0]))
    return rows


def _place(run: Run, cursor: Any) -> int:
    """Make the table `kept`: what passed the rules, in parts of whole problems whose texts lie in few files.

    Returns how many parts. A run that asks problem after problem leaves a problem's traces in one or two files, so
    nearly every file is read once, and memory holds one part. To sort the texts themselves took half a minute more.
    """
    run.lake.compact()
    traces = run.lake.folder / "tables" / "traces" / "*.parquet"
    cursor.execute(f"""CREATE OR REPLACE TEMP TABLE kept AS
        WITH placed AS (SELECT c.*, t.filename FROM candidates c
            JOIN read_parquet($1, filename = true) t ON t.id = c.trace_id WHERE c.dropped IS NULL),
        problem AS (SELECT problem_id, min(filename) AS first, count(*) AS traces FROM placed GROUP BY 1),
        parts AS (SELECT problem_id, (sum(traces) OVER (ORDER BY first, problem_id)) // {TEXTS} AS part FROM problem)
        SELECT placed.*, parts.part, p.prompt FROM placed JOIN parts USING (problem_id)
        JOIN problems p ON p.id = problem_id ORDER BY part""", [str(traces)])
    last = cursor.execute("SELECT max(part) FROM kept").fetchone()[0]
    return 0 if last is None else int(last) + 1


def _candidate(row: Sequence[Any], names: Sequence[str]) -> Candidate:
    raw = row[3] or ""
    # An endpoint that reports no usage still has to be ordered by length: characters order like tokens.
    return Candidate(row[0], row[1], row[2], raw, row[4] or "", row[5] or "", row[6], row[7], row[8] or len(raw),
                     {name: value for name, value in zip(names, row[10:], strict=True) if value is not None})


def with_steps(run: Run, batch: Sequence[Group]) -> list[Group]:
    """The batch with what a strategy left in the table `steps` of each trace, in order."""
    steps: dict[str, list[Step]] = {}
    for row in run.lake.rows("""SELECT trace_id, index, kind, text, parent, value, visits, state FROM steps
            WHERE trace_id IN (SELECT unnest($1)) ORDER BY trace_id, index""",
            [[c.trace_id for group, _ in batch for c in group]]):
        steps.setdefault(row.pop("trace_id"), []).append(Step(**row))
    return [([replace(c, steps=tuple(steps.get(c.trace_id, ()))) for c in group], more) for group, more in batch]


def with_vectors(run: Run, batch: Sequence[Group]) -> list[Group]:
    """The batch with the vectors that were made of its correct traces."""
    found = embed.of_traces(run, [c.trace_id for group, _ in batch for c in group if c.status == "correct"])
    return [([replace(c, vector=found.get(c.trace_id)) for c in group], more) for group, more in batch]
