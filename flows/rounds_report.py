"""What the rounds of a recipe brought, from the lake alone: data, scores with intervals, cost, and what the gate said;
as text, and as a plot of accuracy by round and by cumulative compute.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.lake import Lake
from factory.plugins import did_you_mean
from factory.protocols import UserError
from factory.stages.evaluate import TOO_EASY
from flows import accuracy

Row = dict[str, Any]


def latest(lake: Lake, name: str | None) -> list[Row]:
    """The rows of the loop of that name (or of all) that was written to last, in order. Raises UserError."""
    rows = lake.rows("SELECT * FROM rounds ORDER BY created DESC, round DESC, place DESC")
    found = next((row for row in rows if name in (None, row["name"], row["run_id"])), None)
    if found is None:
        right = list(dict.fromkeys(row["name"] for row in rows))
        raise UserError(f"no round of '{name}' has ended in {lake.folder}{did_you_mean(name, right)}" if name else
                        f"no round has ended in {lake.folder}: cot rounds run RECIPE holds them, and cot status shows "
                        "how far its runs are")
    mine = [row for row in rows if row["run_id"] == found["run_id"]]
    return sorted(mine, key=lambda row: (row["round"], row["place"], row["created"]))


# -- as text ---------------------------------------------------------------------------------------------------------


def text(rows: Sequence[Row]) -> str:
    """The whole report of a loop."""
    decided, last = _scored(rows), rows[-1]
    parts = [f"rounds of {last['name']} ({last['run_id']}){_how(decided)}", *(["", _HEAD] if decided else [])]
    for row in decided:
        parts += [_line(row), f"       {row['reason']}{_met(row)}"]
    parts += _section("on the test problems, which nobody was asked before the gate had decided", [
        f"round {row['round']}  {row['student']:<14}{_score(row, 'test_')}   ({row['test_problems']:,} problems"
        f"{_met(row, 'test_')})"
        for row in decided if row["promoted"]])
    parts += [f"warning: {row['student']} solves {row['score']:.1%} before any training, so these problems can hardly "
              "show a gain: take harder ones" for row in decided[:1] if row["score"] > TOO_EASY]
    parts += _section("the rest of the panel: change against the best so far", [
        line for row in decided for line in _panel(row)])
    parts += _section("data", [_data(row) for row in decided if row["data"]])
    parts += _section("cost", [*(_cost(row) for row in decided if row["data"]), _total(rows)])
    return "\n".join([*parts, *(["", f"the rounds end: {last['stopped']}"] if last["stopped"] else [])])


def _scored(rows: Sequence[Row]) -> list[Row]:
    """Those of students that were evaluated: none in a round that a budget ended, or that trained nobody."""
    return [row for row in rows if row["score"] is not None]


def _how(decided: Sequence[Row]) -> str:
    """n, samples, sampling and budget: what no score may be without."""
    if not decided:
        return ": no student has been evaluated yet"
    first = decided[0]
    asked = f", asked with {accuracy.how(json.loads(first['asked']))}" if first["asked"] else ""
    return (f": pass@1 as avg@{first['samples']} on {first['problems']:,} development problems, 95 % intervals{asked}")


_HEAD = f"round  {'student':<14}{'pass@1':<24}{'against the best so far':<30}{'distinct':>9}{'diversity':>10}"


def _line(row: Row) -> str:
    gain = "–" if row["gain"] is None else (
        f"{row['gain']:+.1%} [{row['gain_low']:+.1%}, {row['gain_high']:+.1%}] p {row['p']:.2g}")
    alike = "–" if row["diversity"] is None else f"{row['diversity']:.0%}"
    return f"{row['round']:>5}  {row['student']:<14}{_score(row):<24}{gain:<30}{row['distinct']:>9.2f}{alike:>10}"


def _score(row: Row, of: str = "") -> str:
    return f"{row[f'{of}score']:6.1%} [{row[f'{of}low']:.1%}, {row[f'{of}high']:.1%}]"


def _met(row: Row, of: str = "") -> str:
    """What the student has met of the problems in training; nothing is said of a model that was not trained here."""
    count = row[f"{of}contaminated"]
    return "" if count is None else f"; {count:,} of them share words in a row with its training data"


def _panel(row: Row) -> list[str]:
    return [f"round {row['round']}  {row['student']:<14}{one['name']:<14}{one['score']:6.1%}  {one['gain']:+.1%} "
            f"[{one['low']:+.1%}, {one['high']:+.1%}], {accuracy.verdict({**one, 'value': one['gain']})}  "
            f"({one['problems']:,} problems)" for one in json.loads(row["panel"] or "[]")]


def _data(row: Row) -> str:
    made = json.loads(row["data"])
    rows = ", ".join(f"{name} {count:,} rows" for name, count in made["rows"].items())
    return (f"{made['run']}: {made['problems']:,} problems, {made['traces']:,} traces, {made['correct']:,} correct, "
            f"{made['solved']:,} problems solved, {made['distinct']:,} distinct right ones; {rows}"
            + "".join(f"; reward model's AUROC {value:.3f} on prompts held out" for value in made["auroc"]))


def _cost(row: Row) -> str:
    return (f"{json.loads(row['data'])['run']}: {row['tokens']:,} tokens written, {row['trained_tokens']:,} trained "
            f"on, {row['seconds']:,.0f} s, ${row['usd']:.2f}")


def _total(rows: Sequence[Row]) -> str:
    def of(column: str) -> float:
        return sum(row[column] or 0 for row in rows)

    return (f"all: {of('tokens'):,.0f} tokens written for data, {of('evaluated_tokens'):,.0f} for evaluation, "
            f"{of('trained_tokens'):,.0f} trained on, {of('seconds'):,.0f} s, ${of('usd'):.2f}")


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


# -- as a picture ----------------------------------------------------------------------------------------------------


def compute(rows: Sequence[Row]) -> list[float]:
    """Millions of tokens up to each row, written for data and trained on."""
    total, found = 0.0, []
    for row in rows:
        total += ((row["tokens"] or 0) + (row["trained_tokens"] or 0)) / 1e6
        found.append(total)
    return found


def picture(rows: Sequence[Row], path: Path) -> Path:
    """Save a PNG: accuracy by round and by cumulative compute, with intervals; refused students are hollow, and have no
    score on the test. There has to be a row with a score."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    decided = _scored(rows)
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 4.4), sharey=True)
    spread = _spread([row["round"] for row in decided])
    _draw(axes[0], decided, spread, "round")
    axes[0].set_xticks(sorted({row["round"] for row in decided}))
    _draw(axes[1], decided, compute(decided), "million tokens written for data and trained on, up to there")
    axes[0].set_ylabel("pass@1 in %, 95 % interval")
    axes[0].legend(frameon=False, loc="lower right")
    figure.suptitle(f"{decided[0]['name']}: {decided[0]['problems']:,} development and "
                    f"{decided[0]['test_problems']:,} test problems, avg@{decided[0]['samples']}")
    if decided[0]["asked"]:
        axes[0].set_title(accuracy.how(json.loads(decided[0]["asked"])), fontsize=8, color="#555", loc="left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def _spread(rounds: Sequence[int]) -> list[float]:
    """Students of one round side by side."""
    return [number + 0.12 * (rounds[:i].count(number) - (rounds.count(number) - 1) / 2)
            for i, number in enumerate(rounds)]


def _draw(axis: Any, rows: Sequence[Row], places: Sequence[float], label: str) -> None:
    kept = [(place, row) for place, row in zip(places, rows, strict=True) if row["promoted"]]
    for of, colour, name in (("", "#4472a8", "development"), ("test_", "#999999", "test")):
        axis.plot([p for p, _ in kept], [100 * row[f"{of}score"] for _, row in kept], color=colour, lw=1, label=name)
        for place, row in [(p, row) for p, row in zip(places, rows, strict=True) if row[f"{of}score"] is not None]:
            score, low, high = (100 * row[f"{of}{key}"] for key in ("score", "low", "high"))
            axis.errorbar([place], [score], [[score - low], [high - score]], fmt="o", capsize=4, color=colour,
                          mfc=colour if row["promoted"] else "white")
    for place, row in zip(places, rows, strict=True):
        top = 100 * max(row["high"], row["test_high"] or 0)
        axis.annotate(row["student"], (place, top), xytext=(0, 5), textcoords="offset points",
                      ha="center", fontsize=8, color="#4472a8" if row["promoted"] else "#c8553d")
    axis.set_xlabel(label)
    axis.margins(x=0.12, y=0.18)
    axis.spines[["top", "right"]].set_visible(False)
