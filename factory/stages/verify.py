"""traces -> verdicts: every trace of the run's problems that lacks a verdict of its verifier's present version.

Only the response is judged, never the thinking. What cannot be read, hangs or crashes is `undecided`, never wrong. A
batch holds planted answers of known truth among the traces, which audit the verifier (`factory.stages.audit`).
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from factory.lake import Lake
from factory.recipe import Verify
from factory.records import content_id
from factory.run import Run
from factory.stages import audit
from factory.stages.audit import Planted
from verifiers.pool import Case, Pool, version
from verifiers.verdict import Verdict


def shards(run: Run) -> list[list[str]]:
    """Trace ids that lack a verdict, in shards of `tasks.shard`. For `majority` a vote gives them."""
    verifiers = [row[0] for row in run.lake.sql(
        "SELECT DISTINCT verifier FROM problems JOIN members ON problem_id = problems.id "
        "WHERE run_id = $1 AND verifier <> 'majority' ORDER BY 1", [run.id]).fetchall()]
    found: list[str] = []
    for name in verifiers:
        found += [row[0] for row in run.lake.sql("""
            SELECT t.id FROM traces t
            ANTI JOIN (SELECT trace_id FROM verdicts WHERE verifier = $2 AND version = $3) v ON v.trace_id = t.id
            SEMI JOIN (SELECT p.id FROM problems p JOIN members m ON m.problem_id = p.id
                       WHERE m.run_id = $1 AND p.verifier = $2) o ON o.id = t.problem_id ORDER BY 1""",
            [run.id, name, version(name)]).fetchall()]
    size = run.recipe.tasks.shard
    return [found[i:i + size] for i in range(0, len(found), size)]


def work(lake: Lake, ids: Sequence[str], limits: Verify, run_id: str = "", share: float = 0.0) -> int:
    """Judge one shard with `share` of planted answers in it, and append its verdicts; returns how many."""
    rows = lake.rows("""SELECT t.id, t.response, p.reference, p.verifier, p.domain FROM traces t
        JOIN problems p ON p.id = t.problem_id WHERE t.id IN (SELECT unnest($1)) ORDER BY t.id""", [list(ids)])
    batch = content_id("batch", [row["id"] for row in rows])
    rng = random.Random(batch)  # the same batch gets the same answers when it is tried again
    mixed: list[dict[str, Any] | Planted] = [*rows, *audit.plant(rows, share, rng)]
    rng.shuffle(mixed)
    with Pool(workers=limits.workers, timeout=limits.timeout, memory_mb=limits.memory_mb) as pool:
        judged = list(zip(mixed, pool.map(case(item) for item in mixed), strict=True))
    # Written first: a batch whose verdicts are there is not tried again.
    lake.append_new("audits", audit.outcome(run_id, batch, [
        (item, verdict) for item, verdict in judged if isinstance(item, Planted)]))
    return lake.append_new("verdicts", [  # a shard that is tried again may have been half noted
        row(item, verdict) for item, verdict in judged if not isinstance(item, Planted)])


def case(item: Mapping[str, Any] | Planted) -> Case:
    """What the pool is given: a row with `response`, `reference` and `verifier`, or a planted answer."""
    if isinstance(item, Planted):
        return Case(item.verifier, item.response, item.reference)
    return Case(item["verifier"], item["response"] or "", item["reference"])


def row(trace: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """The row of the table `verdicts` for a trace with its `id` and `verifier`."""
    number = version(trace["verifier"])
    return dict(
        id=content_id("verdict", trace["id"], trace["verifier"], number), trace_id=trace["id"],
        verifier=trace["verifier"], version=number, status=verdict.status, answer=verdict.answer,
        reason=verdict.reason, grade=verdict.grade, seconds=verdict.seconds, detail=verdict.detail)
