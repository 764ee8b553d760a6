"""`cot audit`: how often each verifier was wrong about planted answers, which references are in doubt, and what a new
version of a verifier judged otherwise."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from factory.lake import Lake
from factory.plugins import did_you_mean
from factory.protocols import UserError
from factory.stages.audit import Rate, rates

SHOWN = 3
"""Examples of each kind."""


def text(lake: Lake, run_id: str | None, verifier: str | None) -> str:
    """The rates by verifier and domain with examples, then the doubts about references."""
    _refuse_unknown(lake, verifier)
    found = [rate for rate in rates(lake, run_id) if verifier in (None, rate.verifier)]
    lines = ["planted answers: faults of all, rate [95 % interval]"] if found else [
        "nothing was planted yet: `cot run` plants answers among those it verifies, unless audit.share is 0"]
    lines += [_line(rate) for rate in found]
    lines += _section("examples of faults", _examples(lake, run_id, verifier))
    lines += _section("is the reference wrong? a majority of the traces says so", _doubts(lake, run_id, verifier))
    return "\n".join(lines)


def _refuse_unknown(lake: Lake, verifier: str | None) -> None:
    there = [row[0] for row in lake.sql("SELECT DISTINCT verifier FROM problems ORDER BY 1").fetchall()]
    if verifier not in (None, *there):
        raise UserError(f"no problem in {lake.folder} has the verifier '{verifier}'"
                        f"{did_you_mean(str(verifier), there)}")


def _line(rate: Rate) -> str:
    place = "all domains" if rate.domain is None else rate.domain or "(no domain)"
    what = "false accepts" if rate.kind == "wrong" else "false rejects"
    aside = f", {rate.undecided:,} undecided" if rate.undecided else ""
    return f"  {rate.verifier} v{rate.version}  {place:<16} {what}  {rate}{aside}"


def _section(title: str, lines: Iterator[str]) -> list[str]:
    found = [f"  {line}" for line in lines]
    return ["", title, *found] if found else []


def _examples(lake: Lake, run_id: str | None, verifier: str | None) -> Iterator[str]:
    for row in lake.rows("""
            SELECT verifier, version, domain, kind, examples FROM audits
            WHERE examples <> '[]' AND ($1 IS NULL OR run_id = $1) AND ($2 IS NULL OR verifier = $2)
            QUALIFY row_number() OVER (PARTITION BY verifier, domain, kind ORDER BY version DESC, created DESC) = 1
            ORDER BY verifier, domain, kind""", [run_id, verifier]):
        did = "accepted" if row["kind"] == "wrong" else "rejected"
        for example in json.loads(row["examples"])[:SHOWN]:
            yield (f"{row['verifier']} v{row['version']}, {row['domain'] or '(no domain)'}: {did} "
                   f"{example['response']!r} ({example['how']}) for {example['reference']!r}: {example['reason']}")


def _doubts(lake: Lake, run_id: str | None, verifier: str | None) -> Iterator[str]:
    for row in lake.rows("""
            SELECT d.* FROM doubts d JOIN problems p ON p.id = d.problem_id
            WHERE ($1 IS NULL OR d.run_id = $1) AND ($2 IS NULL OR p.verifier = $2)
            ORDER BY d.share DESC, d.traces DESC, d.problem_id""", [run_id, verifier]):
        yield (f"{row['problem_id']}: {row['share']:.0%} of {row['traces']} traces say {row['answer']!r}, the "
               f"reference is {row['reference']!r}")


# -- what a new version changed --------------------------------------------------------------------------------------


def changes(lake: Lake, traces: Sequence[str] | None = None, verifier: str | None = None) -> list[str]:
    """What the newest version of each verifier says otherwise than the one before, with examples; of all traces or
    some. Nothing for a verifier of which there is one version only."""
    _refuse_unknown(lake, verifier)
    lines: list[str] = []
    versions = lake.sql("""
        SELECT verifier, max(version), max(version, 2)[2] AS before
        FROM (SELECT DISTINCT verifier, version FROM verdicts WHERE verifier <> 'majority')
        WHERE $1 IS NULL OR verifier = $1 GROUP BY 1 HAVING before IS NOT NULL ORDER BY 1""", [verifier]).fetchall()
    for name, now, before in versions:
        rows = lake.rows("""
            SELECT o.status AS old, n.status AS new, count(*) AS traces,
                   list({'problem': t.problem_id, 'reference': p.reference, 'answer': n.answer, 'before': o.reason,
                         'after': n.reason} ORDER BY n.trace_id)[1:$6] AS examples
            FROM verdicts n JOIN verdicts o ON o.trace_id = n.trace_id AND o.verifier = n.verifier AND o.version = $3
            JOIN traces t ON t.id = n.trace_id JOIN problems p ON p.id = t.problem_id
            WHERE n.verifier = $1 AND n.version = $2 AND ($4 OR n.trace_id IN (SELECT unnest($5::VARCHAR[])))
            GROUP BY ALL ORDER BY traces DESC, old, new""",
            [name, now, before, traces is None, list(traces or []), SHOWN])
        lines += _changed(f"{name}: version {now}", f"version {before}", rows) if rows else []
    return lines


def _changed(present: str, former: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One verifier's changes."""
    other = [row for row in rows if row["old"] != row["new"]]
    changed, judged = (sum(row["traces"] for row in some) for some in (other, rows))
    yield f"{present} judges {changed:,} of {judged:,} answers otherwise than {former}"
    for row in other:
        yield f"  {row['old']} -> {row['new']}: {row['traces']:,}"
        for example in row["examples"]:
            yield (f"    {example['problem']}: {example['answer']!r} for {example['reference']!r} (was: "
                   f"{example['before'] or 'no reason given'}; is: {example['after'] or 'no reason given'})")
