"""`cot explain`: why a trace was kept or dropped in each dataset, read from what the choice left in the lake."""

import json
import re
from typing import Any

from factory import recipe as recipes
from factory.lake import Lake, QueryError, complaint
from factory.recipe import Recipe
from factory.stages.choose import COLUMNS, candidates_sql
from flows.query import one_trace

WIDE = 48
"""Characters of a text that are shown as a rule's value."""


def explain(lake: Lake, trace_id: str) -> str:
    """The verdict, and for each run and dataset each rule with its values and the selector's reason."""
    row = one_trace(lake, trace_id)
    because = f" ({row['reason']})" if row["reason"] else ""
    lines = [f"trace     {row['id']}", f"problem   {row['problem_id']}, sample {row['sample']}",
             f"verdict   {row['status'] or 'not yet verified'}{because}: found {row['answer']!r} ({row['verifier']})"]
    lines += [f"goes on   from {row['parent']}, which was cut off"] if row["parent"] else []
    runs = _runs(lake, row["id"])
    for run in runs:
        lines += ["", f"run {run['name']} ({run['id']})", *_run(lake, run, row["id"])]
    if not runs:
        lines += ["", _told(lake, row), *_datasets(lake, None, row["id"])]
    return "\n".join(lines)


def _told(lake: Lake, row: dict[str, Any]) -> str:
    """What a trace is that belongs to no run."""
    if whole := json.loads(row["strategy"] or "{}").get("cut_of"):
        return f"It is a cut of {whole}."
    if more := lake.value("SELECT id FROM traces WHERE parent = $1 ORDER BY created DESC", [row["id"]]):
        return f"It was cut off; {more} goes on from it."
    return "It is an answer of a model that was evaluated."


def _runs(lake: Lake, trace_id: str) -> list[dict[str, Any]]:
    """The runs that have the trace, the newest of each name."""
    return lake.rows("""
        SELECT * FROM runs WHERE id IN (SELECT run_id FROM run_traces WHERE id = $1) QUALIFY row_number() OVER (
            PARTITION BY name ORDER BY (SELECT max(s.started) FROM starts s WHERE s.run_id = runs.id) DESC) = 1
        ORDER BY name""", [trace_id])


def _run(lake: Lake, run: dict[str, Any], trace_id: str) -> list[str]:
    recipe = recipes.validate(json.loads(run["recipe"]), f"the recipe of the run '{run['name']}'")
    return [*_rules(lake, run["id"], recipe, trace_id),
            *(_datasets(lake, run["id"], trace_id) or ["  no dataset was chosen from it yet"])]


# -- rules -----------------------------------------------------------------------------------------------------------


def _rules(lake: Lake, run_id: str, recipe: Recipe, trace_id: str) -> list[str]:
    if not recipe.rules:
        return ["  no rules"]
    try:
        [row] = lake.rows(f"SELECT * FROM ({candidates_sql(recipe)}) WHERE trace_id = $2", [run_id, trace_id])
    except QueryError as error:
        return [f"  the rules cannot be computed: {complaint(error)}"]
    measures = [measure.column for measure in recipe.measures]
    return [_rule(lake, run_id, recipe, name, row, [*COLUMNS, *measures]) for name in recipe.rules]


def _rule(lake: Lake, run_id: str, recipe: Recipe, name: str, row: dict[str, Any], columns: list[str]) -> str:
    """Whether the rule alone lets the trace pass, with the values of the columns that it names."""
    bare = candidates_sql(recipe.model_copy(update={"rules": {}}))
    passed = lake.value(f"SELECT coalesce(({recipe.rules[name]}), false) FROM ({bare}) WHERE trace_id = $2",
                        [run_id, row["trace_id"]])
    words = re.findall(r"\w+", recipe.rules[name])
    values = ", ".join(f"{column} = {_value(row[column])}" for column in columns if column in words)
    return f"  {'passes' if passed else 'FAILS '}  {name}: {recipe.rules[name]}   [{values}]"


def _value(value: Any) -> str:
    if value is None:
        return "none (not measured, or not told)"
    if isinstance(value, float):
        return f"{value:g}"
    text = repr(value)
    return text if len(text) <= WIDE else f"{text[:WIDE]}… ({len(value):,} characters)"


# -- datasets --------------------------------------------------------------------------------------------------------


def _datasets(lake: Lake, run_id: str | None, trace_id: str) -> list[str]:
    """What the newest selection of each dataset did with the trace, and what the round trip did afterwards."""
    found = lake.rows("""
        SELECT id, dataset, selector FROM selections s WHERE run_id = $1 OR ($1 IS NULL AND EXISTS (
            SELECT 1 FROM picks WHERE selection = s.id AND $2 IN (chosen, rejected)))
        QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY created DESC) = 1 ORDER BY dataset""",
        [run_id, trace_id])
    return [line for row in found for line in _dataset(lake, row, trace_id)]


def _dataset(lake: Lake, selection: dict[str, Any], trace_id: str) -> list[str]:
    name, chosen_by = selection["dataset"], json.loads(selection["selector"])["plugin"]
    names = [trace_id, *(row[0] for row in lake.sql("SELECT id FROM traces WHERE contains(strategy, $1)", [
        f'"cut_of":"{trace_id}"']).fetchall())]
    picks = lake.rows("SELECT *, list_contains($2, chosen) AS good FROM picks WHERE selection = $1 AND "
                      "(list_contains($2, chosen) OR list_contains($2, rejected)) ORDER BY id", [
                          selection["id"], names])
    lines = [f"  dataset {name}: kept as {'chosen' if pick['good'] else 'rejected'} by {chosen_by}: {pick['why']}"
             + ("" if trace_id in (pick["chosen"], pick["rejected"]) else f" (cut short, as {pick['chosen']})")
             for pick in picks]
    drops = lake.rows("""SELECT reason FROM drops WHERE trace_id = $2 AND selection IN (
        SELECT $1 UNION ALL SELECT id FROM datasets WHERE selection = $1)""", [selection["id"], trace_id])
    lines += [f"  dataset {name}: dropped: {drop['reason']}" for drop in drops]
    if drops and not picks:
        lines += _instead(lake, selection["id"], trace_id)
    return lines or [f"  dataset {name}: not seen by its newest selection; run the recipe again"]


def _instead(lake: Lake, selection: str, trace_id: str) -> list[str]:
    found = lake.rows("""
        SELECT chosen, why FROM picks WHERE selection = $1 AND problem_id = (
            SELECT problem_id FROM traces WHERE id = $2) ORDER BY id LIMIT 3""", [selection, trace_id])
    return [f"    of its problem was chosen {pick['chosen']}: {pick['why']}" for pick in found]
