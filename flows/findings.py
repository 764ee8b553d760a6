"""What the traces of a run look like: figures for the page of `cot report`, each one query over the lake."""

import re
from typing import Any

from factory.lake import Lake
from factory.stages.audit import wilson

Rows = list[dict[str, Any]]

BANDS = (("hard", 0.0, 1 / 3), ("medium", 1 / 3, 2 / 3), ("easy", 2 / 3, 1.0))
"""Problems by the share of their traces that are correct. Always or never solved ones say nothing about length."""

QUARTERS = ("shortest quarter", "second", "third", "longest quarter")
EXAMPLES = 3

_JUDGED = """
    judged_traces AS (
        SELECT t.id, t.problem_id, LENGTH AS size,
               coalesce(v.status, 'not yet verified') AS status,
               v.answer, p.source, p.domain, p.verifier, coalesce(p.meta->>'$.level', '') AS level,
               avg(CASE WHEN v.status = 'correct' THEN 1 ELSE 0 END) OVER (PARTITION BY t.problem_id) AS pass_rate
        FROM run_traces t JOIN problems p ON p.id = t.problem_id
        LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier WHERE t.run_id = $1)"""
# A left join: of inner ones DuckDB tries problems with verdicts of their verifier first, which is nearly all with all.


def unit(lake: Lake, run_id: str) -> str:
    """What lengths are in: "tokens", or "characters" where the endpoint counted none."""
    counted = lake.value("SELECT bool_or(completion_tokens > 0) FROM run_traces WHERE run_id = $1", [run_id])
    return "tokens" if counted else "characters"


def _judged(lake: Lake, run_id: str) -> str:
    """SQL ($1 = run id) of the run's traces with their verdicts and their length."""
    counted = unit(lake, run_id) == "tokens"
    return _JUDGED.replace("LENGTH", "coalesce(t.completion_tokens, 0)" if counted else "length(t.raw)")


def pass_rates(lake: Lake, run_id: str) -> Rows:
    """Share of correct traces by `kind` (source, domain, level) and `name`, with its 95 % interval."""
    found = lake.rows(f"""
        WITH {_judged(lake, run_id)}, named AS (
            SELECT 'source' AS kind, source AS name, status, problem_id FROM judged_traces
            UNION ALL SELECT 'domain', domain, status, problem_id FROM judged_traces
            UNION ALL SELECT 'level', level, status, problem_id FROM judged_traces)
        SELECT kind, name, count(*) AS traces, count(DISTINCT problem_id) AS problems,
               count(*) FILTER (status = 'correct') AS correct FROM named WHERE name != '' GROUP BY ALL""", [run_id])
    order = ("source", "domain", "level")
    return [_with_interval(row) for row in sorted(found, key=lambda r: (order.index(r["kind"]), _natural(r["name"])))]


def _natural(name: str) -> list[tuple[int, str]]:
    """Level 10 after level 9."""
    return [(int(digits or 0), rest) for digits, rest in re.findall(r"(\d*)(\D*)", name)]


def _with_interval(row: dict[str, Any]) -> dict[str, Any]:
    low, high = wilson(row["correct"], row["traces"])
    return {**row, "rate": row["correct"] / row["traces"], "low": low, "high": high}


def lengths(lake: Lake, run_id: str, buckets: int = 16) -> Rows:
    """Correct and wrong traces by length: `start` and `end` in `unit`, up to the 99th percentile (the last bucket holds
    what is longer)."""
    found = lake.rows(f"""
        WITH {_judged(lake, run_id)}, width AS (
            SELECT greatest(1, ceil((quantile_cont(size, 0.99) + 1) / {buckets}))::BIGINT AS w FROM judged_traces)
        SELECT least(size // w, {buckets - 1}) * w AS start, (least(size // w, {buckets - 1}) + 1) * w AS end,
               count(*) FILTER (status = 'correct') AS correct, count(*) FILTER (status = 'wrong') AS wrong
        FROM judged_traces, width GROUP BY ALL ORDER BY 1""", [run_id])
    there = {row["start"]: row for row in found}
    width = found[0]["end"] - found[0]["start"] if found else 1  # an empty bucket is one, too
    return [there.get(start, {"start": start, "end": start + width, "correct": 0, "wrong": 0})
            for start in range(0, max(there, default=-1) + 1, width)]


