"""Datasets of a student's own traces: what is asked, by whom, and in which order students are trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory.protocols import UserError
from factory.recipe import Recipe, validate
from factory.run import Run
from factory.stages import generate, load, on_policy

Make = Callable[..., Run]

DATASETS = [{"name": "d", "selector": "shortest", "emitter": "sft"},
            {"name": "own", "selector": "pairs", "emitter": "dpo", "policy": "sft"}]
STUDENTS = [{"name": "sft", "base": "data/student", "dataset": "d", "trainer": "sft"},
            {"name": "dpo", "base": "sft", "dataset": "own", "trainer": "dpo"}]


def recipe(**changes: Any) -> Recipe:
    return validate({"name": "x", "problems": ["worlds"], "teacher": {"plugin": "vllm_server", "model": "big"},
                     "datasets": DATASETS, "students": STUDENTS, **changes}, "the test")


def test_a_student_is_asked_like_the_teacher_and_what_it_writes_trains_the_next() -> None:
    made = on_policy.recipe_of(recipe(), "sft", {"sft": Path("made/sft")})
    assert made.name == "x-sft"
    assert made.teacher.params == {"model": "made/sft"}
    assert [(d.name, d.policy) for d in made.datasets] == [("own", "")]
    assert [(s.name, s.base) for s in made.students] == [("dpo", "made/sft")]
    assert (made.problems, made.generate) == (recipe().problems, recipe().generate)


def test_how_a_student_is_asked_is_its_own_table() -> None:
    own = {"teacher": {"plugin": "vllm_server", "sampling": {"temperature": 1.0}}, "samples": 9,
           "problems": [{"plugin": "worlds", "seed": 7}], "strategy": "budget_forcing"}
    made = on_policy.recipe_of(recipe(on_policy=own), "sft", {"sft": Path("made/sft")})
    assert made.teacher.params == {"sampling": {"temperature": 1.0}, "model": "made/sft"}
    assert (made.generate.samples, made.generate.strategy.plugin) == (9, "budget_forcing")
    assert made.problems[0].params == {"seed": 7}


def test_only_students_with_a_dataset_of_their_own_are_asked() -> None:
    assert on_policy.asked(recipe()) == ["sft"]
    assert on_policy.asked(recipe(datasets=[DATASETS[0], {**DATASETS[1], "policy": ""}])) == []


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"datasets": [DATASETS[0], {**DATASETS[1], "policy": "stf"}]}, "did you mean 'sft'"),
    ({"students": [STUDENTS[1], STUDENTS[0]]}, "put 'sft' before it"),
    ({"students": [*STUDENTS, {**STUDENTS[0], "name": "late", "base": "dpo"}]}, "is trained after it")])
def test_an_order_that_cannot_be_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        recipe(**changes)


PUPIL = """
class Pupil:
    def __init__(self, model):
        self.identity = {"model": model}

def pupil(*, model: str):
    return Pupil(model)
"""


def test_nobody_is_asked_before_being_trained(make_run: Make, private: Callable[[str, str], str]) -> None:
    run = make_run(datasets=DATASETS, students=STUDENTS, on_policy={"teacher": private("pupil", PUPIL)})
    assert list(on_policy.runs(run)) == []
    run.lake.append("students", [dict(id="s", run_id=run.id, name="sft", path="students/sft", created="1")])
    [own] = on_policy.runs(run)
    assert own.recipe.teacher.params["model"] == str(run.lake.folder / "students/sft")
    assert on_policy.students(run) == {"sft": run.lake.folder / "students/sft"}
    run.lake.append("students", [dict(id="t", run_id=own.id, name="dpo", path="students/dpo", created="2")])
    assert list(on_policy.students(run)) == ["sft", "dpo"]


SERVED = """
from pathlib import Path
from factory.teachers.scripted import Scripted

class Served(Scripted):
    def __init__(self, model, sampling):
        shares = dict(accuracy=0.5, truncation=0, failure=0, repetition=0, mixing=0)
        super().__init__(shares, 0.0, 0, 8, sampling, 0)
        self.model, self.engine, self.joined = model, model, False
        self.identity = {"model": model, "sampling": dict(sampling)}

    def join(self, other):
        assert other.model == self.model
        self.joined = True

    async def __aenter__(self):
        with Path(__file__).with_name("starts.txt").open("a") as log:
            log.write("joined " if self.joined else "started ")
        return self

def served(*, model: str, sampling: dict = {}):
    return Served(model, sampling)
"""


def test_the_server_of_a_teacher_that_is_evaluated_answers_the_held_out_problems_as_well(
        make_run: Make, private: Callable[[str, str], str], source: Callable[..., dict[str, Any]],
        tmp_path: Path) -> None:
    name = private("served", SERVED)
    model = tmp_path / "model"
    model.mkdir()
    run = make_run(
        teacher={"plugin": name, "model": str(model), "sampling": {"temperature": 1.0}}, datasets=DATASETS[:1],
        students=[{**STUDENTS[0], "base": str(model)}],
        evaluate={"problems": source([("Compute 9 + 9.", "18")], name="held_out"), "teacher": name})
    load.load(run)
    assert generate.generate(run, on_policy.evaluation(run)) == 17
    assert (tmp_path / name.partition(".")[0] / "starts.txt").read_text() == "started joined "
    other = Run(run.recipe.model_copy(update={"students": []}), run.lake)
    assert on_policy.evaluation(other) == {}, "its teacher is not one of the models that are evaluated"
