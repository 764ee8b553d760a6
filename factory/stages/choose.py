"""verdicts + measures -> picks: rules in SQL say what may be used, a selector says what is used; both leave reasons.

A rule is a named line of SQL over `COLUMNS` and the recipe's measures. A trace is dropped under the name of the first
rule it does not fulfil. `undecided` traces are never used. A selection's id is a hash of what it chose from and how, so
a changed threshold makes a new selection and recomputes nothing that a model or a verifier made.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from factory import plugins
from factory.lake import Lake, QueryError, complaint, now
from factory.protocols import UserError
from factory.recipe import DatasetSpec, Plugin, Recipe
from factory.records import Candidate, Pick, canonical, content_id
from factory.run import Run

COLUMNS = ("trace_id", "problem_id", "prompt", "raw", "thinking", "response", "status", "answer", "grade",
           "finish_reason", "prompt_tokens", "completion_tokens", "thinking_tokens", "mean_logprob", "seconds",
           "sample", "source", "domain", "split", "licence", "meta", "verifier", "pass_rate")
"""What a rule may name besides the measures; `pass_rate` is the share of its problem's traces that are correct."""


def choose(run: Run) -> dict[str, str]:
    """Make the picks and drops of every dataset that lacks them; returns dataset name -> selection id."""
    return {spec.name: _choose_one(run, spec) for spec in run.recipe.datasets}


def _choose_one(run: Run, spec: DatasetSpec) -> str:
    try:
        selection = selection_id(run, spec)
    except QueryError as error:  # it is SQL, and it does not fit the values that there are
        raise UserError(f"a rule cannot be computed: {complaint(error)}; mend it in [rules], where try_cast helps with "
                        "a value that may be no number") from error
    if selection in run.lake.ids("selections"):
        return selection
    with run.timed("choose") as counts:
        picks, drops = _select(run, spec, selection)
        run.lake.append_new("drops", drops)
        run.lake.append_new("picks", picks)
        # Written last: a selection that is listed is whole.
        run.lake.append("selections", [dict(
            id=selection, run_id=run.id, dataset=spec.name, selector=canonical(spec.selector.model_dump()),
            rules=canonical(run.recipe.rules), picks=len(picks), drops=len(drops), created=now())])
        counts["rows"] = len(picks) + len(drops)
    return selection


def selection_id(run: Run, spec: DatasetSpec) -> str:
    """Hash of the rules, the selector and every candidate with its verdict and measures: what a selector sees."""
    state = hashlib.blake2b(digest_size=16)
    seen = ", ".join(["trace_id", "status", "answer", "dropped", *(_column(m) for m in run.recipe.measures)])
    query = f"SELECT {seen} FROM ({candidates_sql(run.recipe)}) ORDER BY trace_id"
    for row in run.lake.sql(query, [run.id]).fetchall():
        state.update(repr(row).encode())
    return content_id("selection", run.id, spec.name, canonical(spec.selector.model_dump()),
                      plugins.version("selector", spec.selector.plugin), state.hexdigest())


def candidates_sql(recipe: Recipe) -> str:
    """SQL ($1 = run id) of all candidates with their measures and `dropped`: the rule that they fail first, or NULL."""
    cases = " ".join(f"WHEN NOT coalesce(({rule}), false) THEN {_quote(name)}" for name, rule in recipe.rules.items())
    return f"""
        WITH measured AS ({_measures_sql(recipe.measures)}),
        candidates AS (
            SELECT t.id AS trace_id, t.problem_id, p.prompt, t.raw, t.thinking, t.response,
                   coalesce(v.status, 'undecided') AS status, v.answer, v.grade, t.finish_reason, t.prompt_tokens,
                   t.completion_tokens, t.thinking_tokens, t.mean_logprob, t.seconds, t.sample, p.source, p.domain,
                   p.split, p.licence, p.meta, p.verifier,
                   avg(CASE WHEN v.status = 'correct' THEN 1 ELSE 0 END) OVER (PARTITION BY t.problem_id) AS pass_rate,
                   measured.* EXCLUDE (trace_id)
            FROM run_traces t JOIN problems p ON p.id = t.problem_id
            LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
            LEFT JOIN measured ON measured.trace_id = t.id WHERE t.run_id = $1)
        SELECT *, CASE WHEN status = 'undecided' THEN 'undecided' {cases} END AS dropped FROM candidates"""


