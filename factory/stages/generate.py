"""problems -> traces: ask the teacher for every sample that the lake lacks; what is finished is durable at once.

A fixed number of workers take one owed sample after the other (no task per row, memory stays flat); a writer groups
what is finished and journals it with one fdatasync. A failure is a tombstone row; one bad row never stops a run.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tqdm import tqdm

from factory.lake import Lake, now
from factory.protocols import AskFailed, Strategy, Teacher, UserError
from factory.recipe import Generate
from factory.records import Completion, Message, Problem, Request, Trace, canonical, content_id
from factory.run import Run, make_strategy, make_teacher, strategy_key

BACKLOG = 4096
"""So many finished rows may wait for a slow disk before the asking pauses; what is bought is never held back."""


@dataclass(frozen=True)
class Job:
    """What to ask: problems of one part of a run, of one teacher, so many samples each."""

    run: Run
    part: str
    teacher: Teacher
    options: Generate

    @property
    def keys(self) -> tuple[str, str]:
        return canonical(self.teacher.identity), strategy_key(self.options.strategy)


def generate(run: Run) -> int:
    """Buy the traces that the run lacks; returns how many were bought."""
    return buy(Job(run, "train", make_teacher(run.recipe.teacher), run.recipe.generate), "generate")


def buy(job: Job, stage: str) -> int:
    """Start the teacher if anything is owed, ask, stop it. Raises UserError when nothing can be got any more."""
    return buy_all({stage: job})


def buy_all(jobs: Mapping[str, Job], at_once: int = 1) -> int:
    """As `buy` for several jobs, by the names of their stages, of which `at_once` have their teacher up together."""
    # One model may be there under two names: it is asked under the first.
    different = {job.keys: stage for stage, job in reversed(list(jobs.items()))}
    lacking = {stage: total for stage, job in jobs.items()
               if stage in different.values() and (total := owed_count(job))}
    return asyncio.run(_buy_all(jobs, lacking, at_once)) if lacking else 0


async def _buy_all(jobs: Mapping[str, Job], lacking: Mapping[str, int], at_once: int) -> int:
    room = asyncio.Semaphore(at_once)

    async def one(stage: str, total: int) -> int:
        async with room:
            return await _buy(jobs[stage], stage, total)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(stage, total)) for stage, total in lacking.items()]
    except ExceptionGroup as errors:  # the first one stopped the others; a user is told one sentence
        raise errors.exceptions[0] from None
    return sum(task.result() for task in tasks)


def owed_count(job: Job) -> int:
    return sum(len(samples) for _, samples in owed(job))


def owed(job: Job) -> Iterator[tuple[Problem, list[int]]]:
    """Each problem with the sample numbers that lack a trace; those that failed for good are not asked again."""
    lake, (teacher, strategy) = job.run.lake, job.keys
    dead = {row[0] for row in lake.sql(
        "SELECT trace_id FROM failures WHERE NOT retry AND teacher = $1", [teacher]).fetchall()}
    cursor = lake.sql("""
        WITH have AS (SELECT problem_id, sample FROM traces WHERE teacher = $2 AND strategy = $3)
        SELECT p.*, list(have.sample) FILTER (have.sample IS NOT NULL) AS have
        FROM members m JOIN problems p ON p.id = m.problem_id LEFT JOIN have ON have.problem_id = p.id
        WHERE m.run_id = $1 AND m.part = $4 GROUP BY ALL ORDER BY p.id""",
        [job.run.id, teacher, strategy, job.part])
    while rows := cursor.fetchmany(1000):
        for _, *fields, have in rows:
            problem = Problem(*fields)
            lacking = [s for s in range(job.options.samples) if s not in (have or [])
                       and (not dead or Request(problem.id, teacher, strategy, s).id not in dead)]
            if lacking:
                yield problem, lacking


async def _buy(job: Job, stage: str, total: int) -> int:
    started = time.perf_counter()
    async with job.teacher as teacher:
        job.run.note_time(stage, "start the teacher", time.perf_counter() - started, rows=1)
        with job.run.timed(stage, "ask") as counts:
            buyer = _Buyer(job, teacher, stage, total)
            try:
                await buyer.work()
            finally:
                counts["rows"], counts["tokens"] = buyer.bought, buyer.tokens
    return buyer.bought


class _Buyer:
    """Workers that ask, one writer that journals, one bar."""

    def __init__(self, job: Job, teacher: Teacher, stage: str, total: int) -> None:
        self.job, self.teacher, self.keys = job, teacher, job.keys
        self.strategy: Strategy = make_strategy(job.options.strategy)
        self.bought = self.tokens = self.failed_in_a_row = 0
        self.started = time.perf_counter()
        self.todo = ((problem, sample) for problem, samples in owed(job) for sample in samples)
        self.finished: asyncio.Queue[tuple[str, dict[str, Any], list[dict[str, Any]]]] = asyncio.Queue()
        self.bar = tqdm(total=total, desc=stage, unit="trace", mininterval=1.0)

    async def work(self) -> None:
        workers = [asyncio.ensure_future(self._worker()) for _ in range(self.teacher.concurrency)]
        asking: asyncio.Future[Any] = asyncio.gather(*workers)
        writing = asyncio.ensure_future(self._write())
        try:
            await asyncio.wait({asking, writing}, return_when=asyncio.FIRST_COMPLETED)
            await (writing if writing.done() else asking)  # a writer ends before its time only by an error
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(asking, *workers, return_exceptions=True)
            self.finished.put_nowait(("", {}, []))
            try:
                await writing
            finally:
                self.bar.close()

    async def _worker(self) -> None:
        for problem, sample in self.todo:
            while self.finished.qsize() >= BACKLOG:
                await asyncio.sleep(0.05)
            await self._one(problem, Request(problem.id, *self.keys, sample))

    async def _one(self, problem: Problem, request: Request) -> None:
        started = time.perf_counter()
        for attempt in range(1, self.job.options.attempts + 1):
            try:
                completion = _whole(await self.strategy(problem, self._ask(request)))
            except (UserError, asyncio.CancelledError):
                raise
            except AskFailed as failure:
                reason, again, wait = failure.reason, failure.retry, failure.wait
            except Exception as error:  # a strategy is anybody's code: its crash is this row's failure, not the run's
                reason, again, wait = f"{type(error).__name__}: {error}", False, 0.0
            else:
                self._keep(Trace(request, completion, time.perf_counter() - started))
                return
            if not again or attempt == self.job.options.attempts:
                self._bury(problem, request, reason, again, attempt)
                return
            await asyncio.sleep(wait or min(30.0, 0.5 * 2**attempt) * random.uniform(0.5, 1.0))

    def _ask(self, request: Request) -> Any:
        """The teacher as the strategy sees it: each further question of one sample has a further seed."""
        seeds = iter(range(int(request.id[-7:], 16), 2**31))

        async def ask(messages: Sequence[Message]) -> Completion:
            return await self.teacher.ask(messages, next(seeds))

        return ask

    def _keep(self, trace: Trace) -> None:
        self.failed_in_a_row = 0
        self.finished.put_nowait(("traces", trace_row(trace), step_rows(trace)))

    def _bury(self, problem: Problem, request: Request, reason: str, retry: bool, attempts: int) -> None:
        created = now()
        self.finished.put_nowait(("failures", dict(
            id=content_id("failure", request.id, created), trace_id=request.id, problem_id=problem.id,
            teacher=request.teacher, reason=reason, retry=retry, attempts=attempts, created=created), []))
        self.failed_in_a_row += 1
        if self.failed_in_a_row >= self.job.options.abort_after:
            raise UserError(f"{self.failed_in_a_row} requests in a row failed, the last with: {reason}; what is "
                            "finished is kept, so mend the teacher or the recipe and run the same command again")

    async def _write(self) -> None:
        """Journal what is finished: everything that waits is one group."""
        ending = False
        while not ending:
            group = [await self.finished.get()]
            while not self.finished.empty():
                group.append(self.finished.get_nowait())
            ending = any(not table for table, _, _ in group)
            await asyncio.to_thread(_journal, self.job.run.lake, group)
            traces = [row for table, row, _ in group if table == "traces"]
            self.bought += len(traces)
            self.tokens += sum(row["completion_tokens"] or 0 for row in traces)
            self.bar.update(sum(1 for table, _, _ in group if table))
            self.bar.set_postfix_str(f"{self.tokens / (time.perf_counter() - self.started):.0f} tok/s", refresh=False)


def _whole(completion: object) -> Completion:
    """A strategy is anybody's code: what it gives back is looked at before it is kept."""
    if not isinstance(completion, Completion):
        raise TypeError(f"the strategy returned a {type(completion).__name__} instead of a Completion")
    return completion


def _journal(lake: Lake, group: list[tuple[str, dict[str, Any], list[dict[str, Any]]]]) -> None:
    """Steps before their traces: a trace that is there has all its steps."""
    for table, rows in (("steps", [step for _, _, steps in group for step in steps]),
                        ("traces", [row for table, row, _ in group if table == "traces"]),
                        ("failures", [row for table, row, _ in group if table == "failures"])):
        if rows:
            lake.journal(table, rows)


def trace_row(trace: Trace) -> dict[str, Any]:
    """The row of the table `traces`."""
    completion = {k: v for k, v in asdict(trace.completion).items() if k != "steps"}
    return {"id": trace.id, **asdict(trace.request), **completion, "seconds": trace.seconds, "cost": trace.cost,
            "round": trace.round, "created": now()}


def step_rows(trace: Trace) -> list[dict[str, Any]]:
    """The rows of the table `steps`."""
    return [{"id": content_id("step", trace.id, step.index), "trace_id": trace.id, **asdict(step)}
            for step in trace.completion.steps]
