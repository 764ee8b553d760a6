"""Duplicates: which of the problems of a run, and which of the rows of a dataset, say what another says already.

Two problems of one wording and other numbers or references are two problems. Two rows are near duplicates only when
they are of one problem. The rows of `duplicates` are whole clusters, with the one that is kept and why.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from factory.grams import numbers, plain
from factory.minhash import Duplicate, Index, Near, Text
from factory.recipe import Dedup
from factory.records import canonical, content_id
from factory.run import Run

BATCH = 256
FIRST = {"problem": "asked before, or its licence is stated, or else by its id", "row": "by its id"}
"""What the order of preference is."""

PROBLEMS = """SELECT p.id, p.prompt, p.reference, p.verifier, p.licence, a.problem_id IS NOT NULL AS asked
    FROM members m JOIN problems p ON p.id = m.problem_id
    LEFT JOIN (SELECT problem_id FROM members WHERE run_id = $1 AND part = 'train') a ON a.problem_id = p.id
    WHERE m.run_id = $1 AND m.part = 'loaded' ORDER BY asked DESC, p.licence = '', p.id"""
ROWS = """SELECT k.chosen AS id, k.problem_id, p.prompt, c.raw, coalesce(r.raw, '') AS other FROM picks k
    JOIN problems p ON p.id = k.problem_id JOIN traces c ON c.id = k.chosen LEFT JOIN traces r ON r.id = k.rejected
    WHERE k.selection = $1 ORDER BY k.chosen, k.rejected"""


def problems(run: Run, screening: str) -> Iterator[dict[str, Any]]:
    """The rows of `duplicates` for the loaded problems."""
    def text(row: dict[str, Any]) -> Text:
        return Text(row["prompt"], canonical([row["verifier"], plain(row["reference"]), numbers(row["prompt"])]))

    return _found(run, screening, "problem", _batches(run, PROBLEMS, run.id), text)


def rows(run: Run, screening: str, selection: str) -> Iterator[dict[str, Any]]:
    """The rows of `duplicates` for the picks of a selection; an item is a chosen trace."""
    def text(row: dict[str, Any]) -> Text:
        return Text("\n".join((row["prompt"], row["raw"], row["other"])), row["problem_id"])

    return _found(run, screening, "row", _batches(run, ROWS, selection), text)


def _batches(run: Run, query: str, param: str) -> Iterator[list[dict[str, Any]]]:
    cursor = run.lake.sql(query, [param])
    names = [column[0] for column in cursor.description or []]
    while found := cursor.fetchmany(BATCH):
        yield [dict(zip(names, row, strict=True)) for row in found]


def _found(run: Run, screening: str, kind: str, batches: Iterator[list[dict[str, Any]]],
           text: Callable[[dict[str, Any]], Text]) -> Iterator[dict[str, Any]]:
    ids: list[str] = []
    with tempfile.TemporaryDirectory(dir=run.lake.folder, prefix=".dedup-") as scratch:
        index = Index(_near(run.recipe.dedup), Path(scratch))
        for batch in batches:
            ids += [row["id"] for row in batch]
            index.add([text(row) for row in batch])
        drops = list(index.duplicates())
    base = dict(screening=screening, run_id=run.id, kind=kind)
    for kept, size in Counter(drop.kept for drop in drops).items():
        yield dict(base, id=content_id("duplicate", screening, ids[kept]), cluster=ids[kept], item=ids[kept], kept=True,
                   exact=True, jaccard=1.0, why=f"the first of {size + 1}: {FIRST[kind]}")
    for drop in drops:
        item = ids[drop.item]
        yield dict(base, id=content_id("duplicate", screening, item), cluster=ids[drop.kept], item=item, kept=False,
                   exact=drop.exact, jaccard=drop.jaccard, why=_reason(drop, ids, run.recipe.dedup))


def _near(options: Dedup) -> Near:
    return Near(threshold=options.threshold, words=options.words)


def _reason(drop: Duplicate, ids: Sequence[str], options: Dedup) -> str:
    kept = ids[drop.kept]
    if drop.exact:
        return f"a duplicate of {kept}: the same text"
    return f"a near duplicate of {kept}: Jaccard {drop.jaccard:.2f} of their sets of {options.words} words in a row"
