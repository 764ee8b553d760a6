"""traces -> measurements: every measure of the recipe for every trace of the run that lacks it.

A measure's parameters and version are part of the row's id, so a changed parameter computes anew and old values stay.
"""

from collections.abc import Sequence
from typing import Any

from factory import plugins
from factory.lake import Lake
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
        function = plugins.bind("measure", spec.plugin, spec.params)
        found += [dict(id=content_id("measurement", trace.id, name, params, version), trace_id=trace.id, measure=name,
                       params=params, version=version, value=float(function(problem, trace)))
                  for problem, trace in pairs]
    return lake.append_new("measurements", found)


def _key(spec: Plugin) -> tuple[str, str, int]:
    return spec.plugin, canonical(spec.params), plugins.version("measure", spec.plugin)


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(**{name: row[name] for name in Problem.__dataclass_fields__})


def _trace(row: dict[str, Any]) -> Trace:
    request = Request(**{name: row[name] for name in Request.__dataclass_fields__})
    completion = Completion(**{name: row[name] for name in Completion.__dataclass_fields__ if name != "steps"})
    return Trace(request, completion, row["seconds"] or 0.0, row["cost"] or 0.0, row["round"] or 0)
