"""What generation owes: the samples of a run's problems that the lake has no trace of.

Problems are taken by ranges of their ids, which are hashes: each range is small, so neither the problems nor their
traces are ever in memory together, and long and short problems come mixed.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from factory.protocols import Teacher
from factory.recipe import Generate
from factory.records import HASHING, Completion, Problem, Request, canonical
from factory.run import Run, continued_key, strategy_key
from factory.stages.plan import Asked

AT_ONCE = 4096
"""So many problems, about, are in a range."""

CUTS = 64
"""So many traces that are to be gone on from are in memory at a time, before they are asked."""

WRITTEN = ("thinking", "response", "raw", "finish_reason", "prompt_tokens", "completion_tokens", "mean_logprob",
           "min_logprob")
"""The columns of a trace that its continuation begins with."""


@dataclass(frozen=True)
class Job:
    """What to ask: problems of one part of a run, of one teacher, so many samples each; of a pilot only those whose id
    is `until` at most.
    """

    run: Run
    part: str
    teacher: Teacher
    options: Generate
    until: str = "~"

    @cached_property
    def keys(self) -> tuple[str, str]:
        """The teacher's and the strategy's part in the id of each request."""
        return canonical(self.teacher.identity), strategy_key(self.options.strategy)

    @cached_property
    def room(self) -> int:
        """How many tokens the teacher takes for a prompt and its answer, before and after its start; 0: not told."""
        return int(getattr(self.teacher, "room", int)())

    def query(self, text: str, **more: Any) -> list[tuple[Any, ...]]:
        """Ask the lake, with what the job knows as named parameters."""
        teacher, strategy = self.keys
        known = {"run": self.run.id, "teacher": teacher, "strategy": strategy, "part": self.part,
                 "samples": self.options.samples, "until": self.until, **more}
        if "$room" in text:  # who is asked over a network, so only where it makes a difference
            some = self.query("SELECT 1 FROM failures WHERE context IS NOT NULL AND teacher = $teacher LIMIT 1")
            known["room"] = self.room if some else 0
        used = {name: value for name, value in known.items() if f"${name}" in text}
        found: list[tuple[Any, ...]] = self.run.lake.sql(text, used).fetchall()
        return found


HAVE = "SELECT * FROM traces WHERE teacher = $teacher AND strategy = $strategy AND sample < $samples"
MEMBERS = "SELECT problem_id FROM members WHERE run_id = $run AND part = $part AND problem_id <= $until"
DEAD = """SELECT problem_id, trace_id FROM failures WHERE NOT retry AND teacher = $teacher
    AND (context IS NULL OR context >= $room)"""
"""What failed for good; what was too long for the server is owed again when that has more room."""

FIELDS = ", ".join(f"p.{name}" for name in Problem.__dataclass_fields__)


@dataclass(frozen=True)
class Cut:
    """A trace that was cut off and is to be gone on from."""

    problem: Problem
    sample: int
    completion: Completion


def owed_count(job: Job) -> int:
    """How many traces are lacking and worth asking for (with `adaptive`: may still be asked for), continuations too."""
    return _samples_count(job) + len(_cut_ids(job))


def _samples_count(job: Job) -> int:
    _, lacking = _lacking(job)
    if lacking and job.options.adaptive:
        return sum(len(asked.todo) for asked in itertools.chain.from_iterable(owed(job)))
    return lacking - (_dead_count(job) if lacking else 0)


def _lacking(job: Job) -> tuple[int, int]:
    """How many problems lack a sample, and how many samples that is, those that failed for good among them."""
    problems, samples = job.query(f"""
        WITH have AS (SELECT problem_id, count(*) AS n FROM ({HAVE}) GROUP BY 1)
        SELECT count(*), coalesce(sum($samples - coalesce(n, 0)), 0)::BIGINT
        FROM ({MEMBERS}) LEFT JOIN have USING (problem_id) WHERE coalesce(n, 0) < $samples""")[0]
    return problems, samples


def _dead_count(job: Job) -> int:
    """Of the samples that lack a trace, those that failed for good."""
    if not job.query(f"{DEAD} LIMIT 1"):
        return 0  # as nearly always, and all traces need not be looked at for it
    dead = job.query(f"""
        SELECT problem_id, list(DISTINCT trace_id) FROM ({DEAD})
        WHERE trace_id NOT IN (SELECT id FROM ({HAVE})) AND problem_id IN ({MEMBERS}) GROUP BY 1""")
    return sum(len(_ids(job, problem) & set(traces)) for problem, traces in dead)


def _ids(job: Job, problem_id: str) -> set[str]:
    return {Request(problem_id, *job.keys, sample).id for sample in range(job.options.samples)}


def owed(job: Job) -> Iterator[list[Asked]]:
    """The problems that lack a sample, a range of ids at a time; those that failed for good are not asked again."""
    (problems, _), digits = _lacking(job), 0
    while problems > AT_ONCE * 16**digits:
        digits += 1
    for number in range(16**digits):
        start = f"{HASHING}-{number:0{digits}x}" if digits else HASHING
        if start <= job.until and (found := _in_range(job, start, start + "~")):
            yield found


def _in_range(job: Job, start: str, end: str) -> list[Asked]:
    rows = job.query(f"""
        WITH have AS (SELECT problem_id, list(sample) AS have FROM ({HAVE})
                      WHERE problem_id BETWEEN $start AND $end GROUP BY 1)
        SELECT {FIELDS}, have FROM ({MEMBERS}) m JOIN problems p ON p.id = m.problem_id
        LEFT JOIN have USING (problem_id)
        WHERE p.id BETWEEN $start AND $end AND coalesce(len(have), 0) < $samples ORDER BY p.id""", start=start, end=end)
    dead = dict(job.query(f"""SELECT problem_id, list(DISTINCT trace_id) FROM ({DEAD})
        WHERE problem_id BETWEEN $start AND $end GROUP BY 1""", start=start, end=end))
    found = [_asked(job, Problem(*fields), have or [], dead) for *fields, have in rows]
    if job.options.adaptive:
        _recall(job, {asked.problem.id: asked for asked in found}, start, end)
    rule = job.options.adaptive
    return [asked for asked in found if asked.waiting or (asked.todo and not asked.settled(rule))]


def _asked(job: Job, problem: Problem, have: Sequence[int], dead: Mapping[str, Sequence[str]]) -> Asked:
    lacking = [sample for sample in range(job.options.samples) if sample not in have and not (
        problem.id in dead and Request(problem.id, *job.keys, sample).id in dead[problem.id])]
    return Asked(problem, deque(lacking))


def _recall(job: Job, found: Mapping[str, Asked], start: str, end: str) -> None:
    """What is known of the traces that are there: their verdicts, or that they wait for one."""
    rows = job.query(f"""
        WITH have AS (SELECT * FROM ({HAVE}) WHERE problem_id BETWEEN $start AND $end),
        more AS (SELECT * FROM traces WHERE strategy = $continued AND parent IN (SELECT id FROM have)),
        latest AS (FROM have WHERE id NOT IN (SELECT parent FROM more) UNION ALL FROM more)
        SELECT t.problem_id, v.status, coalesce(t.digest, t.id), t.id, CASE WHEN v.status IS NULL THEN t.response END
        FROM latest t JOIN problems p ON p.id = t.problem_id
        LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
        WHERE p.verifier <> 'majority'""", start=start, end=end, continued=continued_key(job.options))
    for problem_id, status, digest, trace_id, response in rows:
        asked = found.get(problem_id)
        if asked and status:
            asked.note(status, digest)
        elif asked:
            asked.waiting.append((trace_id, digest, response or ""))


# -- continuations ---------------------------------------------------------------------------------------------------


def cuts(job: Job) -> Iterator[list[Cut]]:
    """The traces of earlier runs that were cut off and lack their continuation; a few at a time, for they are long."""
    ids = _cut_ids(job)
    for some in (ids[i:i + CUTS] for i in range(0, len(ids), CUTS)):
        yield [_cut(row) for row in job.query(f"""
            SELECT {FIELDS}, t.sample, {", ".join("t." + name for name in WRITTEN)}, t.tokens, t.asked FROM traces t
            JOIN problems p ON p.id = t.problem_id WHERE t.id IN (SELECT unnest($ids)) ORDER BY t.id""", ids=some)]


def _cut_ids(job: Job) -> list[str]:
    """What `truncation.is_cut` finds, without a continuation, and none whose continuation failed for good."""
    continued, options = continued_key(job.options), job.options
    if continued is None:
        return []
    asked = "asked IS NOT NULL" if getattr(job.teacher, "prefill", "") else "false"
    closing = "AND response = ''" if options.truncation.policy == "force_close" else ""
    settled = "" if options.adaptive is None else f"""AND problem_id NOT IN (
        SELECT t.problem_id FROM ({HAVE}) t JOIN judged v ON v.trace_id = t.id AND v.status = 'correct'
        GROUP BY 1 HAVING count(DISTINCT t.digest) >= {options.adaptive.correct})"""
    found = job.query(f"""
        SELECT id, problem_id, sample FROM ({HAVE}) WHERE problem_id IN ({MEMBERS}) AND finish_reason = 'length'
            AND (tokens IS NOT NULL OR {asked}) {closing} {settled} AND id NOT IN (
                SELECT parent FROM traces WHERE parent IS NOT NULL AND strategy = $continued) ORDER BY id""",
        continued=continued)
    dead = {row[1] for row in job.query(DEAD)}
    return [trace for trace, problem, sample in found
            if Request(problem, job.keys[0], continued, sample).id not in dead]


def _cut(row: Sequence[Any]) -> Cut:
    size = len(Problem.__dataclass_fields__)
    *written, tokens, asked = row[size + 1:]
    completion = Completion(**dict(zip(WRITTEN, written, strict=True)), tokens=tuple(orjson.loads(tokens or "[]")),
                            asked=tuple(orjson.loads(asked or "[]")))
    return Cut(Problem(*row[:size]), row[size], completion)
