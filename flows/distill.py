"""The Prefect side: `distill`, `train`, `evaluate` and `factory` (all three) as flows whose tasks are shards.

Prefect brings scheduling, retries, work pools, artifacts and the UI; none of it is written here. A flow takes a
recipe's path and a lake's path, so that a deployment can schedule it.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import Recipe, load
from factory.run import Run
from flows import pipeline, report


@functools.cache
def _task(shard: pipeline.Shard, retries: int) -> Any:
    """The shard as a Prefect task. A user's mistake is not retried: it would be the same mistake."""
    return task(shard, name=shard.__name__.replace("_", " "), retries=retries, retry_delay_seconds=2,
                retry_condition_fn=_worth_again, tags=["cot-factory", shard.__name__], persist_result=False)


def _worth_again(_task: Any, _run: Any, state: Any) -> bool:
    return not isinstance(getattr(state, "data", None), UserError) and "UserError" not in str(state.message)


def _here(recipe: Recipe) -> pipeline.Each:
    """Run as a task in this thread: what owns a server, a training or the terminal is not moved elsewhere."""
    def each(shard: pipeline.Shard, arguments: Sequence[Sequence[Any]]) -> None:
        for given in arguments:
            _task(shard, recipe.tasks.retries)(*given)
    return each


def _spread(recipe: Recipe) -> pipeline.Each:
    """Hand the shards to the flow's task runner, and show how far they are."""
    def each(shard: pipeline.Shard, arguments: Sequence[Sequence[Any]]) -> None:
        if not arguments:
            return
        shown = create_progress_artifact(progress=0.0, key=shard.__name__.replace("_", "-"),
                                         description=f"{len(arguments)} shards")
        futures = [_task(shard, recipe.tasks.retries).submit(*given) for given in arguments]
        for done, future in enumerate(futures, 1):
            future.result()
            update_progress_artifact(artifact_id=shown, progress=100 * done / len(arguments))
    return each


def _runner(recipe: Recipe) -> Any:
    """Prefect's task runner of that name. Raises UserError when its package is not installed."""
    if recipe.tasks.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=recipe.verify.workers)
    if recipe.tasks.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=recipe.verify.workers)
    package, name = {"ray": ("prefect_ray", "RayTaskRunner"), "dask": ("prefect_dask", "DaskTaskRunner")}[
        recipe.tasks.runner]
    try:
        return getattr(__import__(package), name)()
    except ImportError as error:
        raise UserError(f"tasks.runner = '{recipe.tasks.runner}' needs {package}: pip install "
                        f"{package.replace('_', '-')}, or use threads or processes") from error


def _open(recipe: str, lake: str, settings: Sequence[str]) -> Run:
    return Run(load(Path(recipe), settings), Lake(lake))


def _show(run: Run) -> None:
    """The funnel as a table and the datasets as links, in Prefect's UI."""
    rows = [{"step": name, "count": count} for name, count in report.funnel(run.lake, run.id)]
    create_table_artifact(rows, key="funnel", description=f"from problems to datasets: {run.recipe.name}")
    for row in report.datasets(run.lake, run.id):
        folder = (run.lake.folder / row["path"]).resolve()
        create_link_artifact(folder.as_uri(), link_text=f"{row['name']} ({row['rows']} rows)",
                             key=f"dataset-{row['name']}".lower().replace("_", "-").replace(".", "-"))


def _distill(run: Run) -> None:
    try:
        pipeline.distill(run, _here(run.recipe), _spread(run.recipe))
    finally:
        _show(run)


PARTS: dict[str, Callable[[Run], None]] = {
    "distill": _distill,
    "train": lambda run: pipeline.train_all(run, _here(run.recipe)),
    "evaluate": lambda run: pipeline.evaluate_all(run, _here(run.recipe)),
}


def _run(parts: Sequence[str], recipe: str, lake: str, settings: Sequence[str]) -> None:
    run = _open(recipe, lake, settings)
    with run.lake.writing():
        for part in parts:
            PARTS[part](run)


@flow(name="distill", log_prints=True)
def distill(recipe: str, lake: str = "data/lake", settings: tuple[str, ...] = ()) -> None:
    """problems -> datasets."""
    _run(["distill"], recipe, lake, settings)


@flow(name="train", log_prints=True)
def train(recipe: str, lake: str = "data/lake", settings: tuple[str, ...] = ()) -> None:
    """datasets -> students."""
    _run(["train"], recipe, lake, settings)


@flow(name="evaluate", log_prints=True)
def evaluate(recipe: str, lake: str = "data/lake", settings: tuple[str, ...] = ()) -> None:
    """students -> accuracies on held-out problems."""
    _run(["evaluate"], recipe, lake, settings)


@flow(name="factory", log_prints=True)
def factory(recipe: str, lake: str = "data/lake", settings: tuple[str, ...] = ()) -> None:
    """The whole recipe."""
    _run(["distill", "train", "evaluate"], recipe, lake, settings)


FLOWS: dict[str, Any] = {"distill": distill, "train": train, "evaluate": evaluate, "factory": factory}


def run_flow(name: str, recipe: Path, lake: Path, settings: Sequence[str]) -> None:
    """Run a flow here with the recipe's task runner. A user's mistake comes out as itself."""
    chosen = FLOWS[name].with_options(task_runner=_runner(load(recipe, settings)))
    state = chosen(str(recipe), str(lake), tuple(settings), return_state=True)
    if not state.is_completed():
        state.result(raise_on_failure=True)
