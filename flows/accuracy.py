"""What evaluations say, from the lake alone, in words: each figure with its interval and how it was asked, and no gain
without the word whether it is significant. As text; `html_report` has the tables, `curves` the picture.
"""

import textwrap
from typing import Any

from factory.lake import Lake
from factory.metrics import Paired
from factory.stages.evaluate import TOO_EASY

Rows = list[dict[str, Any]]
WIDTH = 110
"""Characters of a line."""

CHOICES = {"pass": "one of k is right", "consensus": "the answer of most", "weighted": "most by score",
           "best": "the highest score", "bayes_risk": "most like the others"}
"""What is done with k samples, in words."""


def evaluations(lake: Lake, run_id: str) -> Rows:
    """The newest of each model, in order."""
    return lake.rows("""SELECT * FROM evaluations WHERE run_id = $1
        QUALIFY row_number() OVER (PARTITION BY model ORDER BY created DESC) = 1 ORDER BY created""", [run_id])


def scores(lake: Lake, evaluations: Rows, part: str = "held-out") -> Rows:
    """What else these evaluations tell, in the order of their models; of a point that was told twice the newest."""
    ids = [row["id"] for row in evaluations]
    return lake.rows("""SELECT * FROM scores WHERE evaluation IN (SELECT unnest($1)) AND part = $2
        QUALIFY row_number() OVER (PARTITION BY evaluation, metric, k, slice, against, budget ORDER BY created DESC) = 1
        ORDER BY list_position($1, evaluation), metric, budget, k, regexp_replace(slice, '[0-9].*', ''),
            try_cast(regexp_extract(slice, '[0-9.]+') AS DOUBLE), slice""", [ids, part])


def significant(row: dict[str, Any]) -> bool:
    """Of a row with `value`, `low`, `high` and `p`; a change whose p nobody has noted is none to claim."""
    return Paired(row["value"], row["low"], row["high"], 1.0 if row["p"] is None else row["p"], 0, 0).significant


def verdict(row: dict[str, Any]) -> str:
    """The word that no change may be without."""
    return "significant" if significant(row) else "not significant"


# -- sentences -------------------------------------------------------------------------------------------------------


def lines(lake: Lake, run_id: str) -> list[tuple[str, list[str]]]:
    """Sections: a title and its lines."""
    found = evaluations(lake, run_id)
    told = scores(lake, found)
    return [("accuracy on held-out problems (pass@1, 95 % interval)",
             [*map(_score, found), *notes(found), *grids(told), *map(comparison, _between_students(told, found))]),
            ("with k samples (95 % interval)", [choice(row) for row in most(told)]),
            ("accuracy by difficulty and source", _by_slice(told)),
            ("what the surest answers risk", _risks(told)),
            ("test-time curves (95 % interval)", _curves(curve(lake, found)))]


def _score(row: dict[str, Any]) -> str:
    line = f"{row['model']:<16} {row['pass_at_1']:6.1%}  {_interval(row)}"
    if row["gain"] is not None:
        gain = dict(value=row["gain"], low=row["gain_low"], high=row["gain_high"], p=row["gain_p"])
        line += f"   {row['gain']:+.1%} {_change(gain)} against the base{_word(gain)}"
    return f"{line}   ({row['problems']:,} problems × {row['samples']}, {row['undecided']} undecided)"


def _interval(row: dict[str, Any]) -> str:
    return f"[{row['low']:.1%}, {row['high']:.1%}]"


def _change(row: dict[str, Any]) -> str:
    return f"[{row['low']:+.1%}, {row['high']:+.1%}]"


def _word(gain: dict[str, Any]) -> str:
    return "" if significant(gain) else f", not significant (p {gain['p']:.2g})" if gain["p"] is not None else (
        ", not significant")


def notes(found: Rows) -> list[str]:
    """How it was asked, what was met in training, and whether the base leaves room for a gain."""
    asked = list(dict.fromkeys(how(row) for row in found))
    one = len(asked) == 1
    told = [f"asked with {asked[0]}"] if one else [f"{row['model']}: asked with {how(row)}" for row in found]
    told += [met(row) for row in found if row["contaminated"] is not None]
    easy = [row for row in found[:1] if row["pass_at_1"] > TOO_EASY]
    return told + [f"warning: {row['model']} solves {row['pass_at_1']:.1%} before any training, so these problems can "
                   "hardly show a gain: take harder ones" for row in easy]


def how(row: dict[str, Any]) -> str:
    """Temperature, top_p, most tokens and the budget of thinking, of any row of `evaluations` or `scores`."""
    def told(name: str) -> str:
        return "the server's" if row[name] is None else f"{row[name]:g}"
    size = row["max_tokens"]
    most = "as many tokens as the context holds" if size is None else f"{size:,} tokens at most"
    budget = "no budget of thinking tokens" if row["budget"] is None else f"{row['budget']:,} thinking tokens at most"
    return f"temperature {told('temperature')}, top_p {told('top_p')}, {most}, {budget}"