def medians(lake: Lake, run_id: str) -> dict[str, float]:
    """Median length by status."""
    return dict(lake.sql(f"WITH {_judged(lake, run_id)} SELECT status, median(size) FROM judged_traces GROUP BY 1",
                         [run_id]).fetchall())


def measures(lake: Lake, run_id: str) -> Rows:
    """Each measure with its parameters: mean, median and 90th percentile over the traces, and the mean of the correct
    and of the wrong ones."""
    return lake.rows(f"""
        WITH {_judged(lake, run_id)}, newest AS (
            SELECT measure, params, max(version) AS version FROM measurements GROUP BY ALL)
        SELECT m.measure, m.params, count(m.value) AS traces, avg(m.value) AS mean, median(m.value) AS median,
               quantile_cont(m.value, 0.9) AS nine, avg(m.value) FILTER (t.status = 'correct') AS correct,
               avg(m.value) FILTER (t.status = 'wrong') AS wrong
        FROM judged_traces t JOIN measurements m ON m.trace_id = t.id
        JOIN newest n ON n.measure = m.measure AND n.params = m.params AND n.version = m.version
        GROUP BY ALL ORDER BY 1, 2""", [run_id])


def by_length(lake: Lake, run_id: str) -> Rows:
    """Share of correct traces by `quarter` of length (of each problem's own traces' ranks), at equal difficulty.

    A trace is ranked among those of its own problem, so a hard problem's long traces do not look bad for being long.
    """
    cases = " ".join(f"WHEN pass_rate <= {high} THEN '{name}'" for name, _, high in BANDS)
    found = lake.rows(f"""
        WITH {_judged(lake, run_id)}, ranked AS (
            SELECT CASE {cases} END AS band, status,
                   percent_rank() OVER (PARTITION BY problem_id ORDER BY size) AS rank
            FROM judged_traces WHERE pass_rate > 0 AND pass_rate < 1)
        SELECT band, least(3, floor(rank * 4))::INT AS quarter, count(*) AS traces,
               count(*) FILTER (status = 'correct') AS correct FROM ranked GROUP BY ALL ORDER BY 1, 2""", [run_id])
    order = [name for name, _, _ in BANDS]
    return sorted((_with_interval(row) for row in found), key=lambda row: (order.index(row["band"]), row["quarter"]))


def drop_examples(lake: Lake, run_id: str) -> Rows:
    """dataset, reason, traces, and `examples`: three traces each with prompt, raw, answer and status."""
    found = lake.rows("""
        WITH newest AS (
            SELECT id FROM selections WHERE run_id = $1
            QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY created DESC) = 1
            UNION ALL (SELECT id FROM datasets WHERE run_id = $1
            QUALIFY row_number() OVER (PARTITION BY name ORDER BY created DESC) = 1)),
        dropped AS (
            SELECT dataset, reason, trace_id, count(*) OVER (PARTITION BY dataset, reason) AS traces FROM drops
            WHERE selection IN (SELECT id FROM newest)
            QUALIFY row_number() OVER (PARTITION BY dataset, reason ORDER BY trace_id) <= $2)
        SELECT d.*, p.prompt, t.raw, t.completion_tokens, t.finish_reason, v.status, v.answer FROM dropped d
        LEFT JOIN traces t ON t.id = d.trace_id LEFT JOIN problems p ON p.id = t.problem_id
        LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
        ORDER BY dataset, traces DESC, reason, trace_id""", [run_id, EXAMPLES])
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row in found:
        group = groups.setdefault((row["dataset"], row["reason"]), {
            "dataset": row["dataset"], "reason": row["reason"], "traces": row["traces"], "examples": []})
        group["examples"].append(row)
    return list(groups.values())
