"""traces -> measurements: every measure of the recipe for every trace of the run that lacks it.

A measure's parameters and version are part of the row's id, so a changed parameter computes anew and old values stay.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any

from factory import plugins
from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import Plugin
from factory.records import Completion, Problem, Request, Trace, canonical, content_id
from factory.run import Run


def shards(run: Run) -> list[list[str]]:
    """Trace ids that lack one of the measures, in shards of `tasks.shard`."""
    found: set[str] = set()
    for spec in run.recipe.measures:
        found |= {row[0] for row in run.lake.sql("""
            SELECT id FROM run_traces WHERE run_id = $1 AND id NOT IN (
                SELECT trace_id FROM measurements WHERE measure = $2 AND params = $3 AND version = $4)""",
            [run.id, *_key(spec)]).fetchall()}
    ordered, size = sorted(found), run.recipe.tasks.shard
    return [ordered[i:i + size] for i in range(0, len(ordered), size)]


def work(lake: Lake, ids: Sequence[str], measures: Sequence[Plugin]) -> int:
    """Measure one shard and append what was lacking; returns how many numbers."""
    rows = lake.rows("""SELECT t.*, p.prompt, p.reference, p.verifier, p.source, p.domain, p.split, p.licence, p.meta
        FROM traces t JOIN problems p ON p.id = t.problem_id WHERE t.id IN (SELECT unnest($1)) ORDER BY t.id""",
        [list(ids)])
    pairs = [(_problem(row), _trace(row)) for row in rows]
    found: list[dict[str, Any]] = []
    for spec in measures:
        name, params, version = _key(spec)
        found += [dict(id=content_id("measurement", trace.id, name, params, version), trace_id=trace.id, measure=name,
                       params=params, version=version, value=value)
                  for (_, trace), value in zip(pairs, _values(spec, pairs), strict=True)]
    return lake.append_new("measurements", found)


def _values(spec: Plugin, pairs: Sequence[tuple[Problem, Trace]]) -> list[float | None]:
    """The measure of each trace; None, said aloud, where it fails. Raises UserError when it fails everywhere."""
    function = plugins.bind("measure", spec.plugin, spec.params)
    values: list[float | None] = []
    faults: list[str] = []
    for problem, trace in pairs:
        try:
            value = float(function(problem, trace))
            if math.isnan(value):
                raise ValueError("it gave NaN, which is not a value")
            values.append(value)
        except Exception as error:  # a measure is anybody's code: one trace must not stop the others
            values.append(None)
            faults.append(f"{type(error).__name__}: {error}")
    if faults and len(faults) == len(pairs):
        raise UserError(f"the measure '{spec.plugin}' fails on every trace, the last with: {faults[-1]}; mend it or "
                        "its parameters, or remove it from the recipe")
    if faults:
        print(f"the measure '{spec.plugin}' fails on {len(faults)} of {len(pairs)} traces, which have no value and "
              f"pass no rule on it; the last with: {faults[-1]}", file=sys.stderr)
    return values


def _key(spec: Plugin) -> tuple[str, str, int]:
    return spec.plugin, canonical(spec.params), plugins.version("measure", spec.plugin)


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(**{name: row[name] for name in Problem.__dataclass_fields__})


def _trace(row: dict[str, Any]) -> Trace:
    request = Request(**{name: row[name] for name in Request.__dataclass_fields__})
    completion = Completion(**{name: row[name] for name in Completion.__dataclass_fields__ if name != "steps"})
    return Trace(request, completion, row["seconds"] or 0.0, row["cost"] or 0.0, row["round"] or 0)
