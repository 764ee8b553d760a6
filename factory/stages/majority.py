"""traces -> votes: what most answers to a problem say. Without a reference that is the verdict, of grade `majority`;
against a reference, a confident majority is a row of the view `doubts`: is the reference wrong?

A problem votes once for each set of its traces. Two answers are equal when the problem's own verifier takes one as the
reference of the other; `math_equal` does it for problems of the verifier `majority`, which have no other.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from factory.lake import DOUBTFUL, VOTERS, now
from factory.records import content_id
from factory.run import Run
from verifiers.majority import VERSION, Vote, contested, elect
from verifiers.pool import Case, Pool, version
from verifiers.verdict import Status

RANK = 1_000_000
"""A verdict's version is VERSION times this and the number of traces: the vote of more traces is the newer one."""


def shards(run: Run) -> list[list[str]]:
    """Ids of the problems whose traces have not voted, in shards of about `tasks.shard` traces."""
    done = run.lake.ids("votes")
    owed = [row["problem_id"] for row in _electorates(run) if _id(row) not in done]
    size = max(1, run.recipe.tasks.shard // run.recipe.generate.samples)
    return [owed[i:i + size] for i in range(0, len(owed), size)]


def work(run: Run, ids: Sequence[str]) -> int:
    """Hold the votes of one shard and append them with their verdicts; returns how many votes."""
    limits, electorates = run.recipe.verify, list(_electorates(run, ids))
    with Pool(workers=limits.workers, timeout=limits.timeout, memory_mb=limits.memory_mb) as pool:
        _read_answers(electorates, pool)
        votes = _votes(electorates, pool)
    verdicts = [verdict for row, vote in zip(electorates, votes, strict=True) if row["verifier"] == "majority"
                for verdict in _verdicts(row, vote)]
    run.lake.append_new("verdicts", verdicts)
    # Written last: a vote that is listed has its verdicts.
    return run.lake.append_new("votes", [_row(run, row, vote) for row, vote in zip(electorates, votes, strict=True)])


def _electorates(run: Run, ids: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The problems that vote: those of the verifier `majority`, and those where most traces are against the reference.

    `voters` are trace ids in order, `answers` what the verifier found in each, `responses` their texts where it has
    not looked yet.
    """
    yield from run.lake.rows(f"""
        WITH found AS (
            SELECT t.id, t.problem_id, p.verifier, v.status, v.answer,
                   CASE WHEN p.verifier = 'majority' THEN t.response END AS response
            FROM run_traces t JOIN problems p ON p.id = t.problem_id
            LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
            WHERE t.run_id = $1 AND ($2 OR t.problem_id IN (SELECT unnest($3::VARCHAR[])))
              AND (p.verifier = 'majority' OR v.status IN ('correct', 'wrong')))
        SELECT problem_id, verifier, list(id ORDER BY id) AS voters, list(answer ORDER BY id) AS answers,
               list(response ORDER BY id) AS responses
        FROM found GROUP BY ALL
        HAVING verifier = 'majority' OR (
            count(*) >= {VOTERS} AND count(*) FILTER (status = 'wrong') >= {DOUBTFUL} * count(*))
        ORDER BY problem_id""", [run.id, ids is None, list(ids or [])])


def _read_answers(electorates: Sequence[dict[str, Any]], pool: Pool) -> None:
    """Fill in the answers of responses that no verifier has read."""
    unread = [row for row in electorates if row["verifier"] == "majority"]
    found = pool.map(Case("majority", text or "", "") for row in unread for text in row["responses"])
    for row in unread:
        row["answers"] = [next(found).answer for _ in row["voters"]]


def _votes(electorates: Sequence[dict[str, Any]], pool: Pool) -> list[Vote]:
    def cases() -> Iterator[Case]:
        for row in electorates:
            name = "math_equal" if row["verifier"] == "majority" else row["verifier"]
            yield from (Case(name, f"\\boxed{{{mine}}}", theirs) for mine, theirs in contested(row["answers"]))
    verdicts = pool.map(cases())
    votes = []
    for row in electorates:
        status: dict[tuple[str, str], Status] = {pair: next(verdicts).status for pair in contested(row["answers"])}
        votes.append(elect(row["answers"], status))
    return votes


def _verdicts(row: dict[str, Any], vote: Vote) -> Iterator[dict[str, Any]]:
    number = VERSION * RANK + len(row["voters"])
    for trace, answer in zip(row["voters"], row["answers"], strict=True):
        verdict = vote.verdict(answer)
        yield dict(id=content_id("verdict", trace, "majority", number), trace_id=trace, verifier="majority",
                   version=number, status=verdict.status, answer=answer, reason=verdict.reason, grade=verdict.grade,
                   seconds=0.0)


def _row(run: Run, row: dict[str, Any], vote: Vote) -> dict[str, Any]:
    elected = next((trace for trace, answer in zip(row["voters"], row["answers"], strict=True)
                    if vote.winner is not None and vote.verdict(answer).status == "correct"), None)
    return dict(id=_id(row), run_id=run.id, problem_id=row["problem_id"], trace_id=elected, answer=vote.winner,
                share=vote.share, traces=vote.answered, created=now())


def _id(row: dict[str, Any]) -> str:
    return content_id("vote", VERSION, row["problem_id"], row["verifier"], version(row["verifier"]), row["voters"])
