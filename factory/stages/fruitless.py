"""Is anything that is bought of use? Rules that drop all that is there stop a run before more is spent.

A rule over problems alone is asked of all problems before the first one is asked; the others once enough traces have a
verdict. What only all samples of a problem can tell, and how many of them are right, is no reason to stop.
"""

import re
from typing import Any

from factory.lake import QueryError
from factory.protocols import UserError
from factory.recipe import Generate, Recipe
from factory.run import Run
from factory.stages import measure
from factory.stages.choose import COLUMNS, candidates_sql, uncomputable

OF_PROBLEMS = ("problem_id", "prompt", "source", "domain", "split", "licence", "meta", "verifier")
NOT_YET = ("status", "answer", "pass_rate", "band", "answer_entropy", "guessable")
SLOW = ("reward", "process_reward", "execution")
"""Measures that are not taken while the teacher writes: they run models and programs."""
LONG = ("prompt", "raw", "thinking", "response", "meta", "trace_id", "problem_id")
"""Columns whose values say nothing in a sentence."""
MOST = 1000
"""So many traces are looked at."""


def enough(options: Generate) -> int:
    """Verdicts after which the rules are asked."""
    return 4 * options.abort_after


def check(run: Run) -> None:
    """Raises UserError, before anything is asked, when the rules drop every problem, or every trace that is there."""
    for name, rule in _rules(run.recipe).items():
        try:
            passes = run.lake.value(f"""SELECT bool_or(coalesce(({rule}), false)) FROM (
                SELECT p.id AS problem_id, {', '.join(OF_PROBLEMS[1:])} FROM members m JOIN problems p
                ON p.id = m.problem_id WHERE m.run_id = $1 AND m.part = 'train')""", [run.id])
        except QueryError:  # it is over traces too
            continue
        if passes is False:
            raise UserError(f"the rule '{name}' ({rule}) drops every problem ({_seen(run, rule, _PROBLEMS)}), so "
                            "nothing is asked: mend or remove it and run the same command again")
    check_traces(run)


def check_traces(run: Run) -> None:
    """Raises UserError when the rules drop every trace that has a verdict, and there are enough of them."""
    rules = {name: rule for name, rule in _rules(run.recipe).items() if _asks_now(run.recipe, rule)}
    ids = _verified(run) if rules else []
    if len(ids) < enough(run.recipe.generate):
        return
    named = [spec for spec in run.recipe.measures if any(_names(rule, spec.column) for rule in rules.values())]
    measure.work(run.lake, ids, named)
    among = _among(run, ids)
    passing = [f"count(*) FILTER (coalesce(({rule}), false))" for rule in rules.values()]
    try:
        whole, *counts = run.lake.sql(f"""SELECT count(*) FILTER ({' AND '.join(
            f'coalesce(({rule}), false)' for rule in rules.values())}), {', '.join(passing)} FROM ({among})""",
            [run.id]).fetchone() or [1]
    except QueryError as error:
        raise uncomputable(error) from error
    if not whole:
        raise UserError(_told(run, dict(zip(rules, counts, strict=True)), among, len(ids)))


def _told(run: Run, counts: dict[str, int], among: str, traces: int) -> str:
    worst = sorted(counts, key=lambda name: counts[name])
    worst = worst[:1] if not counts[worst[0]] else worst[:2]
    rules = " and ".join(f"'{name}' ({run.recipe.rules[name]})" for name in worst)
    seen = ", ".join(filter(None, (_seen(run, run.recipe.rules[name], among) for name in worst)))
    return (f"the rule{'s' * (len(worst) > 1)} {rules} {'drop' if len(worst) > 1 else 'drops'} all of the first "
            f"{traces} verified traces{f' ({seen})' if seen else ''}, so no more are asked for and what is bought is "
            "kept: loosen or remove what drops them and run the same command again, or raise generate.abort_after "
            f"(now {run.recipe.generate.abort_after}; four times as many traces are waited for) if what you want is "
            "that rare")


def _rules(recipe: Recipe) -> dict[str, str]:
    """Those of what is to become a dataset."""
    return recipe.rules if recipe.datasets else {}


def _asks_now(recipe: Recipe, rule: str) -> bool:
    slow = [spec.column for spec in recipe.measures if spec.plugin in SLOW]
    return not any(_names(rule, column) for column in (*NOT_YET, *slow))


def _names(rule: str, column: str) -> bool:
    return re.search(rf"\b{re.escape(column)}\b", rule, re.IGNORECASE) is not None


def _verified(run: Run) -> list[str]:
    return [row[0] for row in run.lake.sql(f"""SELECT t.id FROM run_traces t JOIN problems p ON p.id = t.problem_id
        JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
        WHERE t.run_id = $1 AND v.status != 'undecided' ORDER BY 1 LIMIT {MOST}""", [run.id]).fetchall()]


def _among(run: Run, ids: list[str]) -> str:
    named = ", ".join(f"'{name}'" for name in ids)
    return candidates_sql(run.recipe, f"(SELECT * FROM run_traces WHERE id IN ({named}))")


_PROBLEMS = """SELECT p.* FROM members m JOIN problems p ON p.id = m.problem_id
    WHERE m.run_id = $1 AND m.part = 'train'"""


def _seen(run: Run, rule: str, among: str) -> str:
    """The values of the columns that the rule names."""
    columns = [name for name in (*COLUMNS, *(spec.column for spec in run.recipe.measures))
               if name not in LONG and _names(rule, name)]
    return ", ".join(f"{name} is {_range(run, name, among)}" for name in columns)


def _range(run: Run, column: str, among: str) -> str:
    values: list[Any] = [row[0] for row in run.lake.sql(
        f'SELECT DISTINCT "{column}" FROM ({among}) ORDER BY 1', [run.id]).fetchall()]
    known = [value for value in values if value is not None]
    if not known:
        return "nowhere known"
    if isinstance(known[0], float | int) and len(known) > 1:
        return f"{known[0]:g} to {known[-1]:g}"
    return ", ".join(repr(value) if isinstance(value, str) else f"{value:g}" for value in known[:4]) + (
        " …" if len(known) > 4 else "")
