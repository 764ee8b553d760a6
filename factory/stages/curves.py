"""Test-time curves: accuracy against thinking tokens (budget forcing, s1), against k, and both at equal tokens.

Every point is a set of samples like any other, so it is bought once and goes on where it was. All points of a model
whose sampling is the same are asked of one server.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from factory.lake import now
from factory.metrics import interval
from factory.recipe import Curves, Generate, Plugin
from factory.records import content_id
from factory.run import Run, make_teacher
from factory.stages import samples, scores
from factory.stages.generate import Job
from factory.stages.samples import Samples

PART = "curve"
K = " for k"
"""What is added to the stage of the samples that are chosen from."""


def jobs(run: Run, main: Job, path: str) -> dict[str, Job]:
    """The jobs of a model's curves by what is added to their stage's name; `main` is its evaluation."""
    options = run.recipe.evaluate
    wanted = options.curves if options else None
    if options is None or wanted is None:
        return {}
    sampling = {**(options.teacher.params.get("sampling") or {}), **wanted.sampling}
    told = {"model": path, **({"sampling": sampling} if sampling else {})}
    teacher = make_teacher(options.teacher.with_params(**told)) if wanted.sampling else main.teacher

    def job(strategy: Plugin) -> Job:
        return Job(run, "evaluate", teacher, Generate.model_validate({"strategy": strategy, "samples": wanted.each}))
    found = {f" at {budget} thinking tokens": job(forced(wanted, budget)) for budget in sorted(set(wanted.budgets))}
    return found | ({K: job(options.strategy)} if wanted.k else {})


def forced(wanted: Curves, budget: int) -> Plugin:
    """The strategy of a point at a budget."""
    return Plugin(plugin="budget_forcing", params={**wanted.forcing, "maximum": budget})


def note(run: Run, row: Mapping[str, Any], points: Mapping[str, Job]) -> None:
    """Write those points of a model into `scores`, part `curve`, that are not there. `row`: its evaluation."""
    have = {found[0] for found in run.lake.sql("SELECT id FROM scores WHERE evaluation = $1", [row["id"]]).fetchall()}
    for name, job in points.items():
        found = samples.read(run, job)
        about = {**row, **scores.asked_how(job), "samples": found.n, "created": now(),
                 "id": content_id(row["id"], name, found.digest)}

        def told(point: Mapping[str, Any], about: Mapping[str, Any] = about) -> dict[str, Any]:
            return dict(scores.record(about, point, PART), evaluation=row["id"])
        asked = run.recipe.evaluate.curves.k if run.recipe.evaluate and run.recipe.evaluate.curves else []
        ks = [k for k in sorted(set(asked)) if told(_empty("pass", k))["id"] not in have] if name == K else [1]
        if ks and told(_empty("pass", ks[0]))["id"] not in have:
            run.lake.append_new("scores", [told(point) for point in _points(run, name, found, ks)])


def _empty(metric: str, k: int) -> dict[str, Any]:
    return dict(metric=metric, k=k, slice="")


def _points(run: Run, name: str, found: Samples, ks: list[int]) -> Iterator[dict[str, Any]]:
    """At a budget what one sample is worth, and what it thinks; of the samples for k every metric of each k."""
    answers = samples.one_writing(found, run.recipe.verify) if name == K else []
    values = scores.per_problem(found, answers, ks) if name == K else {("pass", 1): found.right.mean(axis=1)}
    score = samples.score_spec(run.recipe)
    for (metric, k), rates in values.items():
        low, high = interval(rates)
        known = found.thinking[np.isfinite(found.thinking)]
        yield dict(_empty(metric, k), value=float(rates.mean()), low=low, high=high, n=len(rates),
                   tokens=float(k * found.tokens.mean()), thinking=float(known.mean()) if len(known) else None,
                   by=score.column if score and metric in ("best", "weighted") else None)
