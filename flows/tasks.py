"""Shards of stages as Prefect tasks: named, tagged, tried again, and handed to the recipe's task runner.

A task is a shard, never a trace: Prefect needs 11 to 14 ms for each and its server stumbles over thousands.
"""

import atexit
import functools
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from factory.protocols import UserError
from factory.recipe import Recipe
from factory.run import Run
from flows import artifacts, pipeline


def here(run: Run) -> pipeline.Each:
    """Run as tasks in this thread: what owns a server, a training or the terminal is not moved elsewhere."""
    def each(shard: pipeline.Shard, arguments: Sequence[Sequence[Any]]) -> None:
        for given in arguments:
            watched = shard is pipeline.generate_traces
            with artifacts.watched(pipeline.open_run(*given[:2])) if watched else nullcontext():
                _task(shard, run.recipe.tasks.retries)(*given, return_state=True).result()
    return each


def spread(run: Run) -> pipeline.Each:
    """Hand the shards to the flow's task runner, and show how far they are."""
    def each(shard: pipeline.Shard, arguments: Sequence[Sequence[Any]]) -> None:
        if not arguments:
            return
        bar = artifacts.Progress(_name(shard), len(arguments), "shards")
        futures = [_task(shard, run.recipe.tasks.retries).submit(*given) for given in arguments]
        for done, future in enumerate(futures, 1):
            future.wait()
            future.state.result()
            bar.at(done)
    return each


@functools.cache
def _task(shard: pipeline.Shard, retries: int) -> Any:
    """The shard as a Prefect task."""
    made = task(name=_name(shard), tags=["cot-factory", shard.__name__], retries=retries, retry_delay_seconds=2,
                retry_condition_fn=_worth_again, persist_result=False, cache_policy=NO_CACHE)  # the lake is the cache
    return made(_told(shard))


def _name(shard: pipeline.Shard) -> str:
    return shard.__name__.replace("_", " ")


def _told(shard: pipeline.Shard) -> pipeline.Shard:
    """The shard with a user's mistake as a failed state: for an exception Prefect would log pages of traceback."""
    @functools.wraps(shard)
    def told(*given: Any) -> Any:
        quiet_exit()  # a task may run in a process of its own
        try:
            return shard(*given)
        except UserError as error:
            return failed(error)
    return told


def failed(error: UserError) -> State[Any]:
    """The sentence as the state that the UI shows."""
    return Failed(message=str(error), data=error)


def _worth_again(_task: Any, _run: Any, state: State[Any]) -> bool:
    """A crash may pass; a user's mistake, which comes as a state (`_told`), would be the same mistake again."""
    return not isinstance(state.data, State)


def runner(recipe: Recipe) -> Any:
    """Prefect's task runner of the recipe. Raises UserError when its package is not installed."""
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


@functools.cache
def quiet_exit() -> None:
    """Let this process say nothing after its last line. Prefect's threads outlive the interpreter and hold the run's
    context, through it our modules and through them DuckDB, so nanobind, seeing DuckDB's types alive, prints pages of
    "leaked instance". Nothing is lost by it, and a thread of Prefect's cannot be told to let go.
    """
    def hush() -> None:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    atexit.register(hush)
