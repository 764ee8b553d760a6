"""`cot report RUN`: one page of HTML that needs nothing else. No script, no font, no request; light and dark.

Every text of a model, a problem or a recipe is escaped, and a content policy in the page forbids what slipped through.
"""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from factory import training_records
from factory.lake import Lake
from factory.stages import audit
from flows import accuracy, curves, findings, report, svg

Rows = list[dict[str, Any]]
SHOWN = 900
"""Characters of an example's trace that are shown: its beginning and its end."""

NUMBER = re.compile(r"[+-]?[\d,.]+%?|under 0\.001")
"""A cell that is written out already."""

COLOURS = {"correct": "fill-good", "wrong": "fill-bad", "undecided": "fill-none"}

STYLE = """
:root { color-scheme: light dark; --page: #fbfaf7; --ink: #22252a; --soft: #6b7078; --line: #d9d6cf; --card: #fff;
  --main: #3d6fa5; --good: #2a8f57; --bad: #c2543c; --none: #9a9a94; }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --ink: #e4e3df; --soft: #9a9fa8; --line: #34383d;
  --card: #1e2125; --main: #7aa7d9; --good: #4fb87e; --bad: #e07a62; --none: #77777a; } }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 860px; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 8px; } h3 { font-size: 15px; }
p, h1, h3, summary, .soft { overflow-wrap: anywhere; }
p, .soft { color: var(--soft); } p { max-width: 72ch; margin: 4px 0 10px; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12.5px; }
svg .soft { fill: var(--soft); } svg .end { text-anchor: end; } svg .mid { text-anchor: middle; }
.fill-main { fill: var(--main); } .fill-good { fill: var(--good); } .fill-bad { fill: var(--bad); }
.fill-none { fill: var(--none); } .grid { stroke: var(--line); } .axis { stroke: var(--soft); }
.reach { stroke: var(--main); stroke-width: 2; }
.line { fill: none; stroke: var(--soft); stroke-width: 1.2; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; } th { text-align: left; }
th, td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: anywhere; min-width: 5em; } .n { text-align: right; white-space: nowrap; }
details { background: var(--card); border: 1px solid var(--line); border-radius: 6px; margin: 6px 0;
  padding: 6px 12px; }
summary { cursor: pointer; } pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12.5px; margin: 6px 0; }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin: 0 5px 0 12px; }
.good { background: var(--good); } .bad { background: var(--bad); }
.wide { overflow-x: auto; }
@media (max-width: 640px) { body { padding: 14px; } svg { min-width: 600px; } svg text { font-size: 13.5px; }
  table { display: block; overflow-x: auto; } td { overflow-wrap: normal; min-width: 0; } }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write(lake: Lake, run: dict[str, Any], out: Path) -> Path:
    """The page of a run in `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(lake, run), encoding="utf-8")
    return out


def page(lake: Lake, run: dict[str, Any]) -> str:
    """The whole page."""
    run_id = run["id"]
    body = [f"<h1>{escape(run['name'])}</h1>",
            f"<p>run {escape(run_id)}, started {escape(run['started'])}; teacher {escape(run['teacher'])}</p>",
            *_section("From problems to datasets", "", _funnel(lake, run_id)),
            *_section("Kept out before it was asked", "", _table(["stage", "reason", "problems", "of"], [
                [row["stage"], row["reason"] or "nothing", row["problems"], row["items"]]
                for row in report.screened(lake, run_id)])),
            *_section("Pass rates", "Share of correct traces with its 95 % interval.", _pass_rates(lake, run_id)),
            *_section("Lengths, right against wrong", _median_sentence(lake, run_id), _lengths(lake, run_id)),
            *_section("Accuracy by length at equal difficulty", (
                "Each trace is ranked by length among the traces of its own problem, and problems are compared with "
                "those of a like pass rate only. Problems that are always or never solved say nothing here."),
                _by_length(lake, run_id)),
            *_section("Measures", "What is in the traces; the units are in the README.", _measures(lake, run_id)),
            *_section("What was dropped, and why", "Up to three examples each.", _drops(lake, run_id)),
            *_section("Students", "", _table(["student", "trainer", "what came of it", "what it took"], [
                [row["name"], row["plugin"], ", ".join(training_records.learnt(row["figures"])),
                 ", ".join(training_records.cost(row["figures"]))] for row in report.students(lake, run_id)])),
            *_section("Accuracy on held-out problems", "pass@1 with its 95 % interval.", _evaluations(lake, run_id)),
            *_section("Test-time compute", "Accuracy by thinking tokens and by samples, with 95 % intervals.",
                      _curves(lake, run_id)),
            *_section("Audit of the verifiers", "Answers of known truth that went blind through them.",
                      _audit(lake, run_id)),
            *_section("Contamination", "Up to three of each benchmark and rule; what met one is dropped.",
                      _contamination(lake, run_id)),
            *_section("Cost and time", "", _cost(lake, run_id))]
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f'<meta name="viewport" content="width=device-width"><title>{escape(run["name"])}</title>'
            f"<style>{STYLE}</style></head>\n<body>\n{chr(10).join(body)}\n</body></html>\n")


def _section(title: str, told: str, inside: str) -> list[str]:
    """Nothing at all where there is nothing to show."""
    return [f"<h2>{escape(title)}</h2>", f"<p>{escape(told)}</p>" if told else "", inside] if inside else []


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th{_side(cell)}>{escape(name)}</th>" for name, cell in zip(names, rows[0], strict=True))
    lines = "".join("<tr>" + "".join(f"<td{_side(cell)}>{_told(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _side(value: Any) -> str:
    return ' class="n"' if isinstance(value, int | float) or NUMBER.fullmatch(value) else ""


def _told(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else escape(value)


# -- the sections ----------------------------------------------------------------------------------------------------


def _funnel(lake: Lake, run_id: str) -> str:
    return svg.bars([(name, count, f"{count:,}", COLOURS.get(name, "fill-main"))
                     for name, count in report.funnel(lake, run_id)])


def _pass_rates(lake: Lake, run_id: str) -> str:
    found = findings.pass_rates(lake, run_id)
    return "".join(f"<h3>by {kind}</h3>" + svg.intervals([
        (row["name"], row["low"], row["rate"], row["high"], f"{row['rate']:.1%} of {row['traces']:,} traces")
        for row in found if row["kind"] == kind]) for kind in dict.fromkeys(row["kind"] for row in found))


def _median_sentence(lake: Lake, run_id: str) -> str:
    found = findings.medians(lake, run_id)
    told = ", ".join(f"{status} {found[status]:,.0f}" for status in ("correct", "wrong") if status in found)
    unit = findings.unit(lake, run_id)
    return f"Median {unit}: {told}. Each colour is shown as a share of its own traces." if told else ""


def _lengths(lake: Lake, run_id: str) -> str:
    found = findings.lengths(lake, run_id)
    if not found:
        return ""
    key = '<div><i class="key good"></i>correct<i class="key bad"></i>wrong</div>'
    return svg.histogram([(f"{row['start']:,}", (row["correct"], row["wrong"])) for row in found]) + key


def _by_length(lake: Lake, run_id: str) -> str:
    found = findings.by_length(lake, run_id)
    return "".join(f"<h3>{band} problems ({low:.0%} to {high:.0%} of their traces correct)</h3>" + svg.intervals([
        (findings.QUARTERS[row["quarter"]], row["low"], row["rate"], row["high"],
         f"{row['rate']:.1%} of {row['traces']:,} traces") for row in found if row["band"] == band])
        for band, low, high in findings.BANDS if any(row["band"] == band for row in found))


def _measures(lake: Lake, run_id: str) -> str:
    columns = ("mean", "median", "nine", "correct", "wrong")
    return _table(["measure", "traces", "mean", "median", "90 %", "mean of correct", "of wrong"], [
        [row["measure"] + (f" {row['params']}" if row["params"] != "{}" else ""), row["traces"],
         *(_number(row[column]) for column in columns)] for row in findings.measures(lake, run_id)])


def _number(value: float | None) -> str:
    if value is None or 0 < abs(value) < 0.001:
        return "" if value is None else "under 0.001"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _drops(lake: Lake, run_id: str) -> str:
    groups = findings.drop_examples(lake, run_id)
    parts = []
    for dataset in dict.fromkeys(group["dataset"] for group in groups):
        mine = [group for group in groups if group["dataset"] == dataset]
        parts.append(f"<h3>dataset {escape(dataset)}</h3>" + svg.bars([
            (group["reason"], group["traces"], f"{group['traces']:,}", "fill-main") for group in mine]))
        parts += [_examples(group) for group in mine]
    return "".join(parts)


def _examples(group: dict[str, Any]) -> str:
    inside = "".join(
        f"<h3>{escape(row['trace_id'] or '')}</h3><p>{escape(str(row['status'] or 'not judged'))}, answer "
        f"{escape(str(row['answer']))}; ended by {escape(str(row['finish_reason']))}, "
        f"{row['completion_tokens'] or 0:,} tokens</p><pre>{escape(_short(row['prompt'] or ''))}</pre>"
        f"<pre>{escape(_short(row['raw'] or ''))}</pre>" for row in group["examples"])
    return f"<details><summary>{escape(group['reason'])} ({group['traces']:,})</summary>{inside}</details>"


def _short(text: str) -> str:
    half = SHOWN // 2
    return text if len(text) <= SHOWN else f"{text[:half]}\n … {len(text) - SHOWN:,} characters …\n{text[-half:]}"


def _evaluations(lake: Lake, run_id: str) -> str:
    found = accuracy.evaluations(lake, run_id)
    if not found:
        return ""
    told = accuracy.scores(lake, found)
    drawn = svg.intervals([(row["model"], row["low"], row["pass_at_1"], row["high"],
                            f"{row['pass_at_1']:.1%} of {row['problems']:,} problems") for row in found])
    words = "".join(f"<p>{escape(line)}</p>" for line in accuracy.notes(found) + accuracy.grids(told))
    gains = [row for row in told if row["metric"] == "gain"]
    return drawn + words + _headed("Compared on the same problems", _table(
        ["model", "against", "problems", "gain", "95 % interval", "p", "verdict"], [
            [row["model"], row["against"], row["slice"] or "all", f"{row['value']:+.1%}",
             f"{row['low']:+.1%} to {row['high']:+.1%}", f"{row['p']:.2g}",
             accuracy.verdict(row)] for row in gains])) + _headed(
        "With k samples, by difficulty, and what is risked", _score_table(
            [row for row in told if row["metric"] not in ("gain", "undecided")]))


def _headed(title: str, inside: str) -> str:
    return f"<h3>{escape(title)}</h3>{inside}" if inside else ""


def _score_table(rows: Rows) -> str:
    """The last column but one is `k` samples' tokens, the mean of a problem."""
    return _table(["model", "metric", "k", "of", "value", "95 % interval", "tokens", "n"], [
        [row["model"], row["metric"] + (f" by {row['by']}" if row["by"] else ""), row["k"], _of(row),
         *_value(row), f"{row['tokens']:,.0f}" if row["tokens"] else "", f"{row['n']:,} × {row['samples']}"]
        for row in rows])


def _of(row: dict[str, Any]) -> str:
    return f"{row['budget']:,} thinking tokens" if row["budget"] else row["slice"] or "all"


def _value(row: dict[str, Any]) -> tuple[str, str]:
    """A number of tokens, an area, or else a share."""
    form = {"tokens": ",.1f", "aurc": ".3f"}.get(row["metric"], ".1%")
    return format(row["value"], form), f"{row['low']:{form}} to {row['high']:{form}}"


def _curves(lake: Lake, run_id: str) -> str:
    points = accuracy.curve(lake, accuracy.evaluations(lake, run_id))
    if not points:
        return ""
    parts = []
    for model in dict.fromkeys(row["model"] for row in points):
        mine = [row for row in points if row["model"] == model]
        lines = [("budget of thinking", "fill-main", [row for row in mine if row["budget"] is not None])]
        by_k = [row for row in mine if row["budget"] is None]
        lines += [(curves.LABELS[name], colour, [row for row in by_k if row["metric"] == name])
                  for name, colour in (("pass", "fill-none"), ("consensus", "fill-bad"), ("best", "fill-good"))]
        drawn = svg.curves([(label, colour, [(row["tokens"], row["low"], row["value"], row["high"]) for row in rows])
                            for label, colour, rows in lines if rows], "tokens a problem, all samples together")
        parts.append(f"<h3>{escape(model)}</h3>{drawn}" + _score_table(mine))
    return "".join(parts) + "".join(f"<p>asked with {escape(told)}</p>" for told in dict.fromkeys(
        accuracy.how_at_all(row) for row in points))


def _audit(lake: Lake, run_id: str) -> str:
    return _table(["verifier", "version", "planted", "judged otherwise", "undecided"], [
        [rate.verifier, str(rate.version), rate.kind, str(rate), rate.undecided]
        for rate in audit.rates(lake, run_id) if rate.domain is None])


def _contamination(lake: Lake, run_id: str) -> str:
    found = lake.rows("""SELECT benchmark, rule, number, text, benchmark_text FROM contamination
        WHERE run_id = $1 AND kind <> 'evaluated'
        QUALIFY row_number() OVER (PARTITION BY benchmark, rule ORDER BY id) <= $2 ORDER BY benchmark, rule, id""",
        [run_id, findings.EXAMPLES])
    return _table(["benchmark", "rule", "text", "the benchmark's text"], [
        [f"{row['benchmark']} row {row['number']}", row["rule"], _short(row["text"]), _short(row["benchmark_text"])]
        for row in found])


def _cost(lake: Lake, run_id: str) -> str:
    rows = [[f"{row['stage']}, {row['part']}", float(row["seconds"]), int(row["rows"] or 0), int(row["tokens"] or 0)]
            for row in report.timings(lake, run_id)]
    told = "".join(f"<p>{escape(line)}</p>" for line in report.total(lake, run_id))
    return told + _table(["work", "seconds", "rows", "tokens"], rows)
