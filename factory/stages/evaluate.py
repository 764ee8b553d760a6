"""students -> accuracies: each model is used as a teacher on the held-out problems, before and after each training.

pass@1 is the mean over problems of the share of correct samples (avg@n); an undecided sample does not pass and is
counted aside. Intervals are 95 % bootstrap over problems; a gain is the paired difference to another model on the same
problems (`factory.metrics`). What is computed of them is in `factory.stages.scores`, the curves are in `curves`.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from factory import plugins
from factory.lake import now
from factory.metrics import interval, paired
from factory.protocols import UserError
from factory.recipe import Evaluate, Generate
from factory.records import content_id
from factory.run import Run, make_teacher
from factory.stages import curves, measure, samples, scores, seen, verify
from factory.stages.generate import Job, buy_all
from factory.stages.samples import Samples

TOO_EASY = 0.95
"""A baseline that solves more leaves no room for a gain."""


@dataclass(frozen=True)
class Model:
    """A model to be evaluated: `name` for people, and its folder."""

    name: str
    path: Path


@dataclass(frozen=True)
class Asked:
    """A model with its samples: what the others are compared with."""

    model: Model
    job: Job
    samples: Samples

    @property
    def rates(self) -> np.ndarray:
        """[problems]: the share of right samples."""
        return np.asarray(self.samples.right.mean(axis=1))


def models(run: Run, students: Mapping[str, Path]) -> list[Model]:
    """The bases that the recipe starts from, then the students in order, then the further models of the recipe; those
    that write nothing are left out."""
    names = [s.name for s in run.recipe.students]
    writers = [s for s in run.recipe.students
               if not getattr(plugins.module("student", s.trainer.plugin), "SCORES", False)]
    bases = {s.base: Model(f"{Path(s.base).name} (base)", Path(s.base)) for s in writers if s.base not in names}
    named = run.recipe.evaluate.models if run.recipe.evaluate else []
    further = [Model(path, Path(path)) for path in dict.fromkeys(named)]
    made = [Model(s.name, students[s.name]) for s in writers if s.name in students]
    return [*bases.values(), *made, *further]


def evaluate(run: Run, students: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Evaluate every model that lacks an evaluation; returns the rows of all, the base first."""
    options = run.recipe.evaluate
    if options is None:
        return []
    asked = Generate.model_validate({"strategy": options.strategy, "samples": options.samples})
    found = models(run, students)
    _refuse_nothing(run, found)
    jobs = {model: Job(run, "evaluate", make_teacher(options.teacher.with_params(model=str(model.path))), asked)
            for model in found}
    points = {model: curves.jobs(run, job, str(model.path)) for model, job in jobs.items()}
    stages = {f"evaluate {model.name}": job for model, job in jobs.items()}
    stages |= {f"evaluate {model.name}{name}": job for model, more in points.items() for name, job in more.items()}
    buy_all(stages, options.at_once)
    _judge(run, list(stages.values()))
    rows = _evaluated(run, [Asked(model, job, samples.read(run, job)) for model, job in jobs.items()])
    for model, row in zip(found, rows, strict=True):
        curves.note(run, row, points[model])
    return rows


def _refuse_nothing(run: Run, found: Sequence[Model]) -> None:
    if not run.lake.value("SELECT count(*) FROM members WHERE run_id = $1 AND part = 'evaluate'", [run.id]):
        raise UserError(f"the held-out problems of '{run.recipe.name}' are not in this lake: `cot run` the recipe "
                        "first, or name the lake of its run")
    if not found:
        print("there is no model to evaluate: add [[students]], or evaluate.models", file=sys.stderr)


def _judge(run: Run, jobs: Sequence[Job]) -> None:
    """Verdicts of all answers, and the score of each where the recipe has one."""
    for shard in verify.shards(run):
        verify.work(run.lake, shard, run.recipe.verify)
    if spec := samples.score_spec(run.recipe):
        traces = {row[0] for job in jobs for row in job.query("""SELECT id FROM traces
            WHERE teacher = $teacher AND strategy = $strategy AND sample < $samples AND problem_id IN (
                SELECT problem_id FROM members WHERE run_id = $run AND part = $part)""")}
        owed = traces - {row[0] for row in run.lake.sql(
            "SELECT trace_id FROM measurements WHERE measure = $1 AND params = $2 AND version = $3",
            list(measure.key(spec))).fetchall()}
        if owed:
            measure.work(run.lake, sorted(owed), [spec])


# -- rows ------------------------------------------------------------------------------------------------------------


def _evaluated(run: Run, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """The row of each model; those of `scores` are written before it, so that one which is listed is whole."""
    options = run.recipe.evaluate
    assert options
    if len(asked) and asked[0].rates.mean() > TOO_EASY:
        print(f"warning: {asked[0].model.name} solves {asked[0].rates.mean():.1%} of the held-out problems before any "
              "training, so they can hardly show a gain: take harder ones", file=sys.stderr)
    rows = []
    for place, one in enumerate(asked):
        row = _row(run, options, one, asked[:place], _met(run, one))
        if row["id"] not in run.lake.ids("evaluations"):
            found = [scores.record(row, told) for told in _scores(run, options, one, asked[:place])]
            run.lake.append_new("scores", found)
        run.lake.append_new("evaluations", [row])
        rows.append(row)
    return rows


def _row(run: Run, options: Evaluate, one: Asked, earlier: Sequence[Asked], met: np.ndarray | None) -> dict[str, Any]:
    mine = one.rates
    low, high = interval(mine)
    gain = paired(mine, earlier[0].rates) if earlier else None
    clean = None if met is None else mine[~met]
    settings = [options.k, [a.samples.digest for a in earlier], scores.VERSION, one.samples.digest,
                None if met is None else met.tolist()]
    return dict(
        id=content_id("evaluation", run.id, one.model.name, one.job.keys, options.samples, settings),
        run_id=run.id, model=one.model.name, path=str(one.model.path), problems=len(mine), samples=options.samples,
        undecided=int(one.samples.undecided.sum()), pass_at_1=float(mine.mean()), low=low, high=high,
        gain=gain and gain.gain, gain_low=gain and gain.low, gain_high=gain and gain.high, gain_p=gain and gain.p,
        tokens=int(one.samples.tokens.sum()), contaminated=None if met is None else int(met.sum()),
        clean_pass_at_1=None if clean is None or not len(clean) else float(clean.mean()), created=now(),
        **scores.asked_how(one.job))


def _met(run: Run, one: Asked) -> np.ndarray | None:
    """[problems]: whether each meets the training data; None for a model that was not trained here."""
    found = seen.met(run, one.model.name, one.model.path)
    return None if found is None else np.isin(one.samples.problems, list(found))


def _scores(run: Run, options: Evaluate, one: Asked, earlier: Sequence[Asked]) -> Iterator[dict[str, Any]]:
    answers = samples.one_writing(one.samples, run.recipe.verify)
    ks = sorted(set(options.k)) or scores.default_k(options.samples)
    parts = scores.slices(one.samples, earlier[0].rates if earlier else None)
    by = {name: spec.column for name in ("best", "weighted") if (spec := samples.score_spec(run.recipe))}
    for row in scores.rows(one.samples, scores.per_problem(one.samples, answers, ks), parts):
        yield dict(row, by=by.get(row["metric"]))
    yield from scores.risks(one.samples, answers)
    for other in earlier:
        yield from (dict(row, against=other.model.name) for row in scores.gains(one.rates, other.rates, parts))
