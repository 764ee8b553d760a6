"""datasets -> students: each training of the recipe in a process of its own, resumed after a crash, not done twice."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from factory import guard, models, plugins, training_records
from factory.lake import now
from factory.protocols import UserError
from factory.recipe import StudentSpec
from factory.records import canonical, content_id
from factory.run import Run
from factory.stages.emit import dataset_folder


def train(run: Run) -> dict[str, Path]:
    """Train what lacks; returns student name -> model folder. A student whose dataset is empty is left out, aloud.

    Students of datasets that a student makes are trained in that student's run (`factory.stages.on_policy`).
    """
    made: dict[str, Path] = {}
    own = {dataset.name for dataset in run.recipe.datasets if dataset.policy}
    for spec in [student for student in run.recipe.students if student.dataset not in own]:
        base = made.get(spec.base) or (None if _is_student(run, spec.base) else Path(spec.base))
        if base is None:
            _say_left_out(spec, f"its base '{spec.base}' was not trained")
        elif model := _train_one(run, spec, base):
            made[spec.name] = model
    return made


def trained(run: Run) -> dict[str, Path]:
    """The newest model folder of each student that this run has trained."""
    rows = run.lake.rows("""SELECT name, path FROM students WHERE run_id = $1
        QUALIFY row_number() OVER (PARTITION BY name ORDER BY created DESC) = 1""", [run.id])
    return {row["name"]: run.lake.folder / row["path"] for row in rows}


def only_scores(spec: StudentSpec) -> bool:
    """Whether what is trained writes no text and gives scores, as a reward model does."""
    return bool(getattr(plugins.module("student", spec.trainer.plugin), "SCORES", False))


def _is_student(run: Run, name: str) -> bool:
    return name in [s.name for s in run.recipe.students]


def _say_left_out(spec: StudentSpec, why: str) -> None:
    print(f"the student '{spec.name}' is left out: {why}")


def _train_one(run: Run, spec: StudentSpec, base: Path) -> Path | None:
    if not (base / "config.json").exists():
        raise UserError(f"the student '{spec.name}' starts from {base}, which is no model folder: set `base` to one, "
                        f"or to the name of an earlier student")
    dataset = dataset_folder(run, spec.dataset)
    facts = json.loads((dataset / "factory.json").read_text())
    if not facts["rows"]:
        _say_left_out(spec, f"the dataset '{spec.dataset}' is empty")
        return None
    key = content_id("student", models.digest(base), facts["id"], spec.trainer.plugin, spec.trainer.params,
                     plugins.version("student", spec.trainer.plugin))
    output = run.lake.place("students", run.recipe.name, f"{spec.name}-{key[3:11]}")
    with run.timed("train", spec.name) as counts:
        if not (output / "figures.json").exists():
            counts["rows"] = facts["rows"]
            _in_a_process(run, spec, base, dataset, output)
    figures = json.loads((output / "figures.json").read_text())
    _record(run, spec, key, facts, output, figures)
    run.lake.append_new("students", [dict(
        id=key, run_id=run.id, name=spec.name, plugin=spec.trainer.plugin, params=canonical(spec.trainer.params),
        base=str(base), dataset=facts["id"], path=str((output / "model").relative_to(run.lake.folder)),
        figures=canonical(figures), created=now())])
    return output / "model"


def _record(run: Run, spec: StudentSpec, key: str, facts: dict[str, Any], output: Path, figures: dict[str, Any]
            ) -> None:
    """What it took, its losses and their picture; and aloud what was left out."""
    noted = [json.loads(path.read_text()) for name in ("run.json", "plan.json") if (path := output / name).is_file()]
    settings = {key: value for part in noted for key, value in part.items()} or dict(spec.trainer.params)
    digest = run.lake.value("SELECT any_value(digest) FROM datasets WHERE id = $1", [facts["id"]]) or ""
    run.lake.append_new("losses", training_records.loss_rows(key, run.id, figures))
    run.lake.append_new("trainings", [training_records.training_row(
        key, run.id, spec.name, digest, settings, figures, now())])
    training_records.picture(f"{run.recipe.name}, {spec.name}", figures,
                             run.lake.place("plots", f"{run.recipe.name}-{spec.name}.png"))
    for name, what in training_records.TOO_LONG.items():
        if count := figures.get(name):
            of = f" of {count + figures.get('rows', 0):,}" if name == "rows_too_long" else ""
            print(f"the student '{spec.name}': {count:,}{of} {what} {figures.get('length_limit', 'max_length')} tokens "
                  "and were left out: raise max_length of its trainer, or take a base with a longer context")


def _in_a_process(run: Run, spec: StudentSpec, base: Path, dataset: Path, output: Path) -> None:
    """Torch's memory and threads are gone when the training is; its log is kept."""
    output.mkdir(parents=True, exist_ok=True)
    places = {"base": base, "dataset": dataset, "output": output}
    order = (output / "spec.json").resolve()
    order.write_text(json.dumps({"plugin": spec.trainer.plugin, "params": spec.trainer.params,
                                 **{name: str(path.resolve()) for name, path in places.items()}}))
    log = run.lake.place("logs", f"train-{spec.name}.log")
    log.unlink(missing_ok=True)
    print(f"training the student '{spec.name}' ({spec.trainer.plugin}); log: {log}", file=sys.stderr)
    # Under a guard: a trainer that outlived a killed run would write beside the one that resumes it.
    # Its path is ours: a private trainer beside the recipe is found there as it was here.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = guard.start([sys.executable, "-m", "factory.students", str(order)], environment, log)
    try:
        _tell_plan(child, output / "plan.json", log)
        child.wait()
    finally:
        guard.stop(child)
    if not (output / "figures.json").exists():
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        last = lines[-1] if lines else "no output"
        kept = any((output / "checkpoints").glob("checkpoint-*"))
        raise UserError(f"training the student '{spec.name}' failed: {last.strip()} (the whole log: {log})" + (
            "; its checkpoints are kept, so the same command goes on from there" if kept else ""))


def _tell_plan(child: "subprocess.Popen[bytes]", plan: Path, log: Path) -> None:
    """Pass on what a trainer says that it will take, once it says so."""
    while not plan.exists():
        try:
            child.wait(0.2)
            return
        except subprocess.TimeoutExpired:
            continue
    said = [line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith("about ")]
    print(*said[:1], sep="\n", file=sys.stderr)