def _measures_sql(measures: Sequence[Plugin]) -> str:
    """One row a trace, one column a measure, at the measure's present parameters and version."""
    columns = ", ".join(
        f"max(value) FILTER (measure = {_quote(m.plugin)} AND params = {_quote(canonical(m.params))} AND "
        f"version = {plugins.version('measure', m.plugin)}) AS {_column(m)}" for m in measures)
    return f"SELECT trace_id{', ' + columns if columns else ''} FROM measurements GROUP BY trace_id"


def _column(measure: Plugin) -> str:
    return '"' + measure.plugin.rpartition(".")[2] + '"'


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def check_rules(lake: Lake, recipe: Recipe) -> None:
    """Raise UserError naming the rule that is not SQL over the columns there are."""
    names = [*COLUMNS, *(m.plugin.rpartition(".")[2] for m in recipe.measures)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"the measure '{twice[-1]}' has the name of another measure or column: a rule could not tell "
                        "which is meant, so rename or remove one")
    for name, rule in recipe.rules.items():
        alone = recipe.model_copy(update={"rules": {name: rule}})
        try:
            lake.sql(f"SELECT count(dropped) FROM ({candidates_sql(alone)})", [""]).fetchall()
        except QueryError as error:
            raise UserError(f"the rule '{name}' ({rule}) is not valid: {complaint(error)}; a rule is one SQL condition "
                            f"over: {', '.join(names)}") from error


def _select(run: Run, spec: DatasetSpec, selection: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    selector = plugins.bind("selector", spec.selector.plugin, spec.selector.params)
    picks: list[dict[str, Any]] = []
    drops: list[dict[str, Any]] = []
    for rows in _problems(run):
        kept = [_candidate(run.recipe, row) for row in rows if row["dropped"] is None]
        chosen = _chosen(spec, selector, kept)
        _refuse_undecided(spec, chosen)
        picks += [_pick_row(run, spec, selection, pick) for pick in chosen]
        used = {c.trace_id for pick in chosen for c in (pick.chosen, pick.rejected) if c}
        unused = [row for row in rows if row["trace_id"] not in used]
        drops += [_drop_row(run, spec, selection, row["trace_id"],
                            row["dropped"] or f"not chosen by {spec.selector.plugin}") for row in unused]
    return picks, drops


def _chosen(spec: DatasetSpec, selector: Callable[..., Sequence[Pick]], kept: list[Candidate]) -> Sequence[Pick]:
    try:
        return selector(kept)
    except ValueError as error:
        raise UserError(f"the selector '{spec.selector.plugin}': {error}") from error


def _problems(run: Run) -> Iterator[list[dict[str, Any]]]:
    """The candidates, one list a problem."""
    rows = run.lake.rows(f"{candidates_sql(run.recipe)} ORDER BY problem_id, trace_id", [run.id])
    for _, group in groupby(rows, key=lambda row: row["problem_id"]):
        yield list(group)


def _candidate(recipe: Recipe, row: dict[str, Any]) -> Candidate:
    named = {m.plugin.rpartition(".")[2] for m in recipe.measures}
    measures = {name: row[name] for name in named if row[name] is not None}
    plain = {name: row[name] for name in Candidate.__dataclass_fields__ if name != "measures"}
    # An endpoint that reports no usage still has to be ordered by length: characters order like tokens.
    plain["completion_tokens"] = plain["completion_tokens"] or len(row["raw"])
    return Candidate(**plain, measures=measures)


def _refuse_undecided(spec: DatasetSpec, picks: Sequence[Pick]) -> None:
    for pick in picks:
        sides = [pick.chosen.status, pick.rejected.status if pick.rejected else "wrong"]
        if "undecided" in sides:
            raise UserError(f"the selector '{spec.selector.plugin}' used an undecided trace: that is never trained on")


def _pick_row(run: Run, spec: DatasetSpec, selection: str, pick: Pick) -> dict[str, Any]:
    rejected = pick.rejected.trace_id if pick.rejected else None
    return dict(id=content_id("pick", selection, pick.chosen.trace_id, rejected), selection=selection, run_id=run.id,
                dataset=spec.name, problem_id=pick.chosen.problem_id, chosen=pick.chosen.trace_id, rejected=rejected,
                why=pick.why)


def _drop_row(run: Run, spec: DatasetSpec, selection: str, trace_id: str, reason: str) -> dict[str, Any]:
    return dict(id=content_id("drop", selection, trace_id), selection=selection, run_id=run.id, dataset=spec.name,
                trace_id=trace_id, reason=reason)
