"""The two curves that made o1 famous, for the user's own student: accuracy against thinking tokens and against samples,
and both at equal tokens. One PNG a model, with 95 % intervals.
"""

from pathlib import Path
from typing import Any

from factory.lake import Lake
from flows import accuracy

Rows = list[dict[str, Any]]
LABELS = {"pass": "pass@k (oracle)", "consensus": "consensus@k", "best": "best of k", "weighted": "weighted vote",
          "bayes_risk": "minimum Bayes risk"}
COLOURS = {"budget": "#c8553d", "pass": "#8a8f98", "consensus": "#2f6fb0", "best": "#2a9d55", "weighted": "#8a5fb0",
           "bayes_risk": "#c09a2b"}
MARKS = {"budget": "s", "pass": "v", "consensus": "o", "best": "^", "weighted": "D", "bayes_risk": "x"}


def pictures(lake: Lake, run: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the curves of each model that has some; returns the files."""
    found = accuracy.evaluations(lake, run["id"])
    points = accuracy.curve(lake, found)
    made = []
    for number, model in enumerate(dict.fromkeys(row["model"] for row in points), 1):
        path = folder / f"{run['name']}-curves-{number}.png"
        mine = [row for row in points if row["model"] == model]
        made.append(draw(mine, f"{model}: accuracy against test-time compute", path))
    return made


def draw(points: Rows, title: str, path: Path) -> Path:
    """`points`: rows of `scores`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    budgets = sorted((row for row in points if row["budget"] is not None), key=lambda row: float(row["thinking"] or 0))
    by_k = {metric: [row for row in points if row["budget"] is None and row["metric"] == metric] for metric in LABELS}
    by_k = {metric: rows for metric, rows in by_k.items() if rows}
    panels = [panel for panel, there in (("budgets", budgets), ("k", by_k), ("tokens", budgets and by_k)) if there]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.2 * len(panels), 4.6), squeeze=False, sharey=True)
    for axis, panel in zip(axes[0], panels, strict=True):
        if panel != "k":
            key = "thinking" if panel == "budgets" else "tokens"
            _line(axis, [(row[key] or row["budget"], row) for row in budgets], "budget", "budget of thinking")
        for metric, rows in by_k.items() if panel != "budgets" else ():
            _line(axis, [(row["k" if panel == "k" else "tokens"], row) for row in rows], metric, LABELS[metric])
        _dress(axis, panel, [row["k"] for rows in by_k.values() for row in rows] if panel == "k" else [])
    axes[0][0].set_ylim(0, min(104, 1 + 108 * max(row["high"] for row in points)))
    axes[0][0].set_ylabel("accuracy in %, 95 % interval")
    figure.suptitle(title)
    figure.text(0.5, 0.005, _caption(points), ha="center", fontsize=8, color="#555")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def _line(axis: Any, points: list[tuple[float, dict[str, Any]]], kind: str, label: str) -> None:
    values = [100 * row["value"] for _, row in points]
    errors = [[100 * (row["value"] - row["low"]) for _, row in points],
              [100 * (row["high"] - row["value"]) for _, row in points]]
    axis.errorbar([x for x, _ in points], values, yerr=errors, capsize=3, marker=MARKS[kind], markersize=5,
                  color=COLOURS[kind], label=label, linewidth=1.6, elinewidth=1)


def _dress(axis: Any, panel: str, ks: list[int]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(ScalarFormatter())
    if ks:
        axis.xaxis.set_major_locator(FixedLocator(sorted(set(ks))))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel({"budgets": "thinking tokens of an answer (mean)", "k": "k samples",
                     "tokens": "tokens a problem, all samples together"}[panel])
    axis.set_title({"budgets": "longer thinking", "k": "more samples", "tokens": "both at equal tokens"}[panel])
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False)


def _caption(points: Rows) -> str:
    """n, samples and sampling: what no curve may be without."""
    row = points[0]
    return f"{row['n']:,} problems × {row['samples']} samples a point; {accuracy.how_at_all(row)}"
