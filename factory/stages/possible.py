"""Can the rules of a recipe be true at all? Found before anything is bought.

DuckDB decides: of a table that holds the least and the greatest value of each column its optimizer knows the bounds,
and a condition that nothing between them can fulfil is planned as an empty result. Of texts nothing is known, but for
the few that have fixed words. A rule that it cannot refute counts as possible.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from factory.lake import Lake, QueryError
from factory.plugins import did_you_mean
from factory.protocols import UserError
from factory.recipe import Recipe
from factory.stages.choose import COLUMNS
from verifiers.verdict import Grade

FINISH = ("stop", "length", "content_filter", "tool_calls", "function_call", "abort", "error", "eos_token",
          "stop_sequence", "end_turn", "max_tokens", "")
"""What servers say of the end of an answer; a file of recorded traces may say anything."""

WORDS = {"status": ("correct", "wrong"), "band": ("never", "hard", "medium", "easy", "always"),
         "grade": tuple(grade for grade in get_args(Grade) if grade != "in_process"), "finish_reason": FINISH}
"""Those of traces that get as far as the rules."""

HUGE = 2.0**62
BOUNDS = {"prompt_tokens": (0, HUGE), "completion_tokens": (0, HUGE), "thinking_tokens": (0, HUGE), "sample": (0, HUGE),
          "seconds": (0, HUGE), "answer_entropy": (0, HUGE), "pass_rate": (0, 1), "mean_logprob": (-HUGE, 0),
          "min_logprob": (-HUGE, 0)}
SIGNED = ("log_probability", "reward")
"""Of the measures that ship only these may be below 0."""


def check(lake: Lake, recipe: Recipe) -> None:
    """Raises UserError for a rule that can never be true, or not together with those before it. They are valid SQL."""
    with _table(lake, recipe) as cursor:
        before: dict[str, str] = {}
        for name, rule in recipe.rules.items():
            if _empty(cursor, [rule]):
                raise UserError(f"the rule '{name}' ({rule}) can never be true and would drop every trace"
                                f"{_unknown_word(recipe, rule) or ': mend it, or remove it'}")
            if _empty(cursor, [*before.values(), rule]):
                other = next((f"'{n}' ({r})" for n, r in before.items() if _empty(cursor, [r, rule])),
                             "those before it")
                raise UserError(f"the rule '{name}' ({rule}) can never be true together with {other}, so they would "
                                "drop every trace: mend one of them")
            before[name] = rule


def statuses(lake: Lake, recipe: Recipe) -> list[str]:
    """Which verdicts the rules let pass."""
    with _table(lake, recipe) as cursor:
        return [word for word in WORDS["status"] if not _empty(cursor, [*recipe.rules.values(), f"status = '{word}'"])]


@contextlib.contextmanager
def _table(lake: Lake, recipe: Recipe) -> Iterator[Any]:
    """A cursor with `possible`: the extremes of every column that a rule may name, and NULL."""
    bounds = {**BOUNDS, **{m.column: _bounds_of(m.plugin) for m in recipe.measures}}
    words = {name: [word for word in all_words if not (name == "finish_reason" and word == "length"
                                                       and recipe.generate.truncation.policy == "drop")]
             for name, all_words in WORDS.items() if not (name == "finish_reason"
                                                          and recipe.teacher.plugin == "recorded")}
    columns = [*(f'"{name}" DOUBLE' for name in bounds), "guessable BOOLEAN",
               *(f"{name} ENUM ({', '.join(map(repr, known))})" for name, known in words.items())]
    low = [*(low for low, _ in bounds.values()), False, *(known[0] for known in words.values())]
    high = [*(high for _, high in bounds.values()), True, *(known[-1] for known in words.values())]
    # Of a text that is made anew for each row the optimizer knows nothing.
    texts = ", ".join(f"uuid()::VARCHAR || repeat('x', (random() * 9)::INT) AS {name}" for name in COLUMNS
                      if name not in {*bounds, *words, "guessable"})
    with contextlib.closing(lake.connect()) as cursor:
        cursor.execute(f"CREATE TEMP TABLE extremes ({', '.join(columns)})")
        cursor.executemany(f"INSERT INTO extremes VALUES ({', '.join('?' * len(low))})",
                           [low, high, [None] * len(low)])
        cursor.execute(f"CREATE TEMP VIEW possible AS SELECT *, {texts} FROM extremes")
        yield cursor


def _bounds_of(measure: str) -> tuple[float, float]:
    return (-HUGE if "." in measure or measure in SIGNED else 0, HUGE)


def _empty(cursor: Any, rules: Sequence[str]) -> bool:
    conditions = " AND ".join(f"({rule})" for rule in rules)
    try:
        plan = cursor.execute(f"EXPLAIN (FORMAT json) SELECT * FROM possible WHERE {conditions}").fetchall()[0][1]
    except QueryError:  # the rules are valid, so it is these stand-ins that do not fit
        return False
    return bool(json.loads(plan)[0]["name"] == "EMPTY_RESULT")


def _unknown_word(recipe: Recipe, rule: str) -> str:
    """What is never said of a column that the rule names, if that is the reason."""
    said = re.findall(r"'((?:[^']|'')*)'", rule)
    for name, known in WORDS.items():
        if re.search(rf"\b{name}\b", rule) and (wrong := [word for word in said if word not in known]):
            return f": no {name} is '{wrong[0]}'{did_you_mean(wrong[0], [word for word in known if word])}"
    return ""
