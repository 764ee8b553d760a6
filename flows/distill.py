"""The Prefect flows: `distill`, `train`, `evaluate`, `factory`, which is all three, and `rounds`.

Prefect brings scheduling, retries, work pools, artifacts and the UI; none of it is written here. A flow takes a
recipe's path and a lake's path, so that a deployment can schedule it. None has `log_prints`: it replaces `print` in the
whole process, and dill, by which `datasets` hashes a function, reads a disassembly that it lets `dis` print.
"""

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect import tags as tagged
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal

from factory.lake import Lake
from factory.plugins import allow_private
from factory.protocols import UserError
from factory.recipe import load
from factory.run import Run
from flows import artifacts, pipeline, server, tasks
from flows import rounds as rounding


def _distill(run: Run) -> None:
    try:
        pipeline.distill(run, tasks.here(run), tasks.spread(run))
    finally:
        artifacts.show(run)


def _rounds(run: Run) -> None:
    try:
        rounding.rounds(run, tasks.here(run), tasks.spread(run))
    finally:
        artifacts.show_rounds(run)


PARTS: dict[str, Callable[[Run], None]] = {
    "distill": _distill,
    "train": lambda run: pipeline.train_all(run, tasks.here(run), tasks.spread(run)),
    "evaluate": lambda run: pipeline.evaluate_all(run, tasks.here(run)),
    "rounds": _rounds,
}


def _run(parts: Sequence[str], recipe: str, lake: str, settings: Sequence[str]) -> State[Any] | None:
    """The parts in order, under the lake's lock. A user's mistake is a failed state that says the sentence."""
    tasks.quiet_exit()
    _no_pages()
    try:
        run = _open(recipe, lake, settings)
        with run.lake.writing():
            for part in parts:
                PARTS[part](run)
    except UserError as error:
        return tasks.failed(error)
    except KeyboardInterrupt:
        if multiprocessing.parent_process():  # a scheduled run: Python would print pages of traceback as its last words
            sys.exit(130)
        raise
    return None


def _open(recipe: str, lake: str, settings: Sequence[str]) -> Run:
    """A scheduled flow comes here without passing the command line, so plugins in this folder are made known here."""
    allow_private(os.getcwd())
    return Run(load(Path(recipe), settings), Lake(lake))


@flow(name="distill")
def distill(recipe: str, lake: str = "data/lake", settings: tuple[str, ...] = ()) -> State[Any] | None:
    """problems -> datasets."""
    return _run(["distill"], recipe, lake, settings)


@flow(name="train")
def train(recipe: str, lake: str = "data/lake", settings: tuple[str, ...] = ()) -> State[Any] | None:
    """datasets -> students."""
    return _run(["train"], recipe, lake, settings)


@flow(name="evaluate")
def evaluate(recipe: str, lake: str = "data/lake", settings: tuple[str, ...] = ()) -> State[Any] | None:
    """students -> accuracies on held-out problems."""
    return _run(["evaluate"], recipe, lake, settings)


@flow(name="factory")
def factory(recipe: str, lake: str = "data/lake", settings: tuple[str, ...] = ()) -> State[Any] | None:
    """The whole recipe."""
    return _run(["distill", "train", "evaluate"], recipe, lake, settings)


@flow(name="rounds")
def rounds(recipe: str, lake: str = "data/lake", settings: tuple[str, ...] = ()) -> State[Any] | None:
    """The recipe again and again, with the best student so far as the teacher."""
    return _run(["rounds"], recipe, lake, settings)


FLOWS: dict[str, Any] = {"distill": distill, "train": train, "evaluate": evaluate, "factory": factory, "rounds": rounds}


def run_flow(name: str, recipe: Path, lake: Path, settings: Sequence[str]) -> None:
    """Run a flow here, in a terminal, with the recipe's task runner. A user's mistake comes out as itself, and SIGTERM,
    which Prefect makes an exception of its own, as the interruption that it is.
    """
    _only_our_lines()
    checked = load(recipe, settings)
    server.ensure(lake / "logs" / "prefect-server.log")
    chosen = FLOWS[name].with_options(task_runner=tasks.runner(checked))
    try:
        with tagged("cot-factory", checked.name):
            chosen(str(recipe), str(lake), tuple(settings), return_state=True).result()
    except TerminationSignal as signal:
        raise KeyboardInterrupt from signal


def _only_our_lines() -> None:
    """Keep what Prefect says about runs to its UI: what went wrong reaches the terminal once, from the command line."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).propagate = False


def _no_pages() -> None:
    """Leave tracebacks to the log that the UI shows: in a terminal Ctrl-C on a schedule would print pages of them."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    """A filter of handlers; Prefect's handler for the UI has had the record before."""
    if record.name.startswith("prefect."):
        record.exc_info = record.exc_text = None
    return True
