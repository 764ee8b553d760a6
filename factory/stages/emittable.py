"""Which picks would become rows, asked before a mixture plans its shares: behind it nothing is lost, so they hold.

The picks are noted under the id of the selection without its mixture; screening and the round trip look at them there,
whatever shares are planned of them.
"""

from typing import Any

from factory import roundtrip
from factory.recipe import DatasetSpec
from factory.run import Run
from factory.stages import formed, screen
from factory.stages.decontaminate import Benchmarks
from factory.stages.formed import Job, Key, Trip


def determined_by(run: Run, spec: DatasetSpec, benchmarks: Benchmarks | None) -> list[Any]:
    """All that decides what is lost, beside the picks."""
    job = Job(run, spec, "", roundtrip.template_of(run.recipe, spec))
    return [screen.determined_by(run, benchmarks), job.emitter, job.template.digest if job.template else ""]


def lost(run: Run, spec: DatasetSpec, selection: str, items: int, benchmarks: Benchmarks | None) -> dict[Key, str]:
    """Why picks of the selection would be no rows, by the pick; of one with several rows, each has to come through."""
    screened = screen.reasons(run, spec.name, selection, items, benchmarks)
    job, trip = Job(run, spec, selection, roundtrip.template_of(run.recipe, spec)), Trip()
    if job.template or any(hasattr(job.module, name) for name in ("ONE_A_PROBLEM", "step_columns")):
        for _ in formed.pages(job, selection, trip, without=screened):
            pass
    picks = run.lake.sql("SELECT chosen, rejected FROM picks WHERE selection = $1", [selection]).fetchall()
    return {pick: screen.short(screened[pick[0]]) for pick in picks if pick[0] in screened} | trip.lost


def trip(job: Job) -> Trip:
    """What the round trip found before the mixture, of traces; those that came through, as far as the mixture has them.
    """
    found = Trip()
    if not job.template or not roundtrip.sides(formed.blank(job.spec)):
        return found
    for reason, count in job.run.lake.sql("""SELECT reason, count(*) FROM drops
            WHERE selection = $1 AND starts_with(reason, $2) GROUP BY 1 ORDER BY 1""",
            [job.selection, formed.ROUND_TRIP]).fetchall():
        found.aside[reason.removeprefix(formed.ROUND_TRIP)] = count
    found.checked = found.aside.total() + job.run.lake.value(
        "SELECT count(*) FROM picks WHERE selection = $1", [job.selection])
    return found
