"""The recipes of rounds: who teaches, who starts where, what a reward model scores, and the budget of it all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory.lake import Lake
from factory.protocols import Exhausted, UserError
from factory.recipe import Recipe, Spending, validate
from factory.run import Run
from factory.stages import rounds

DATASETS = [{"name": "d", "selector": "shortest", "emitter": "sft"},
            {"name": "ranked", "selector": "rankings", "emitter": "reward_model"},
            {"name": "own", "selector": "pairs", "emitter": "dpo", "policy": "sft"}]
STUDENTS = [{"name": "judge", "base": "start", "dataset": "ranked", "trainer": "reward_model"},
            {"name": "sft", "base": "start", "dataset": "d", "trainer": "sft"},
            {"name": "dpo", "base": "sft", "dataset": "own", "trainer": "dpo"}]


def recipe(rules: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    return validate({"name": "x", "problems": [{"plugin": "worlds", "seed": 5}], "teacher": "scripted",
                     "on_policy": {"teacher": "lab.pupil"}, "datasets": DATASETS, "students": STUDENTS,
                     "evaluate": {"problems": "worlds", "teacher": "lab.pupil"},
                     "rounds": {"dev": {"plugin": "worlds", "split": "dev"}, **(rules or {})}, **changes}, "the test")


def test_the_first_round_has_the_recipes_teacher_and_later_ones_the_best_student() -> None:
    first, second = (rounds.recipe_of(recipe(), number, Path("best")) for number in (1, 2))
    assert (first.name, first.teacher.plugin, first.round) == ("x-r1", "scripted", 1)
    assert (second.name, second.teacher.plugin, second.teacher.params) == ("x-r2", "lab.pupil", {"model": "best"})


@pytest.mark.parametrize(("start", "bases"), [("best", ["best", "best", "sft"]), ("base", ["start", "start", "sft"])])
def test_students_start_from_the_best_or_always_from_the_base(start: str, bases: list[str]) -> None:
    made = rounds.recipe_of(recipe({"start": start}), 2, Path("best"))
    assert [spec.base for spec in made.students] == bases


def test_each_round_may_have_problems_of_its_own() -> None:
    made = [rounds.recipe_of(recipe({"vary": "seed"}), number, Path("b")).problems[0].params for number in (1, 3)]
    assert made == [{"seed": 5}, {"seed": 7}]


def test_rationalising_changes_how_the_teacher_is_asked_and_not_the_student() -> None:
    made = rounds.recipe_of(recipe({"rationalise": True}, generate={"strategy": {
        "plugin": "sample", "suffix": "!"}}), 1, Path("b"))
    assert (made.generate.strategy.plugin, made.generate.strategy.params) == ("rationalise", {"suffix": "!"})
    assert made.on_policy.strategy and made.on_policy.strategy.plugin == "sample"
    assert made.rules[rounds.LEAK] == "hint_leak = 0"
    assert [spec.plugin for spec in made.measures] == ["hint_leak"]


PUPIL = """
class Pupil:
    def __init__(self, model):
        self.identity = {"model": model}

def pupil(*, model: str = ""):
    return Pupil(model)
"""


@pytest.fixture
def teacher(private: Callable[[str, str], str]) -> str:
    return private("pupil", PUPIL)


def trained(run: Run, name: str) -> str:
    path = f"students/{run.recipe.name}/{name}-01234567/model"
    run.lake.append("students", [dict(id=f"{run.id}{name}", run_id=run.id, name=name, path=path, created="1")])
    return str(run.lake.folder / path)


def test_a_reward_model_is_trained_first_and_scores_what_the_others_learn_from(teacher: str, lake: Lake) -> None:
    made = rounds.recipe_of(recipe({"reward": "judge"}, teacher=teacher, on_policy={"teacher": teacher}), 1, Path("b"))
    [ranking] = rounds.runs(made, lake)
    assert ranking.recipe.name == "x-r1-judge"
    assert ([d.name for d in ranking.recipe.datasets], [s.name for s in ranking.recipe.students]) == (
        ["ranked"], ["judge"])
    judge = trained(ranking, "judge")
    _, main = rounds.runs(made, lake)
    assert [(spec.column, spec.params) for spec in main.recipe.measures] == [("reward", {"model": judge})]
    assert ([d.name for d in main.recipe.datasets], [s.name for s in main.recipe.students]) == (
        ["d", "own"], ["sft", "dpo"])
    trained(main, "sft")
    *_, own = rounds.runs(made, lake)
    assert [spec.column for spec in own.recipe.measures] == ["reward"]


def test_a_reward_that_is_no_student_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'judge'"):
        recipe({"reward": "jugde"})


def test_ids_do_not_depend_on_where_the_lake_lies() -> None:
    def at(folder: str) -> str:
        made = recipe(teacher={"plugin": "vllm_server", "model": f"{folder}/students/x-r1/sft-01234567/model"})
        return made.id

    assert at("/a/lake") == at("b/lake")
    assert at("/a/lake") != recipe(teacher={"plugin": "vllm_server", "model": "students/model"}).id


def test_what_a_run_may_spend_is_what_all_rounds_have_left(teacher: str, lake: Lake) -> None:
    run = Run(recipe(teacher=teacher, budget={"max_usd": 2.0}), lake)
    limited = rounds.limited(run, Spending(max_tokens=70, max_usd=5.0, max_seconds=9.0)).recipe.budget
    assert (limited.max_tokens, limited.max_usd, limited.max_seconds) == (70, 2.0, 9.0)


def test_a_spent_budget_says_so(teacher: str, lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "start/config.json").write_text("{}")
    students = [{**spec, "base": str(tmp_path / "start")} if spec["base"] == "start" else spec for spec in STUDENTS]
    loop = rounds.Loop(Run(recipe({"budget": {"max_tokens": 100}}, teacher=teacher, students=students), lake))
    assert rounds.left(loop, []).max_tokens == 100
    row = dict(run_id=loop.id, place=0, student="sft")
    lake.append("rounds", [dict(row, id="r", round=1, tokens=60, evaluated_tokens=30)])
    assert rounds.left(loop, []).max_tokens == 10
    lake.append("rounds", [dict(row, id="s", round=2, tokens=10)])
    with pytest.raises(Exhausted, match=r"rounds\.budget\.max_tokens = 100 is reached \(100\)"):
        rounds.left(loop, [])
