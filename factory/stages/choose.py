"""verdicts + measures -> picks: rules in SQL say what may be used, a selector says what is used; both leave reasons.

A rule is a named line of SQL over `COLUMNS` and the recipe's measures. A trace is dropped under the name of the first
rule it does not fulfil. `undecided` traces are never used. A selection's id is a hash of what it chose from and how, so
a changed threshold makes a new selection and recomputes nothing that a model or a verifier made.

Texts pass by in parts; only ids and numbers are in memory for all traces at once.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from factory import plugins
from factory.lake import Lake, QueryError, complaint, now
from factory.protocols import UserError
from factory.recipe import DatasetSpec, MeasureSpec, Mixture, Recipe
from factory.records import Candidate, Pick, canonical, content_id
from factory.run import Run
from factory.stages import candidates, cuts, embed, emittable, screen
from factory.stages.decontaminate import Benchmarks
from factory.stages.formed import Key
from factory.stages.measure import key
from factory.stages.mixture import Picked, mix

COLUMNS = ("trace_id", "problem_id", "prompt", "raw", "thinking", "response", "status", "answer", "grade",
           "finish_reason", "prompt_tokens", "completion_tokens", "thinking_tokens", "mean_logprob", "min_logprob",
           "seconds", "sample", "source", "domain", "split", "licence", "meta", "verifier", "pass_rate", "band",
           "answer_entropy", "guessable")
"""What a rule may name besides the measures; `pass_rate` is the share of its problem's traces that are correct, and
`band` names it: never (0), hard (up to a third), medium, easy (over two thirds), always (1). `answer_entropy` is that
of its answers as written, in bits; `guessable` whether it was right without thinking, in at most 80 characters, within
its first 8 tries (Kimi k1.5 2025, §2.1, leaves such problems out)."""

CERTAIN = "CASE WHEN v.grade = 'in_process' THEN 'undecided' ELSE coalesce(v.status, 'undecided') END"
"""SQL of a trace's status: a verdict that the program could have forged is none."""

BATCH, PART = 2000, 50_000
"""Problems whose picks are settled together, rows of a part of `picks` and of `drops`."""


def choose(run: Run) -> dict[str, str]:
    """Make the picks and drops of every dataset that lacks them; returns dataset name -> selection id."""
    made, specs = {}, [spec for spec in run.recipe.datasets if not spec.policy]
    benchmarks = screen.benchmarks(run) if any(spec.mixture for spec in specs) else None
    for spec in specs:
        with contextlib.closing(run.lake.connect()) as cursor:  # and its tables are gone
            made[spec.name] = _choose_one(run, spec, cursor, benchmarks)
    return made


def _choose_one(run: Run, spec: DatasetSpec, cursor: Any, benchmarks: Benchmarks | None) -> str:
    try:
        _make_candidates(run, spec, cursor)
    except QueryError as error:  # it is SQL, and it does not fit the values that there are
        raise uncomputable(error) from error
    selection = whole = _selection_id(run, spec, cursor)
    if spec.mixture:
        selection = content_id("mixed", whole, spec.mixture.model_dump(),
                               emittable.determined_by(run, spec, benchmarks))
    if selection in run.lake.ids("selections"):
        return selection
    with run.timed("choose") as counts:
        picked, reasons = _select(run, spec, cursor)
        if spec.mixture:
            _append(run.lake, "picks", whole, (_pick_row(run, spec, whole, one) for one in picked))
            lost = emittable.lost(run, spec, whole, len(picked), benchmarks)
            picked, left = _mixed(run, spec, spec.mixture, picked, lost)
            reasons |= left
        picks, drops = _note(run, spec, selection, picked, reasons, cursor)
        # Written last: a selection that is listed is whole.
        run.lake.append("selections", [dict(
            id=selection, run_id=run.id, dataset=spec.name, selector=canonical(spec.selector.model_dump()),
            rules=canonical(run.recipe.rules), picks=picks, drops=drops, created=now())])
        counts["rows"] = picks + drops
    return selection


def uncomputable(error: QueryError) -> UserError:
    return UserError(f"a rule cannot be computed: {complaint(error)}; mend it in [rules], where try_cast helps with a "
                     "value that may be no number")


def _mixed(run: Run, spec: DatasetSpec, plan: Mixture, picked: Sequence[Picked], lost: Mapping[Key, str]
           ) -> tuple[list[Picked], dict[str, str]]:
    """What the mixture uses of the picks that would be rows, and why each trace of the others is left out."""
    there = [one for one in picked if (one.chosen, one.rejected) not in lost]
    vectors = embed.of_problems(run, there) if plan.prefer == "diverse" else {}
    used, left = mix(spec.name, plan, there, vectors)
    gone = [(one, lost[key]) for one in picked if (key := (one.chosen, one.rejected)) in lost]
    return used, {trace: why for one, why in (*left, *gone) for trace in (one.of, one.rejected_of) if trace}


# -- the candidates, in SQL ------------------------------------------------------------------------------------------