def met(row: dict[str, Any]) -> str:
    """What a student has met of the held-out problems in training."""
    clean = "" if row["clean_pass_at_1"] is None or not row["contaminated"] else (
        f"; of the others it solves {row['clean_pass_at_1']:.1%}")
    return (f"{row['model']}: {row['contaminated']:,} of {row['problems']:,} problems share words in a row with what "
            f"it was trained on{clean}")


def grids(told: Rows) -> list[str]:
    """How much of the puzzles is right that are right only as a whole."""
    return [f"{row['model']}: {row['value']:.1%} {_interval(row)} of the cells of {row['n']:,} grids are right"
            for row in told if row["metric"] == "cells" and not row["slice"]]


def _between_students(told: Rows, found: Rows) -> Rows:
    """Comparisons with a model that is not the first: that one stands beside the score."""
    first = found[0]["model"] if found else ""
    return [row for row in told if row["metric"] == "gain" and not row["slice"] and row["against"] != first]


def comparison(row: dict[str, Any]) -> str:
    """Two models on the same problems."""
    return (f"{row['model']} against {row['against']}: {row['value']:+.1%} {_change(row)}, p = {row['p']:.2g}: "
            f"{verdict(row)}")


def most(told: Rows) -> Rows:
    """Each way to choose at the largest k, where that is more than one."""
    largest = max((row["k"] for row in told if row["metric"] == "pass"), default=1)
    return [row for row in told if row["metric"] in CHOICES and row["k"] == largest > 1 and not row["slice"]]


def choice(row: dict[str, Any]) -> str:
    by = f" by {row['by']}" if row["by"] else ""
    return (f"{row['model']:<16} {row['metric'] + '@' + str(row['k']):<14} {row['value']:6.1%}  {_interval(row)}   "
            f"{CHOICES[row['metric']]}{by}, {row['tokens']:,.0f} tokens a problem")


def _by_slice(told: Rows) -> list[str]:
    """The slices of a kind one after the other, in lines of a screen's width that break between them."""
    rows = [row for row in told if row["metric"] == "pass" and row["slice"]]
    kinds = dict.fromkeys((row["model"], row["slice"].split()[0]) for row in rows)
    lines = []
    for model, kind in kinds:
        mine = [f"{row['slice']}: {row['value']:.1%} {_interval(row)} of {row['n']:,}" for row in rows
                if (row["model"], row["slice"].split()[0]) == (model, kind)]
        one = ", ".join(part.replace(" ", "\u00a0") for part in mine)
        wrapped = textwrap.wrap(one, WIDTH - 17, break_long_words=False, break_on_hyphens=False)
        lines += [f"{name:<16} {line}".replace("\u00a0", " ")
                  for name, line in zip([model, *[""] * len(wrapped)], wrapped, strict=False)]
    return lines


def _risks(told: Rows) -> list[str]:
    def of(model: str, metric: str, name: str) -> dict[str, Any]:
        return next(r for r in told if (r["model"], r["metric"], r["slice"]) == (model, metric, name))
    return [f"{row['model']:<16} by {row['by']}: wrong in {half['value']:.1%} {_interval(half)} of the surest half and "
            f"in {whole['value']:.1%} of all; area {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
            for row in told if row["metric"] == "aurc"
            for half, whole in [(of(row["model"], "risk", "coverage 50%"), of(row["model"], "risk", "coverage 100%"))]]


def curve(lake: Lake, found: Rows) -> Rows:
    """The points of the test-time curves: at budgets, and of choices among k."""
    return [row for row in scores(lake, found, "curve") if row["metric"] in CHOICES]


def _curves(points: Rows) -> list[str]:
    """A line for each way to spend more, and how it was asked."""
    def way(row: dict[str, Any]) -> tuple[str, str]:
        return row["model"], "thinking tokens" if row["budget"] is not None else f"{row['metric']}@"

    def at(row: dict[str, Any]) -> str:
        return f"{row['k'] if row['budget'] is None else row['budget']}: {row['value']:.1%} {_interval(row)}"
    lines = [f"{model:<16} {name} " + ", ".join(at(row) for row in points if way(row) == (model, name))
             for model, name in dict.fromkeys(way(row) for row in points)]
    return lines + list(dict.fromkeys(f"{row['n']:,} problems × {row['samples']} a point, asked with {how_at_all(row)}"
                                      for row in points))


def how_at_all(row: dict[str, Any]) -> str:
    """`how` without the budget, which is what a curve goes over."""
    return how({**row, "budget": None}).replace(", no budget of thinking tokens", "")
