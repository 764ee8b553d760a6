"""The order of the stages, with or without Prefect: a stage is a list of shards, and somebody runs each of them.

A shard function takes JSON and strings only, so that any task runner can carry it to another process or machine.
"""

from collections.abc import Callable, Sequence
from typing import Any

from factory.lake import Lake
from factory.protocols import Exhausted
from factory.recipe import Recipe
from factory.run import Run
from factory.stages import (
    audit,
    choose,
    embed,
    emit,
    evaluate,
    generate,
    load,
    majority,
    measure,
    on_policy,
    recorded,
    screen,
    train,
    verify,
)
from factory.stages import rounds as round_stage
from flows.audit import changes

Shard = Callable[..., Any]
Each = Callable[[Shard, Sequence[Sequence[Any]]], None]
"""Runs a shard function once for each list of arguments: in a loop (`directly`), or as Prefect tasks."""


def directly(shard: Shard, arguments: Sequence[Sequence[Any]]) -> None:
    """One after the other, here."""
    for given in arguments:
        shard(*given)


def open_run(recipe: str, lake: str) -> Run:
    return Run(Recipe.model_validate_json(recipe), Lake(lake))


# -- the shards ------------------------------------------------------------------------------------------------------


def load_problems(recipe: str, lake: str) -> None:
    load.load(open_run(recipe, lake))


def generate_traces(recipe: str, lake: str, rounds: str = "") -> None:
    """`rounds`: the recipe whose round it is, if it is one; its held-out problems are asked with the same server."""
    run = open_run(recipe, lake)
    try:
        if run.recipe.teacher.plugin == recorded.NAME:
            recorded.take(run)
        else:
            generate.generate(run, round_stage.beside(rounds, run) if rounds else on_policy.evaluation(run))
    finally:
        run.lake.compact()


def verify_shard(recipe: str, lake: str, ids: list[str]) -> None:
    run = open_run(recipe, lake)
    with run.timed("verify") as counts:
        counts["rows"] = verify.work(run.lake, ids, run.recipe.verify, run.id, run.recipe.audit.share)


def hold_votes(recipe: str, lake: str, ids: list[str]) -> None:
    run = open_run(recipe, lake)
    with run.timed("vote") as counts:
        counts["rows"] = majority.work(run, ids)


def measure_shard(recipe: str, lake: str, ids: list[str]) -> None:
    run = open_run(recipe, lake)
    with run.timed("measure") as counts:
        counts["rows"] = measure.work(run.lake, ids, run.recipe.measures)


def try_embedding(recipe: str, lake: str) -> None:
    """A run without traces is a new one: then before the teacher is paid. Later there may be nothing left to embed."""
    run = open_run(recipe, lake)
    if not run.lake.value("SELECT count(*) FROM run_traces WHERE run_id = $1", [run.id]):
        embed.check(run.recipe)


def embed_texts(recipe: str, lake: str) -> None:
    embed.embed(open_run(recipe, lake))


def choose_and_emit(recipe: str, lake: str) -> None:
    run = open_run(recipe, lake)
    emit.emit(run, screen.rows(run, choose.choose(run)))


def train_students(recipe: str, lake: str) -> None:
    train.train(open_run(recipe, lake))


def evaluate_students(recipe: str, lake: str) -> None:
    run = open_run(recipe, lake)
    try:
        evaluate.evaluate(run, on_policy.students(run))
    finally:
        run.lake.compact()


# -- the order -------------------------------------------------------------------------------------------------------


def distill(run: Run, each: Each, each_shard: Each, rounds: str = "") -> None:
    """problems -> datasets. `each` runs what is one piece, `each_shard` what may run side by side; `rounds` is the
    recipe whose round the run is part of, if it is.
    """
    this = (run.recipe.json_text(), str(run.lake.folder))
    run.register()
    each(load_problems, [this])
    if run.recipe.embed:
        each(try_embedding, [this])
    ended = _generated(each, (*this, rounds))
    owed = verify.shards(run)
    each_shard(verify_shard, [(*this, ids) for ids in owed])
    for line in changes(run.lake, [name for ids in owed for name in ids]) if owed else []:
        print(line)
    audit.enforce(run)
    directly(hold_votes, [(*this, ids) for ids in majority.shards(run)])  # few and quick
    each_shard(measure_shard, [(*this, ids) for ids in measure.shards(run)])
    if run.recipe.embed:
        each(embed_texts, [this])
    each(choose_and_emit, [this])
    if ended:
        raise ended


def _generated(each: Each, this: tuple[str, str, str]) -> Exhausted | None:
    """Why generation ended early through nobody's mistake: what it bought goes on to datasets all the same."""
    try:
        each(generate_traces, [this])
    except Exhausted as ended:
        return ended
    return None


def train_all(run: Run, each: Each, each_shard: Each = directly) -> None:
    """datasets -> students; then each student that is asked for traces of its own -> datasets -> students."""
    if run.recipe.students:
        each(train_students, [(run.recipe.json_text(), str(run.lake.folder))])
    for own in on_policy.runs(run):
        distill(own, each, each_shard)
        train_all(own, each)
        run.register()  # the run that was asked for is the newest again, which `cot status` means


def evaluate_all(run: Run, each: Each) -> None:
    """students -> accuracies."""
    if run.recipe.evaluate:
        each(evaluate_students, [(run.recipe.json_text(), str(run.lake.folder))])


def everything(run: Run) -> None:
    """The whole recipe without Prefect."""
    with run.lake.writing():
        distill(run, directly, directly)
        train_all(run, directly)
        evaluate_all(run, directly)


def locked(run: Run, part: Callable[[Run, Each], None]) -> None:
    """One part without Prefect."""
    with run.lake.writing():
        part(run, directly)