def _make_candidates(run: Run, spec: DatasetSpec, cursor: Any) -> None:
    """Make the cursor's table `candidates`: what decides about each trace, without its text."""
    seen = ", ".join(["trace_id", "problem_id", "status", "answer", "completion_tokens", "dropped",
                      *(_column(m) for m in run.recipe.measures)])
    cursor.execute(f"""CREATE TEMP TABLE candidates AS SELECT {seen}, coalesce(({_bucket(spec)})::VARCHAR, '') AS bucket
        FROM ({candidates_sql(run.recipe)})""", [run.id])


def _bucket(spec: DatasetSpec) -> str:
    return spec.mixture.by if spec.mixture and spec.mixture.by else "''"


def _selection_id(run: Run, spec: DatasetSpec, cursor: Any) -> str:
    """Hash of the rules, the selector and every candidate with its verdict and measures: what a selector sees."""
    seen = ", ".join(["trace_id", "status", "answer", "dropped", "bucket",
                      *(_column(m) for m in run.recipe.measures)])
    state = cursor.execute(f"SELECT bit_xor(md5_number(row({seen})::VARCHAR)) FROM candidates").fetchone()
    return content_id("selection", run.id, spec.name, canonical(spec.selector.model_dump()),
                      plugins.version("selector", spec.selector.plugin), None, str(state[0]))


def candidates_sql(recipe: Recipe, traces: str = "run_traces") -> str:
    """SQL ($1 = run id) of all candidates with their measures and `dropped`: the rule that they fail first, or NULL.

    `traces`: which of the run's there are.
    """
    cases = " ".join(f"WHEN NOT coalesce(({rule}), false) THEN {_quote(name)}" for name, rule in recipe.rules.items())
    drops_cut = recipe.generate.truncation.policy == "drop"
    cut = "WHEN finish_reason = 'length' THEN 'truncated'" if drops_cut else ""
    judged = f"""FROM {traces} t JOIN problems p ON p.id = t.problem_id
                LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier"""
    return f"""
        WITH measured AS ({_measures_sql(recipe.measures)}),
        rates AS (SELECT t.problem_id AS problem, avg(CASE WHEN {CERTAIN} = 'correct' THEN 1 ELSE 0 END) AS pass_rate,
                   entropy(v.answer) AS answer_entropy, coalesce(bool_or(v.status = 'correct' AND t.thinking = '' AND
                       length(trim(t.raw)) <= 80 AND t.sample < 8), false) AS guessable
            {judged} WHERE t.run_id = $1 GROUP BY 1),
        candidates AS (
            SELECT t.id AS trace_id, t.problem_id, p.prompt, t.raw, t.thinking, t.response,
                   {CERTAIN} AS status, v.answer, v.grade, t.finish_reason, t.prompt_tokens,
                   t.completion_tokens, t.thinking_tokens, t.mean_logprob, t.min_logprob, t.seconds, t.sample, p.source,
                   p.domain, p.split, p.licence, p.meta, p.verifier, rates.pass_rate,
                   CASE WHEN pass_rate = 0 THEN 'never' WHEN pass_rate <= 1/3 THEN 'hard' WHEN pass_rate <= 2/3
                        THEN 'medium' WHEN pass_rate < 1 THEN 'easy' ELSE 'always' END AS band,
                   rates.answer_entropy, rates.guessable,
                   measured.* EXCLUDE (trace_id)
            {judged} JOIN rates ON rates.problem = t.problem_id
            LEFT JOIN measured ON measured.trace_id = t.id WHERE t.run_id = $1)
        SELECT *, CASE {cut} WHEN grade = 'in_process' THEN 'judged in the program''s own process'
                       WHEN status = 'undecided' THEN 'undecided' {cases} END AS dropped FROM candidates"""


def _measures_sql(measures: Sequence[MeasureSpec]) -> str:
    """One row a trace, one column a measure, at the measure's present parameters and version."""
    columns = ", ".join(f"{_value_sql(m)} AS {_column(m)}" for m in measures)
    return f"SELECT trace_id{', ' + columns if columns else ''} FROM measurements GROUP BY trace_id"


def _value_sql(measure: MeasureSpec) -> str:
    plugin, params, version = key(measure)
    return f"max(value) FILTER (measure = {_quote(plugin)} AND params = {_quote(params)} AND version = {version})"


def _column(measure: MeasureSpec) -> str:
    return f'"{measure.column}"'


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def check_rules(lake: Lake, recipe: Recipe) -> None:
    """Raise UserError naming the rule that is not SQL over the columns there are."""
    names = [*COLUMNS, *(m.column for m in recipe.measures)]
    if twice := [name for name, times in Counter(map(str.lower, names)).items() if times > 1]:
        raise UserError(f"the measure '{twice[-1]}' has the name of another measure or column: a rule could not tell "
                        "which is meant, so give it another `name` in its table in `measures`")
    for name, rule in recipe.rules.items():
        alone = recipe.model_copy(update={"rules": {name: rule}})
        try:
            lake.sql(f"SELECT count(dropped) FROM ({candidates_sql(alone)})", [""]).fetchall()
        except QueryError as error:
            raise UserError(f"the rule '{name}' ({rule}) is not valid: {complaint(error)}; a rule is one SQL condition "
                            f"over: {', '.join(names)}") from error
    for spec in recipe.datasets:
        try:
            lake.sql(f"SELECT count(({_bucket(spec)})::VARCHAR) FROM ({candidates_sql(recipe)})", [""]).fetchall()
        except QueryError as error:
            raise UserError(f"the mixture of the dataset '{spec.name}' goes by {_bucket(spec)}, which is not valid: "
                            f"{complaint(error)}; it is SQL over: {', '.join(names)}") from error


