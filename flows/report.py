"""What a run made, from the lake alone: funnel, drops by reason, datasets, accuracies, times; as text and as PNG."""

import json
from pathlib import Path
from typing import Any

from factory import training_records
from factory.lake import Lake
from factory.plugins import did_you_mean
from factory.protocols import UserError
from flows import accuracy

Rows = list[dict[str, Any]]


def latest_run(lake: Lake, name: str | None) -> dict[str, Any]:
    """The run of that name (or of all) that was started last. Raises UserError listing the names there are."""
    rows = lake.rows("""SELECT r.* FROM runs r
        ORDER BY (SELECT max(s.started) FROM starts s WHERE s.run_id = r.id) DESC""")
    found = next((row for row in rows if name in (None, row["name"], row["id"])), None)
    if found is None:
        right = list(dict.fromkeys(row["name"] for row in rows))
        raise UserError(f"there is no run '{name or ''}' in {lake.folder}{did_you_mean(name or '', right)}")
    return found


def funnel(lake: Lake, run_id: str) -> list[tuple[str, int]]:
    """(step, count): asked -> answered -> correct / wrong / undecided -> chosen for each dataset."""
    row = lake.rows("""
        WITH judged_traces AS (
            SELECT coalesce(v.status, 'not yet verified') AS status FROM run_traces t
            JOIN problems p ON p.id = t.problem_id
            LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier WHERE t.run_id = $1)
        SELECT (SELECT count(*) FROM members WHERE run_id = $1 AND part = 'train') AS problems,
               (SELECT count(*) FROM judged_traces) AS answered,
               (SELECT count(*) FROM judged_traces WHERE status = 'correct') AS correct,
               (SELECT count(*) FROM judged_traces WHERE status = 'wrong') AS wrong,
               (SELECT count(*) FROM judged_traces WHERE status = 'undecided') AS undecided,
               (SELECT count(*) FROM judged_traces WHERE status = 'not yet verified') AS unverified,
               (SELECT samples FROM runs WHERE id = $1 AND NOT contains(teacher, '"plugin":"recorded"')) AS samples
        """, [run_id])[0]
    asked = [("samples asked for", row["problems"] * row["samples"])] if row["samples"] else []  # of a file nothing is
    steps = [("problems", row["problems"]), *asked, ("traces answered", row["answered"]), ("correct", row["correct"]),
             ("wrong", row["wrong"]), ("undecided", row["undecided"]), ("not yet verified", row["unverified"])]
    return [step for step in steps if step[1] or step[0] != "not yet verified"] + [
        (f"rows in dataset '{d['name']}'", d["rows"]) for d in datasets(lake, run_id)]


def datasets(lake: Lake, run_id: str) -> Rows:
    return lake.rows("""SELECT id, name, rows, path, selection FROM datasets WHERE run_id = $1
        QUALIFY row_number() OVER (PARTITION BY name ORDER BY created DESC) = 1 ORDER BY created""", [run_id])


def drops(lake: Lake, run_id: str) -> Rows:
    """Traces not used, by dataset and reason, of the newest selections, and of the datasets written from them."""
    return lake.rows("""
        WITH newest AS (SELECT id FROM selections WHERE run_id = $1
            QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY created DESC) = 1
            UNION ALL (SELECT id FROM datasets WHERE run_id = $1
            QUALIFY row_number() OVER (PARTITION BY name ORDER BY created DESC) = 1))
        SELECT dataset, reason, count(*) AS traces FROM drops WHERE selection IN (SELECT id FROM newest)
        GROUP BY ALL ORDER BY dataset, traces DESC""", [run_id])


def timings(lake: Lake, run_id: str) -> Rows:
    return lake.rows("""SELECT stage, part, sum(seconds) AS seconds, sum(tokens) AS tokens, sum(rows) AS rows
        FROM timings WHERE run_id = $1 GROUP BY ALL ORDER BY min(created)""", [run_id])


def failures(lake: Lake, run_id: str) -> Rows:
    """Requests that brought no trace so far, by reason."""
    return lake.rows("""SELECT f.reason, count(DISTINCT f.trace_id) AS requests FROM failures f
        JOIN members m ON m.problem_id = f.problem_id AND m.run_id = $1
        WHERE f.trace_id NOT IN (SELECT id FROM traces) GROUP BY 1 ORDER BY 2 DESC""", [run_id])


def set_aside(lake: Lake, run_id: str) -> Rows:
    return lake.rows('SELECT "where", reason FROM set_aside WHERE run_id = $1 ORDER BY 1', [run_id])


def screened(lake: Lake, run_id: str) -> Rows:
    """stage, `items` (problems that were looked at), reason ("" where nothing was dropped) and how many it dropped."""
    return lake.rows(r"""
        WITH newest AS (SELECT id, stage, items FROM screenings WHERE run_id = $1 AND kind = 'problem'
            QUALIFY row_number() OVER (PARTITION BY stage ORDER BY created DESC) = 1)
        SELECT n.stage, n.items, coalesce(CASE WHEN starts_with(s.reason, 'contaminated')
                   THEN regexp_replace(s.reason, '^(.*) row [0-9]+: (.*)$', '\1: \2')
                   ELSE split_part(s.reason, ' of ', 1) END, '') AS reason, count(s.item) AS problems
        FROM newest n LEFT JOIN screened s ON s.screening = n.id
        GROUP BY ALL ORDER BY n.stage, problems DESC, reason""", [run_id])


# -- as text ---------------------------------------------------------------------------------------------------------


