"""The rounds of a recipe with [rounds], with or without Prefect: generate with the best model so far, verify, select,
train, evaluate, and let the gate decide who is the next teacher (Llama 3.1, 2024, §4; expert iteration; STaR).

What a round is made of lies in `factory.stages.rounds`; here is the order. Killed anywhere, it goes on there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.lake import Lake
from factory.protocols import Exhausted
from factory.recipe import Recipe, Spending
from factory.run import Run
from factory.stages import rounds as stage
from factory.stages.rounds import Loop
from flows import pipeline
from flows.pipeline import Each, directly


def open_loop(recipe: str, lake: str) -> Loop:
    return Loop(Run(Recipe.model_validate_json(recipe), Lake(lake)))


# -- the shards ------------------------------------------------------------------------------------------------------


def load_held_out(recipe: str, lake: str) -> None:
    stage.load_held_out(open_loop(recipe, lake))


def load_round(recipe: str, lake: str, made: str) -> None:
    """The problems of a run of a round, given by its recipe: none may be held out."""
    pipeline.load_problems(made, lake)
    stage.refuse_overlap(open_loop(recipe, lake), pipeline.open_run(made, lake))


def close_round(recipe: str, lake: str, number: int) -> None:
    loop = open_loop(recipe, lake)
    try:
        stage.close(loop, number, list(Hold(loop, number).begun()))
    finally:
        loop.run.lake.compact()


# -- the order -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hold:
    """One round that is not closed yet."""

    loop: Loop
    number: int

    def begun(self) -> Iterator[Run]:
        """Its runs, each once those before it have trained their students."""
        best = stage.state(self.loop.rows(), True)[0]
        path = Path(best["path"]) if best else self.loop.base
        return stage.runs(stage.recipe_of(self.loop.recipe, self.number, path), self.loop.run.lake)

    def left(self) -> Spending:
        """What is left of the budget of all rounds; raises Exhausted at its end."""
        return stage.left(self.loop, list(self.begun()))

    def hold(self, each: Each, each_shard: Each) -> None:
        this = (self.loop.recipe.json_text(), str(self.loop.run.lake.folder))
        for run in self.begun():
            self._make(run, each, each_shard, this)
        self.left()
        each(close_round, [(*this, self.number)])

    def _make(self, run: Run, each: Each, each_shard: Each, this: tuple[str, str]) -> None:
        """Traces, datasets and students of one run."""
        limited = stage.limited(run, self.left())
        each(load_round, [(*this, limited.recipe.json_text())])
        pipeline.distill(limited, each, each_shard, rounds=this[0])
        if limited.recipe.students:
            each(pipeline.train_students, [(limited.recipe.json_text(), this[1])])


def rounds(run: Run, each: Each, each_shard: Each) -> None:
    """Hold what rounds are left, until one brings nothing. Raises Exhausted when the budget is spent."""
    loop = Loop(run)
    each(load_held_out, [(run.recipe.json_text(), str(run.lake.folder))])
    while (number := next_round(loop)) is not None:
        try:
            Hold(loop, number).hold(each, each_shard)
        except Exhausted as ended:
            stage.spent(loop, number, str(ended))
            raise
        for line in told(loop, number):
            print(line)


def next_round(loop: Loop) -> int | None:
    """Its number; None: all were held, or the gate ended them."""
    _, number, stopped = stage.state(loop.rows(), budget_left=True)
    number = max(1, number)
    return None if stopped or number > loop.options.count else number


def told(loop: Loop, number: int) -> Sequence[str]:
    """What the gate said about each student of a round."""
    rows: list[dict[str, Any]] = [row for row in loop.rows() if row["round"] == number]
    return [f"round {number}, {row['student']}: {row['reason']}" for row in rows] + [
        f"the rounds end: {row['stopped']}" for row in rows if row["stopped"]]


def everything(run: Run) -> None:
    """All rounds without Prefect."""
    with run.lake.writing():
        rounds(run, directly, directly)