# -- the choice ------------------------------------------------------------------------------------------------------


def _select(run: Run, spec: DatasetSpec, cursor: Any) -> tuple[list[Picked], dict[str, str]]:
    """The selector's picks of every problem, and why a trace that it wanted cannot be used."""
    selector = plugins.bind("selector", spec.selector.plugin, spec.selector.params)
    picked: list[Picked] = []
    reasons: dict[str, str] = {}
    problems = candidates.problems(run, cursor)
    reads_steps = getattr(plugins.module("selector", spec.selector.plugin), "STEPS", False)
    while batch := list(islice(problems, BATCH)):
        batch = candidates.with_steps(run, batch) if reads_steps else batch
        batch = candidates.with_vectors(run, batch) if run.recipe.embed else batch
        kept = {c.trace_id: c for group, _ in batch for c in group}
        buckets = {trace: bucket for _, more in batch for trace, bucket in more.items()}
        wanted = [pick for group, _ in batch for pick in _chosen(spec, selector, group)]
        _refuse_strangers(spec, kept, wanted)
        for before, after, why in cuts.settle(run, kept, wanted):
            if why:
                reasons[before.chosen.trace_id] = why
            else:
                picked.append(_without_texts(before, after, buckets))
    return picked, reasons


def _without_texts(before: Pick, after: Pick, buckets: Mapping[str, str]) -> Picked:
    chosen, rejected, of = after.chosen, after.rejected, before.rejected
    return Picked(chosen.trace_id, rejected.trace_id if rejected else None, after.why, chosen.problem_id,
                  before.chosen.trace_id, of.trace_id if of else None, buckets[before.chosen.trace_id],
                  chosen.completion_tokens)


def _chosen(spec: DatasetSpec, selector: Callable[..., Sequence[Pick]], kept: list[Candidate]) -> Sequence[Pick]:
    try:
        return selector(kept)
    except ValueError as error:
        raise UserError(f"the selector '{spec.selector.plugin}': {error}") from error


def _refuse_strangers(spec: DatasetSpec, kept: Mapping[str, Candidate], picks: Iterable[Pick]) -> None:
    """A private selector is anybody's code: what it gives back is looked at before it is used."""
    for side in (side for pick in picks for side in cuts.sides(pick)):
        if side.trace_id not in kept:
            raise UserError(f"the selector '{spec.selector.plugin}' used a trace that it was not given: it has to pick "
                            "among its candidates")
        if side.status == "undecided" and not cuts.is_cut(side, kept[side.trace_id]):
            raise UserError(f"the selector '{spec.selector.plugin}' used an undecided trace: that is never trained on")


# -- what is noted ---------------------------------------------------------------------------------------------------


def _note(run: Run, spec: DatasetSpec, selection: str, picked: Sequence[Picked], reasons: Mapping[str, str],
          cursor: Any) -> tuple[int, int]:
    """Append the picks, and a drop for every trace that is in none of them; returns how many of each."""
    used = {trace for one in picked for trace in (one.of, one.rejected_of)}
    dropped = cursor.execute("SELECT trace_id, dropped FROM candidates ORDER BY trace_id")
    blocks = iter(lambda: dropped.fetchmany(PART), [])
    otherwise = f"not chosen by {spec.selector.plugin}"
    drops = (_drop_row(run, spec, selection, trace, rule or reasons.get(trace, otherwise))
             for block in blocks for trace, rule in block if trace not in used)
    picks = (_pick_row(run, spec, selection, one) for one in picked)
    return _append(run.lake, "picks", selection, picks), _append(run.lake, "drops", selection, drops)


def _append(lake: Lake, table: str, selection: str, rows: Iterator[dict[str, Any]]) -> int:
    """In parts, but for the rows that a run which crashed here has left; returns how many there are now."""
    have = {row[0] for row in lake.sql(f"SELECT id FROM {table} WHERE selection = $1", [selection]).fetchall()}
    count = 0
    while part := list(islice(rows, PART)):
        lake.append(table, [row for row in part if row["id"] not in have])
        count += len(part)
    return count


def _pick_row(run: Run, spec: DatasetSpec, selection: str, one: Picked) -> dict[str, Any]:
    return dict(id=content_id("pick", selection, one.chosen, one.rejected), selection=selection, run_id=run.id,
                dataset=spec.name, problem_id=one.problem_id, chosen=one.chosen, rejected=one.rejected, why=one.why)


def _drop_row(run: Run, spec: DatasetSpec, selection: str, trace_id: str, reason: str) -> dict[str, Any]:
    return dict(id=content_id("drop", selection, trace_id), selection=selection, run_id=run.id, dataset=spec.name,
                trace_id=trace_id, reason=reason)