def text(lake: Lake, run: dict[str, Any]) -> str:
    """The whole report of a run."""
    run_id = run["id"]
    parts = [f"run {run['name']} ({run_id}), started {run['started']}", "", _funnel_text(funnel(lake, run_id))]
    parts += _section("problems kept out before they were asked", [_screened(r) for r in screened(lake, run_id)])
    parts += _section("dropped, by dataset and reason", [
        f"{r['dataset']}: {r['traces']:,} {r['reason']}" for r in drops(lake, run_id)])
    aside = set_aside(lake, run_id)
    parts += _section(f"problems set aside ({len(aside)})", [f"{r['where']}: {r['reason']}" for r in aside[:5]])
    parts += _section("requests without a trace", [f"{r['requests']:,} {r['reason']}" for r in failures(lake, run_id)])
    parts += _section("datasets", [
        f"{r['name']}: {r['rows']:,} rows in {lake.folder / r['path']}" for r in datasets(lake, run_id)])
    parts += _section("students", [_student(row) for row in students(lake, run_id)])
    for title, lines in accuracy.lines(lake, run_id):
        parts += _section(title, lines)
    parts += _section("time", [_time(r) for r in timings(lake, run_id)] + total(lake, run_id))
    parts += _section("throughput of the last start", [_throughput(r) for r in throughput(lake, run_id)])
    return "\n".join(parts)


def students(lake: Lake, run_id: str) -> Rows:
    """The newest training of each, in order, with its figures."""
    rows = lake.rows("""SELECT * FROM students WHERE run_id = $1
        QUALIFY row_number() OVER (PARTITION BY name ORDER BY created DESC) = 1 ORDER BY created""", [run_id])
    return [dict(row, figures=json.loads(row["figures"])) for row in rows]


def _student(row: dict[str, Any]) -> str:
    told = [*training_records.learnt(row["figures"]), *training_records.cost(row["figures"])]
    return f"{row['name']}: {row['plugin']}" + "".join(f", {part}" for part in told)


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _screened(row: dict[str, Any]) -> str:
    return f"{row['stage']}: {row['problems']:,} of {row['items']:,}" + (f", {row['reason']}" if row["reason"] else "")


def _funnel_text(steps: list[tuple[str, int]]) -> str:
    top = max((count for _, count in steps), default=0) or 1
    return "\n".join(f"  {name:<24}{count:>9,}  {'█' * round(40 * count / top)}" for name, count in steps)


def _time(row: dict[str, Any]) -> str:
    rate = f"  {row['tokens'] / row['seconds']:,.0f} tok/s" if row["tokens"] and row["seconds"] else ""
    return f"{row['stage'] + ', ' + row['part']:<36}{row['seconds']:>8.1f} s{rate}"


def total(lake: Lake, run_id: str) -> list[str]:
    return [_cost(row) for row in lake.rows("SELECT * FROM costs WHERE run_id = $1", [run_id])]


def _cost(row: dict[str, Any]) -> str:
    each = f", ${row['usd_per_trace']:.5f} a trace" if row["usd"] else ""
    each += f", ${row['usd_per_verified_trace']:.5f} a correct trace" if row["usd"] and row["verified"] else ""
    return (f"tokens bought {row['tokens']:,}, of them in correct traces {row['verified_tokens']:,}; "
            f"cost ${row['usd']:.2f}{each}")


def throughput(lake: Lake, run_id: str) -> Rows:
    """The newest row of each stage that asked a teacher."""
    return lake.rows("""SELECT * FROM throughput WHERE run_id = $1
        QUALIFY row_number() OVER (PARTITION BY stage ORDER BY created DESC) = 1 ORDER BY created""", [run_id])


def _throughput(row: dict[str, Any]) -> str:
    idle = "" if row["idle"] is None else f", engine idle {row['idle']:.0%}"
    return (f"{row['stage']}: {row['tokens_per_second']:,.0f} tok/s with {row['in_flight']:,.0f} in flight{idle}, "
            f"client {row['client_cpu']:.0%} of a core, tail {row['tail']:.1f} s of {row['seconds']:.1f} s")


# -- as a picture ----------------------------------------------------------------------------------------------------


def picture(lake: Lake, run: dict[str, Any], path: Path) -> Path:
    """Save a PNG with the funnel and the accuracies with their intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scores = accuracy.evaluations(lake, run["id"])
    figure, axes = pyplot.subplots(1, 2 if scores else 1, figsize=(12 if scores else 7, 4.2), squeeze=False)
    _draw_funnel(axes[0][0], funnel(lake, run["id"]), run["name"])
    if scores:
        _draw_scores(axes[0][1], scores)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def _draw_funnel(axis: Any, steps: list[tuple[str, int]], name: str) -> None:
    colours = {"correct": "#2a9d55", "wrong": "#c8553d", "undecided": "#999999"}
    labels, counts = [s[0] for s in steps], [s[1] for s in steps]
    bars = axis.barh(labels, counts, color=[colours.get(label, "#4472a8") for label in labels])
    axis.bar_label(bars, labels=[f"{c:,}" for c in counts], padding=3)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_title(f"{name}: from problems to datasets")
    axis.spines[["top", "right"]].set_visible(False)


def _draw_scores(axis: Any, scores: Rows) -> None:
    values = [100 * s["pass_at_1"] for s in scores]
    errors = [[100 * (s["pass_at_1"] - s["low"]) for s in scores], [100 * (s["high"] - s["pass_at_1"]) for s in scores]]
    axis.bar([s["model"] for s in scores], values, yerr=errors, capsize=6, color="#4472a8")
    for index, value in enumerate(values):
        axis.text(index - 0.05, value + 1, f"{value:.1f} %", ha="right")
    axis.set_ylim(0, max(100 * s["high"] for s in scores) * 1.25 + 1)
    axis.set_ylabel("pass@1 in %, 95 % interval")
    axis.set_title(f"held-out problems ({scores[0]['problems']:,})")
    axis.spines[["top", "right"]].set_visible(False)
