"""students -> accuracies: each model is used as a teacher on the held-out problems, before and after each training.

pass@1 is the mean over problems of the share of correct samples (avg@n); an undecided sample does not pass and is
counted aside. Intervals are 95 % bootstrap over problems; a gain is the paired difference to the base on the same
problems (`factory.metrics`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from factory import plugins
from factory.lake import now
from factory.metrics import interval
from factory.recipe import Evaluate, Generate
from factory.records import canonical, content_id
from factory.run import Run, make_teacher, strategy_key
from factory.stages import verify
from factory.stages.generate import Job, buy_all


@dataclass(frozen=True)
class Model:
    """A model to be evaluated: `name` for people, its folder, and the name of the model it is compared with."""

    name: str
    path: Path


def models(run: Run, students: Mapping[str, Path]) -> list[Model]:
    """The bases that the recipe starts from, then the students in order; those that write nothing are left out."""
    names = [s.name for s in run.recipe.students]
    writers = [s for s in run.recipe.students
               if not getattr(plugins.module("student", s.trainer.plugin), "SCORES", False)]
    bases = {s.base: Model(f"{Path(s.base).name} (base)", Path(s.base)) for s in writers if s.base not in names}
    return [*bases.values(), *(Model(s.name, students[s.name]) for s in writers if s.name in students)]


def evaluate(run: Run, students: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Evaluate every model that lacks an evaluation; returns the rows of all, the base first."""
    options = run.recipe.evaluate
    if options is None:
        return []
    asked = Generate.model_validate({"strategy": options.strategy, "samples": options.samples})
    jobs = {model: Job(run, "evaluate", make_teacher(options.teacher.with_params(model=str(model.path))), asked)
            for model in models(run, students)}
    buy_all({f"evaluate {model.name}": job for model, job in jobs.items()}, options.at_once)
    for shard in verify.shards(run):
        verify.work(run.lake, shard, run.recipe.verify)
    scores: dict[str, np.ndarray] = {}
    return [_score(run, options, model, canonical(job.teacher.identity), scores) for model, job in jobs.items()]


def _score(run: Run, options: Evaluate, model: Model, teacher: str, scores: dict[str, np.ndarray]) -> dict[str, Any]:
    found = _judged(run, options, teacher)
    scores[model.name] = np.array([passed / options.samples for _, passed, _, _ in found])
    row = _figures(run, options, model, teacher, found, scores)
    run.lake.append_new("evaluations", [row])
    return row


def _judged(run: Run, options: Evaluate, teacher: str) -> list[tuple[str, int, int, int]]:
    """(problem, correct, undecided samples, tokens) of every held-out problem; a missing sample is undecided."""
    found: list[tuple[str, int, int, int]] = run.lake.sql("""
        SELECT m.problem_id, count(*) FILTER (v.status = 'correct'),
               $5 - count(*) FILTER (v.status IN ('correct', 'wrong')), coalesce(sum(t.completion_tokens), 0)
        FROM members m JOIN problems p ON p.id = m.problem_id
        LEFT JOIN traces t ON t.problem_id = m.problem_id AND t.teacher = $2 AND t.strategy = $3 AND t.sample < $5
        LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
        WHERE m.run_id = $1 AND m.part = $4 GROUP BY 1 ORDER BY 1""",
        [run.id, teacher, strategy_key(options.strategy), "evaluate", options.samples]).fetchall()
    return found


def _figures(run: Run, options: Evaluate, model: Model, teacher: str, found: list[tuple[str, int, int, int]],
             scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    mine, base = scores[model.name], next(iter(scores.values()))
    low, high = interval(mine)
    gain_low, gain_high = interval(mine - base)
    first = len(scores) == 1
    return dict(
        id=content_id("evaluation", run.id, model.name, teacher, options.samples, [f[:3] for f in found]),
        run_id=run.id, model=model.name, path=str(model.path), teacher=teacher, problems=len(found),
        samples=options.samples, undecided=int(sum(f[2] for f in found)), pass_at_1=float(mine.mean()), low=low,
        high=high,
        gain=None if first else float((mine - base).mean()), gain_low=None if first else gain_low,
        gain_high=None if first else gain_high, tokens=int(sum(f[3] for f in found)), created=now())
