"""traces -> verdicts: every trace of the run's problems that lacks a verdict of its verifier's present version.

Only the response is judged, never the thinking. What cannot be read, hangs or crashes is `undecided`, never wrong.
"""

from collections.abc import Sequence

from factory.lake import Lake
from factory.recipe import Verify
from factory.records import content_id
from factory.run import Run
from verifiers.pool import Case, Pool, version


def shards(run: Run) -> list[list[str]]:
    """Trace ids that lack a verdict, in shards of `tasks.shard`."""
    verifiers = [row[0] for row in run.lake.sql(
        "SELECT DISTINCT verifier FROM problems JOIN members ON problem_id = problems.id WHERE run_id = $1 ORDER BY 1",
        [run.id]).fetchall()]
    found: list[str] = []
    for name in verifiers:
        found += [row[0] for row in run.lake.sql("""
            SELECT DISTINCT t.id FROM traces t JOIN problems p ON p.id = t.problem_id
            JOIN members m ON m.problem_id = p.id AND m.run_id = $1
            WHERE p.verifier = $2 AND t.id NOT IN (
                SELECT trace_id FROM verdicts WHERE verifier = $2 AND version = $3) ORDER BY 1""",
            [run.id, name, version(name)]).fetchall()]
    size = run.recipe.tasks.shard
    return [found[i:i + size] for i in range(0, len(found), size)]


def work(lake: Lake, ids: Sequence[str], limits: Verify) -> int:
    """Judge one shard and append its verdicts; returns how many."""
    rows = lake.rows("""SELECT t.id, t.response, p.reference, p.verifier FROM traces t
        JOIN problems p ON p.id = t.problem_id WHERE t.id IN (SELECT unnest($1)) ORDER BY t.id""", [list(ids)])
    verdicts = []
    with Pool(workers=limits.workers, timeout=limits.timeout, memory_mb=limits.memory_mb) as pool:
        cases = (Case(row["verifier"], row["response"] or "", row["reference"]) for row in rows)
        for row, verdict in zip(rows, pool.map(cases), strict=True):
            number = version(row["verifier"])
            verdicts.append(dict(
                id=content_id("verdict", row["id"], row["verifier"], number), trace_id=row["id"],
                verifier=row["verifier"], version=number, status=verdict.status, answer=verdict.answer,
                reason=verdict.reason, grade=verdict.grade, seconds=verdict.seconds))
    return lake.append_new("verdicts", verdicts)  # a shard that is tried again may have been half noted
