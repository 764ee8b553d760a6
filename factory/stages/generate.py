"""problems -> traces: ask the teacher for every sample that the lake lacks; what is finished is durable at once.

What is owed is in `factory.stages.owed`, which sample is next in `plan`, the asking in `buyer`, the judging meanwhile
in `beside`, the limits in `budget`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from factory import truncation
from factory.run import Run, make_teacher
from factory.stages import fruitless
from factory.stages.budget import Meter
from factory.stages.buyer import Buyer
from factory.stages.owed import Job, owed, owed_count
from factory.stages.progress import Progress

__all__ = ["Job", "buy", "buy_all", "generate", "owed", "owed_count"]


def generate(run: Run, beside: Mapping[str, Job] | None = None) -> int:
    """Buy the traces that the run lacks, and what the jobs `beside` lack; returns how many were bought.

    Raises Exhausted when a budget is used up.
    """
    job = Job(run, "train", make_teacher(run.recipe.teacher), run.recipe.generate)
    return buy_all({"generate": job, **(beside or {})})


def buy(job: Job, stage: str) -> int:
    """Start the teacher if anything is owed, ask, stop it. Raises UserError when nothing can be got any more."""
    return buy_all({stage: job})


def buy_all(jobs: Mapping[str, Job], at_once: int = 1) -> int:
    """As `buy` for several jobs, by the names of their stages, of which `at_once` have their teacher up together. Jobs
    of one server are done one after the other while it is up."""
    # One model may be there under two names: it is asked under the first.
    different = {(job.keys, job.run.id, job.part): stage for stage, job in reversed(list(jobs.items()))}
    lacking = {stage: total for stage, job in jobs.items()
               if stage in different.values() and (total := owed_count(job))}
    return asyncio.run(_buy_all(jobs, lacking, at_once)) if lacking else 0


async def _buy_all(jobs: Mapping[str, Job], lacking: Mapping[str, int], at_once: int) -> int:
    room = asyncio.Semaphore(at_once)
    by_server: dict[Any, list[str]] = {}
    for stage in lacking:
        by_server.setdefault(getattr(jobs[stage].teacher, "engine", jobs[stage].keys[0]), []).append(stage)

    async def one(stages: list[str]) -> int:
        async with room:
            return await _buy({stage: jobs[stage] for stage in stages}, lacking)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(stages)) for stages in by_server.values()]
    except ExceptionGroup as errors:  # the first one stopped the others; a user is told one sentence
        raise errors.exceptions[0] from None
    return sum(task.result() for task in tasks)


async def _buy(jobs: Mapping[str, Job], totals: Mapping[str, int]) -> int:
    """The jobs of one teacher, or of teachers that differ in their sampling alone and so can share its servers."""
    stage, first = next(iter(jobs.items()))
    meter = Meter(first)
    if meter.reached():
        raise meter.exhausted()
    if first.part == "train":
        fruitless.check(first.run)
    started = time.perf_counter()
    buyers = []
    try:
        async with first.teacher as teacher:
            first.run.note_time(stage, "start the teacher", time.perf_counter() - started, rows=1)
            for name, job in jobs.items():
                async with _started(job, first, teacher) as asked:
                    truncation.check_started(asked, job.options)
                    mine = meter if job is first else Meter(job)
                    buyers.append(Buyer(job, asked, mine, Progress(name, totals[name])))
                    await _ask(job, buyers[-1], name)
    finally:
        meter.note_gpus(at_once=True)
    for buyer in buyers:
        await buyer.judge_rest()
        if buyer.ending:
            raise buyer.ending
    return sum(buyer.progress.traces for buyer in buyers)


@contextlib.asynccontextmanager
async def _started(job: Job, first: Job, teacher: Any) -> AsyncIterator[Any]:
    """The job's teacher: the one that is up, or one of another sampling that uses its servers."""
    if job.keys[0] == first.keys[0]:
        yield teacher
    else:
        job.teacher.join(teacher)  # type: ignore[attr-defined]  # it has an engine
        async with job.teacher as other:
            yield other


async def _ask(job: Job, buyer: Buyer, stage: str) -> None:
    progress = buyer.progress
    with job.run.timed(stage, "ask") as counts:
        try:
            await buyer.work()
        except BaseException:
            buyer.stop()
            raise
        finally:
            counts["rows"], counts["tokens"] = progress.traces, progress.tokens
            progress.note(job.run, buyer.teacher, buyer.meter)
