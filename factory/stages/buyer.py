"""Asks a teacher for samples: as many at once as it takes now, each one durable the moment it is finished.

No task exists before its sample may be asked, so memory stays flat. What is finished goes to the `writer`; a failure is
a tombstone row, and one bad row never stops a run.
"""

import asyncio
import contextlib
import functools
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from factory import truncation
from factory.lake import now
from factory.prices import Usage
from factory.protocols import AskFailed, Exhausted, Strategy, Teacher, UserError
from factory.records import Completion, Problem, Request, Trace, content_id
from factory.run import continued_key, make_strategy
from factory.stages import fruitless
from factory.stages.asker import Asker
from factory.stages.beside import Answer, Beside
from factory.stages.budget import Meter
from factory.stages.owed import AT_ONCE, Cut, Job, cuts, owed
from factory.stages.plan import Plan
from factory.stages.progress import Progress
from factory.stages.rows import digest, step_rows, trace_row
from factory.stages.writer import Finished, Writer
from verifiers.verdict import Verdict

GLANCE = 0.25
"""Seconds after which the teacher's concurrency and the budget are looked at again, if nothing happens before."""


class Buyer:
    """One job at work. `ending` is why it stops asking early, if it does."""

    def __init__(self, job: Job, teacher: Teacher, meter: Meter, progress: Progress) -> None:
        self.job, self.teacher, self.meter, self.progress = job, teacher, meter, progress
        self.strategy: Strategy = make_strategy(job.options.strategy)
        self.plan = Plan(job.options.adaptive)
        self.beside = self._beside()
        self.cuts: deque[Cut] = deque()
        self.flying: dict[str, asyncio.Task[bool]] = {}
        self.writer = Writer(job.run.lake, meter, self._wrote)
        self.ending: UserError | None = None
        self._decided = 0
        self._looking: asyncio.Task[None] | None = None
        self._broken: BaseException | None = None
        self._failed_in_a_row = 0
        self._turn, self._hungry = asyncio.Event(), asyncio.Event()

    def _beside(self) -> Beside | None:
        waits = self.job.options.adaptive is not None
        wanted = self.job.part == "train" and (waits or self.job.run.recipe.verify.beside)
        return Beside(self.job.run, self._heard, waits) if wanted else None

    async def work(self) -> None:
        """Ask until nothing is owed or a budget is used up. Raises what stops a run; what is finished is journaled."""
        helpers = [asyncio.ensure_future(self.writer.work()), asyncio.ensure_future(self._feed())]
        try:
            while self.flying or not (self.ending or self.plan.empty):
                self._launch()
                await self._happens()
                self._raise(helpers)
        finally:
            try:
                await self._land_all()
                helpers[1].cancel()
                self.writer.close()
                await helpers[0]
            finally:  # also of a second Ctrl-C
                self.writer.keep_rest()

    async def judge_rest(self) -> None:
        """Verdicts for what is still waiting for one."""
        if self.beside:
            try:
                await self.beside.finish()
                if self._looking:
                    await self._looking
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """No verdicts any more; the verify stage has the rest."""
        if self.beside:
            self.beside.stop()

    # -- what to ask -------------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        """Keep the plan supplied with problems, a range at a time; before them, what was cut off and is to go on."""
        cut_off = cuts(self.job)
        while (batch := await asyncio.to_thread(next, cut_off, None)) is not None:
            self.cuts.extend(batch)
            self._turn.set()
            await self._eaten(lambda: not self.cuts)
        ranges = owed(self.job)
        while (problems := await asyncio.to_thread(next, ranges, None)) is not None:
            self.plan.add(problems)
            for asked in problems:
                for trace_id, text, response in asked.waiting:
                    self._judge(Answer(trace_id, asked.problem, response, text))
            self._turn.set()
            await self._eaten(lambda: len(self.plan.fresh) <= AT_ONCE // 2)
        self.plan.complete = True
        self._turn.set()

    async def _eaten(self, enough: Callable[[], bool]) -> None:
        """Wait until so much of what was fed is being asked."""
        self._hungry.clear()
        while not enough():
            await self._hungry.wait()
            self._hungry.clear()

    def _launch(self) -> None:
        """Ask as much as the teacher, the disk and the budget take now."""
        while self.ending is None and self._has_room():
            cut = self.cuts.popleft() if self.cuts else None
            found = (cut.problem, cut.sample) if cut else self.plan.next()
            if found is None:
                self.progress.starves(self.plan.complete)
                break
            if self.meter.reached():
                self.ending = self.meter.exhausted()
                break
            problem, sample = found
            request = Request(problem.id, *self.job.keys, sample)
            task = self.flying[request.id] = asyncio.create_task(self._sample(problem, request, cut))
            task.add_done_callback(functools.partial(self._landed, request, cut))
        self._hungry.set()

    def _has_room(self) -> bool:
        in_flight = len(self.flying)
        return (in_flight < self.teacher.concurrency and self.writer.has_room
                and (self.meter.admits(in_flight) or bool(self.meter.reached())))

    async def _happens(self) -> None:
        """Wait until something has ended or was judged, or a moment has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GLANCE):
                await self._turn.wait()
        self._turn.clear()
        self.meter.note_gpus()

    def _raise(self, helpers: Sequence[asyncio.Task[None]]) -> None:
        """A helper ends before its time only by an error."""
        errors = [task.exception() for task in helpers if task.done()]
        broken = [self._broken, *errors, self.beside.broken if self.beside else None]
        if first := next((error for error in broken if error), None):
            raise first

    # -- one sample --------------------------------------------------------------------------------------------------

    async def _sample(self, problem: Problem, request: Request, cut: Cut | None) -> bool:
        """Returns whether the plan waits for a verdict on it."""
        try:
            return await (self._go_on(cut) if cut else self._one(problem, request))
        except Exhausted as ending:
            self.ending = self.ending or ending
        except Exception as error:
            self._broken = self._broken or error
        return False

    def _landed(self, request: Request, cut: Cut | None, task: asyncio.Task[bool]) -> None:
        """A sample has ended. No `finally` in it: one that is called off before its first step never runs."""
        del self.flying[request.id]
        if cut is None:
            self.plan.landed(request.problem_id, request.sample, not task.cancelled() and task.result())
        self._turn.set()

    async def _one(self, problem: Problem, request: Request) -> bool:
        """Buy one sample, and what it lacks if it was cut off; returns whether the plan waits for a verdict on it."""
        trace = await self._bought(problem, request, functools.partial(self.strategy, problem))
        if trace is None:
            return False
        cut = Cut(problem, request.sample, trace.completion)
        if truncation.is_cut(trace.completion, self.job.options.truncation):
            return await self._go_on(cut, planned=True)
        return self._planned(problem)

    async def _go_on(self, cut: Cut, planned: bool = False) -> bool:
        """Buy the continuation of a trace that was cut off; `planned`: its verdict counts for the sample."""
        (teacher, strategy), options = self.job.keys, self.job.options
        parent = Request(cut.problem.id, teacher, strategy, cut.sample)
        request = Request(cut.problem.id, teacher, str(continued_key(options)), cut.sample)
        go_on = functools.partial(truncation.go_on, cut.completion, options=options.truncation)
        return bool(await self._bought(cut.problem, request, go_on, parent, planned)) and planned and self._planned(
            cut.problem)

    def _planned(self, problem: Problem) -> bool:
        return self.plan.rule is not None and problem.verifier != "majority"

    async def _bought(self, problem: Problem, request: Request, make: Callable[[Asker], Awaitable[Completion]],
                      parent: Request | None = None, judge: bool = True) -> Trace | None:
        """Ask, again if that can help, and keep what comes or why nothing does."""
        started, usage, options = time.perf_counter(), Usage(), self.job.options
        for attempt in range(1, options.attempts + 1):
            try:
                completion = _whole(await make(Asker(self.teacher, request, usage)))
            except UserError:
                raise
            except AskFailed as error:
                failure = error
            except Exception as error:  # a strategy is anybody's code: its crash is this row's failure, not the run's
                failure = AskFailed(f"{type(error).__name__}: {error}", retry=False)
            else:
                trace = Trace(request, completion, time.perf_counter() - started, self.meter.cost(usage),
                              self.job.run.recipe.round, parent=parent.id if parent else None)
                self._keep(problem, trace, usage, judge)
                return trace
            if not failure.retry or attempt == options.attempts:
                break
            await asyncio.sleep(_pause(attempt, failure.wait))
        room = await asyncio.to_thread(lambda: self.job.room) if failure.too_long else None
        self._bury(problem, request, failure, attempt, usage, room)
        return None

    def _keep(self, problem: Problem, trace: Trace, usage: Usage, judge: bool) -> None:
        self._failed_in_a_row = 0
        self.meter.spend(usage, trace.cost)
        made = trace.completion
        judge = judge and (bool(trace.parent) or not truncation.is_cut(made, self.job.options.truncation))
        answer = Answer(trace.id, problem, made.response, digest(made.raw)) if judge else None
        row = {**trace_row(trace), "spent": usage.completion}
        self.writer.put(Finished("traces", row, step_rows(trace), answer, usage.completion))

    def _bury(self, problem: Problem, request: Request, failure: AskFailed, attempts: int, usage: Usage,
              room: int | None) -> None:
        created, cost = now(), self.meter.cost(usage)
        self.meter.spend(usage, cost)
        self.writer.put(Finished("failures", dict(
            id=content_id("failure", request.id, created), trace_id=request.id, problem_id=problem.id,
            teacher=request.teacher, reason=failure.reason, retry=failure.retry, attempts=attempts, created=created,
            tokens=usage.completion, cost=cost, context=room), []))
        self._failed_in_a_row += failure.reason != truncation.FULL
        if self._failed_in_a_row >= self.job.options.abort_after:
            raise UserError(f"{self._failed_in_a_row} requests in a row failed, the last with: {failure.reason}; what "
                            "is finished is kept, so mend the teacher or the recipe and run the same command again")

    # -- what is finished --------------------------------------------------------------------------------------------

    def _wrote(self, done: Sequence[Finished]) -> None:
        self._turn.set()
        self.progress.bought(done, self.meter)
        for item in done:  # only now: a verdict must not outlive its trace
            if item.answer:
                self._judge(item.answer)

    def _judge(self, answer: Answer) -> None:
        if self.beside:
            self.beside.put(answer)

    def _heard(self, answer: Answer, verdict: Verdict) -> None:
        self.progress.judged(verdict.status)
        self._decided += verdict.status != "undecided"
        if self._decided == fruitless.enough(self.job.options) and self._looking is None:
            self._looking = asyncio.create_task(self._look_at_rules())
        if self.plan.rule is None:
            return
        for sample in self.plan.judged(answer.problem.id, verdict.status, answer.digest):
            task = self.flying.get(Request(answer.problem.id, *self.job.keys, sample).id)
            if task and not task.cancelling():  # a budget may have kept it from being asked at all
                self.progress.cancelled += task.cancel()
        self._turn.set()

    async def _look_at_rules(self) -> None:
        """Stop asking when the rules drop all that came so far."""
        try:
            await asyncio.to_thread(fruitless.check_traces, self.job.run)
        except UserError as ending:
            self.ending = self.ending or ending
            self._turn.set()

    async def _land_all(self) -> None:
        flying = list(self.flying.values())
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)

def _pause(attempt: int, wait: float) -> float:
    """Seconds before the next attempt: what the server asked for, else longer and longer; never all at one moment."""
    return wait * random.uniform(1, 1.1) or min(30.0, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1)


def _whole(completion: object) -> Completion:
    """A strategy is anybody's code: what it gives back is looked at before it is kept."""
    if not isinstance(completion, Completion):
        raise TypeError(f"the strategy returned a {type(completion).__name__} instead of a Completion")
    return completion

