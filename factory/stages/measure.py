"""traces -> measurements: every measure of the recipe for every trace of the run that lacks it.

A measure's parameters and version are part of the row's id, so a changed parameter computes anew and old values stay
(a model among them counts by its digest, wherever it lies).
All measures are asked about one batch of traces before the next batch is: they share much of what they read out of it,
and each is quicker while nothing else has the processor's caches. A module of measures may have `prepare(texts)`, which
is called with the prompts and raw texts of the traces that come next, and `run_ahead(pairs, **params)`, which is called
once with all that it will be asked about: what it does takes long.
"""

import gc
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from factory import plugins
from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import Plugin
from factory.records import Completion, Problem, Request, Trace, canonical, content_id
from factory.run import Run

BATCH = 1 << 18
"""Characters that are prepared together: so many that calls cost little, and so few that their arrays stay cached."""

Pair = tuple[Problem, Trace]
Key = tuple[str, str, int]
"""A measure's name, its parameters as JSON, its version."""

NOTHING: Mapping[Key, Collection[str]] = {}


def shards(run: Run) -> list[list[str]]:
    """Trace ids that lack one of the measures, in shards of `tasks.shard`."""
    found: set[str] = set()
    for spec in run.recipe.measures:
        found |= {row[0] for row in run.lake.sql("""
            SELECT id FROM run_traces WHERE run_id = $1 AND id NOT IN (
                SELECT trace_id FROM measurements WHERE measure = $2 AND params = $3 AND version = $4)""",
            [run.id, *key(spec)]).fetchall()}
    ordered, size = sorted(found), run.recipe.tasks.shard
    return [ordered[i:i + size] for i in range(0, len(ordered), size)]


def work(lake: Lake, ids: Sequence[str], measures: Sequence[Plugin]) -> int:
    """Measure one shard and append what was lacking; returns how many numbers."""
    rows = lake.rows("""SELECT t.*, p.prompt, p.reference, p.verifier, p.source, p.domain, p.split, p.licence, p.meta
        FROM traces t JOIN problems p ON p.id = t.problem_id WHERE t.id IN (SELECT unnest($1)) ORDER BY t.id""",
        [list(ids)])
    found = measured([(_problem(row), _trace(row)) for row in rows], measures, _there(lake, ids))
    return lake.append_new("measurements", [
        dict(id=content_id("measurement", trace, *key), trace_id=trace, measure=key[0], params=key[1], version=key[2],
             value=value) for key, values in found.items() for trace, value in values.items()])


def _there(lake: Lake, ids: Sequence[str]) -> dict[Key, set[str]]:
    """Which of the traces have a value of each measure."""
    there: dict[Key, set[str]] = {}
    for trace, *key in lake.sql("""SELECT trace_id, measure, params, version FROM measurements
            WHERE trace_id IN (SELECT unnest($1))""", [list(ids)]).fetchall():
        there.setdefault(tuple(key), set()).add(trace)
    return there


def measured(pairs: Sequence[Pair], measures: Sequence[Plugin], there: Mapping[Key, Collection[str]] = NOTHING
             ) -> dict[Key, dict[str, float | None]]:
    """The value of each measure by the trace's id, but for those that are `there`; None, said aloud, where it fails.

    Raises UserError when a measure fails on every trace.
    """
    asked = [_Asked(spec, there.get(key(spec), ())) for spec in measures]
    for one in asked:
        one.run_ahead(pairs)
    with _old_kept():
        for batch in _prepared(pairs, measures):
            named = [(trace.id, problem, trace) for problem, trace in batch]
            for one in asked:
                one.ask(named)
    for one in asked:
        one.report()
    return {key(one.spec): one.values for one in asked}


@contextmanager
def _old_kept() -> Iterator[None]:
    """What is in memory now, all the traces, is not searched for garbage again and again."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _prepared(pairs: Sequence[Pair], measures: Sequence[Plugin]) -> Iterator[Sequence[Pair]]:
    """The traces in batches, each of which the measures that want it have seen."""
    modules = [plugins.module("measure", spec.plugin) for spec in measures]
    prepares = {module.prepare for module in modules if hasattr(module, "prepare")}
    first = size = 0
    for behind, (_, trace) in enumerate(pairs, 1):
        size += len(trace.completion.raw)
        if size >= BATCH or behind == len(pairs):
            batch = pairs[first:behind]
            for prepare in prepares:
                prepare(list(dict.fromkeys(text for p, t in batch for text in (p.prompt, t.completion.raw))))
            yield batch
            first, size = behind, 0


class _Asked:
    """A measure at work: what it said of which trace, and what went wrong."""

    def __init__(self, spec: Plugin, there: Collection[str]) -> None:
        self.spec, self.there = spec, there
        self._function: Callable[[Problem, Trace], float] = plugins.bind("measure", spec.plugin, spec.params)
        self.values: dict[str, float | None] = {}
        self._faults: list[str] = []

    def run_ahead(self, pairs: Sequence[Pair]) -> None:
        ahead = getattr(plugins.module("measure", self.spec.plugin), "run_ahead", None)
        if ahead and (owed := [(problem, trace) for problem, trace in pairs if trace.id not in self.there]):
            ahead(owed, **self.spec.params)

    def ask(self, named: Iterable[tuple[str, Problem, Trace]]) -> None:
        function, values, there = self._function, self.values, self.there
        for of, problem, trace in named:
            if of in there:
                continue
            try:
                values[of] = value = float(function(problem, trace))
                if value != value:
                    raise ValueError("it gave NaN, which is not a value")
            except Exception as error:  # a measure is anybody's code: one trace must not stop the others
                values[of] = None
                self._faults.append(f"{type(error).__name__}: {error}")

    def report(self) -> None:
        name = self.spec.plugin
        if self._faults and len(self._faults) == len(self.values):
            raise UserError(f"the measure '{name}' fails on every trace, the last with: {self._faults[-1]}; mend it or "
                            "its parameters, or remove it from the recipe")
        if self._faults:
            print(f"the measure '{name}' fails on {len(self._faults)} of {len(self.values)} traces, which have no "
                  f"value and pass no rule on it; the last with: {self._faults[-1]}", file=sys.stderr)


def key(spec: Plugin) -> Key:
    """What a measure's values are known by in the table."""
    identity = plugins.identity("measure", spec.plugin, spec.params)
    return spec.plugin, canonical(identity), plugins.version("measure", spec.plugin)


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(**{name: row[name] for name in Problem.__dataclass_fields__})


def _trace(row: dict[str, Any]) -> Trace:
    request = Request(**{name: row[name] for name in Request.__dataclass_fields__})
    completion = Completion(**{name: row[name] for name in Completion.__dataclass_fields__ if name in row})
    return Trace(request, completion, row["seconds"] or 0.0, row["cost"] or 0.0, row["round"] or 0)
