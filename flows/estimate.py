"""What a recipe will take, from a pilot: its first problems by hash are asked, which is a random choice, and kept as a
part of the run, so nothing is bought twice. Intervals are 95 % bootstrap over problems.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from factory.lake import Lake
from factory.metrics import interval
from factory.prices import Price, Usage, price_of
from factory.protocols import UserError
from factory.recipe import Recipe
from factory.run import Run, make_teacher
from factory.stages import generate, load, recorded, verify
from factory.stages.budget import gpus as gpus_of
from factory.stages.generate import Job

FEWEST = 2
"""Problems that an interval needs."""


def estimate(recipe: Recipe, lake: Path, problems: int) -> str:
    """Ask `problems` problems, and say what all of them take, in tokens, US dollars and time."""
    if problems < FEWEST:
        raise UserError(f"--problems is {problems}: an estimate needs {FEWEST} at least")
    if recipe.teacher.plugin == recorded.NAME:
        raise UserError("the teacher 'recorded' is a file, and what is there costs nothing: use `cot run` at once")
    run = Run(recipe, Lake(lake))
    job = Job(run, "train", make_teacher(recipe.teacher), recipe.generate)
    with run.lake.writing():
        run.register()
        load.load(run)
        until = _last(job, problems)
        generate.buy(replace(job, until=until), "pilot")
        run.lake.compact()
        for shard in verify.shards(run):
            verify.work(run.lake, shard, recipe.verify, run.id, recipe.audit.share)
    return "\n".join(_text(run, job, _pilot(run, until)))


def _last(job: Job, problems: int) -> str:
    """The id of the pilot's last problem."""
    found: str = job.query("""SELECT max(problem_id) FROM (SELECT problem_id FROM members
        WHERE run_id = $run AND part = $part ORDER BY 1 LIMIT $problems)""", problems=problems)[0][0]
    return found


def _pilot(run: Run, until: str) -> list[dict[str, Any]]:
    """What each problem of the pilot took."""
    return run.lake.rows("""
        SELECT m.problem_id, count(t.id) AS traces, count(*) FILTER (v.status = 'correct') AS correct,
               coalesce(sum(t.prompt_tokens), 0)::BIGINT AS prompt, coalesce(sum(t.cached_tokens), 0)::BIGINT AS cached,
               coalesce(sum(t.completion_tokens), 0)::BIGINT AS completion, coalesce(sum(t.seconds), 0) AS seconds
        FROM members m LEFT JOIN run_traces t ON t.problem_id = m.problem_id AND t.run_id = m.run_id
        LEFT JOIN problems p ON p.id = m.problem_id
        LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
        WHERE m.run_id = $1 AND m.part = 'train' AND m.problem_id <= $2 GROUP BY 1""", [run.id, until])


def _text(run: Run, job: Job, pilot: Sequence[dict[str, Any]]) -> list[str]:
    everything = run.lake.value("SELECT count(*) FROM members WHERE run_id = $1 AND part = 'train'", [run.id])
    traces, correct = (sum(row[name] for row in pilot) for name in ("traces", "correct"))
    if not traces:
        raise UserError("the pilot brought no trace: `cot status` shows why, so mend that and estimate again")
    price, gpus = price_of(run.recipe.price, job.teacher.identity), gpus_of(run.recipe.price, job.teacher)
    seconds = [row["seconds"] / job.teacher.concurrency for row in pilot]
    lines = [f"pilot: {len(pilot):,} of {everything:,} problems, {traces:,} traces, {correct / traces:.0%} of them "
             "right; they are part of the run and are not bought again", "", "the whole run, with a 95 % interval:",
             _line("tokens written", [row["completion"] for row in pilot], everything, _count),
             _line("tokens read", [row["prompt"] for row in pilot], everything, _count),
             _line(f"time, {job.teacher.concurrency} at once", seconds, everything, _clock)]
    if price is None:
        return [*lines, "  cost: no price is known for this teacher; set price.input and price.output in the recipe"]
    usd = [_usd(price, row, gpus * spent) for row, spent in zip(pilot, seconds, strict=True)]
    lines.append(_line("cost", usd, everything, _dollars))
    verified = f", ${sum(usd) / correct:.5f} for each right one" if correct else ""
    return [*lines, f"  ${sum(usd) / traces:.5f} for each trace{verified}"]


def _usd(price: Price, row: dict[str, Any], gpu_seconds: float) -> float:
    return price.of(Usage(row["prompt"], row["cached"], row["completion"])) + price.gpu_hour * gpu_seconds / 3600


def _line(name: str, values: Sequence[float], everything: int, written: Any) -> str:
    """The sum over all problems, from the values of some."""
    found = np.array(values, float)
    low, high = interval(found)
    total, low, high = (written(value * everything) for value in (found.mean(), low, high))
    return f"  {name:<20}{total:>16}   [{low}, {high}]"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _dollars(value: float) -> str:
    return f"${value:,.2f}"


def _clock(seconds: float) -> str:
    unit, size = ("h", 3600) if seconds >= 3600 else ("min", 60) if seconds >= 60 else ("s", 1)
    return f"{seconds / size:.1f} {unit}"
