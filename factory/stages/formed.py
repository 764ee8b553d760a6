"""picks -> rows: through the emitter and the student's chat template, a page at a time, in memory never more.

A module of an emitter may have more than its function: `problem_columns(problem)` and `step_columns(steps)` add columns
to each of its rows (a pick without labelled steps is then dropped). `ONE_A_PROBLEM`: a problem has one row, whatever
its picks.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from factory import plugins, roundtrip
from factory.protocols import UserError
from factory.recipe import DatasetSpec
from factory.records import Candidate, Pick, Problem, Step, canonical, content_id
from factory.run import Run
from factory.stages import picked

PAGE = 2048
"""Picks that are read, checked and written at once."""

Row = dict[str, Any]
Key = tuple[str, str | None]
"""A pick by its traces: chosen, rejected."""


@dataclass(frozen=True)
class Job:
    """One dataset to be written: from which picks, in which form, past whose template."""

    run: Run
    spec: DatasetSpec
    selection: str
    template: roundtrip.Template | None

    @property
    def emitter(self) -> str:
        version = plugins.version("emitter", self.spec.emitter.plugin)
        return canonical({**self.spec.emitter.model_dump(), "version": version})

    @property
    def key(self) -> str:
        return content_id("dataset", self.selection, self.emitter, self.spec.test_share,
                          self.template.digest if self.template else "")

    @property
    def module(self) -> Any:
        return plugins.module("emitter", self.spec.emitter.plugin)


class Formed(NamedTuple):
    """A row with the pick and the problem that it is of."""

    pick: Pick
    problem: Problem
    row: Row


@dataclass
class Trip:
    """What became of picks on the way: rows checked; those set aside, by reason, as rows of `drops`, and by pick."""

    checked: int = 0
    aside: Counter[str] = field(default_factory=Counter)
    drops: list[Row] = field(default_factory=list)
    lost: dict[Key, str] = field(default_factory=dict)


def traces(pick: Pick) -> Key:
    return pick.chosen.trace_id, pick.rejected.trace_id if pick.rejected else None


def pages(job: Job, key: str, trip: Trip, without: Collection[str] = ()) -> Iterator[list[Formed]]:
    """The rows that come through, in an order that says nothing: by the hash that is a pick's id.

    What does not becomes drops under the id `key`; picks whose chosen trace is in `without` are not looked at.
    """
    with contextlib.ExitStack() as stack:
        wanted = job.template if roundtrip.sides(blank(job.spec)) else None
        checker = stack.enter_context(roundtrip.checking(wanted)) if wanted else None
        for page in _rows(job, key, trip, without):
            yield _survivors(job, key, page, checker, trip) if checker else page


def _rows(job: Job, key: str, trip: Trip, without: Collection[str]) -> Iterator[list[Formed]]:
    """As the emitter makes them. Rows of steps need steps."""
    module, seen = job.module, set[str]()
    form = _form(job.spec, module)
    for page in picked.pages(job.run.lake, job.selection, PAGE):
        page = [pair for pair in page if pair[0].chosen.trace_id not in without]
        if getattr(module, "ONE_A_PROBLEM", False):
            page = list(_firsts(job, key, page, seen, trip))
        steps: dict[str, list[Step]] = {}
        if hasattr(module, "step_columns"):
            steps = _steps(job.run, page)
            for pick, _ in page:
                if pick.chosen.trace_id not in steps:
                    _lose(job, key, pick, pick.chosen.trace_id, "no step of it can be judged", trip)
            page = [pair for pair in page if pair[0].chosen.trace_id in steps]
        yield [Formed(pick, problem, row) for pick, problem in page
               for row in form(pick, problem, steps.get(pick.chosen.trace_id, []))]


def _firsts(job: Job, key: str, page: Iterable[tuple[Pick, Problem]], seen: set[str], trip: Trip
            ) -> Iterator[tuple[Pick, Problem]]:
    """The first pick of each problem; the rows of the others would be the same."""
    for pick, problem in page:
        if pick.chosen.problem_id in seen:
            _lose(job, key, pick, pick.chosen.trace_id, "its problem has a row already", trip)
        else:
            seen.add(pick.chosen.problem_id)
            yield pick, problem


def _lose(job: Job, key: str, pick: Pick, trace: str | None, reason: str, trip: Trip) -> None:
    trip.lost.setdefault(traces(pick), reason)
    trip.drops.append(dict(id=content_id("drop", key, trace, reason), selection=key, run_id=job.run.id,
                           dataset=job.spec.name, trace_id=trace, reason=reason))


def _steps(run: Run, page: Sequence[tuple[Pick, Problem]]) -> dict[str, list[Step]]:
    from factory.stages.labels import labelled

    return labelled(run.lake, [pick.chosen.trace_id for pick, _ in page])


def _form(spec: DatasetSpec, module: Any) -> Callable[[Pick, Problem, list[Step]], list[Row]]:
    """What makes the rows of a pick. Raises UserError where the emitter refuses it."""
    emitter = plugins.bind("emitter", spec.emitter.plugin, spec.emitter.params)
    of_problem, of_steps = getattr(module, "problem_columns", None), getattr(module, "step_columns", None)

    def rows(pick: Pick, problem: Problem, steps: list[Step]) -> list[Row]:
        try:
            made = emitter(pick)
            more = {**(of_problem(problem) if of_problem else {}), **(of_steps(steps) if of_steps else {})}
        except ValueError as error:
            raise UserError(f"the emitter '{spec.emitter.plugin}': {error}") from error
        return [{**row, **more} for row in ([made] if isinstance(made, dict) else made)]
    return rows


def _survivors(job: Job, key: str, page: Sequence[Formed], checker: roundtrip.Checker, trip: Trip) -> list[Formed]:
    """Those that come through the template."""
    faults = checker.faults([one.row for one in page])
    trip.checked += sum(bool(roundtrip.sides(one.row)) for one in page)
    trip.aside.update(fault for fault in faults if fault)
    for one, fault in zip(page, faults, strict=True):
        if fault:
            _lose(job, key, one.pick, one.row.get("trace_id"), f"{ROUND_TRIP}{fault}", trip)
    return [one for one, fault in zip(page, faults, strict=True) if not fault]


ROUND_TRIP = "round trip: "
"""How the reason of a row begins that a chat template would spoil."""


def blank(spec: DatasetSpec) -> Row:
    """A row of a pick of nothing."""
    return example(spec, "", "", "")


def example(spec: DatasetSpec, raw: str, thinking: str, response: str) -> Row:
    """The first row of a made-up pick, whose sides are alike but for their status."""
    chosen, rejected = (Candidate("", "", "", raw, thinking, response, status, None, 0) for status in (
        "correct", "wrong"))
    form = _form(spec, plugins.module("emitter", spec.emitter.plugin))
    return form(Pick(chosen, rejected, ""), Problem("", ""), [])[0]
