"""accuracies: a model is used as a teacher on held-out problems; intervals hold, gains are paired, nothing twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory.run import Run
from factory.stages import evaluate, load

Make = Callable[..., Run]

# A model is a folder whose name is its accuracy in per cent; what it is asked is counted in a file beside it.
STUDENT = '''
from pathlib import Path
from factory.teachers.scripted import Scripted

class Student(Scripted):
    def __init__(self, model):
        shares = dict(accuracy=int(Path(model).name) / 100, truncation=0, failure=0, repetition=0, mixing=0)
        super().__init__(shares, 0.0, 0, 8, {}, 0)
        self.identity = {"plugin": "student", "model": Path(model).name}
        self.log = Path(model).with_name("asked.txt")
    async def ask(self, messages, seed):
        with self.log.open("a") as log:
            log.write("x")
        return await super().ask(messages, seed)

def student(*, model: str):
    return Student(model)
'''
HELD_OUT = [(f"Compute {a} * {b}.", str(a * b)) for a in range(2, 12) for b in range(2, 8)]


@pytest.fixture
def run(make_run: Make, private: Callable[[str, str], str], source: Callable[..., dict[str, Any]],
        tmp_path: Path) -> Run:
    teacher = private("student", STUDENT)
    students = [{"name": name, "base": str(tmp_path / "20"), "dataset": "d", "trainer": "sft"} for name in ("a", "b")]
    made = make_run(
        datasets=[{"name": "d", "selector": "shortest", "emitter": "sft"}], students=students,
        evaluate={"problems": source(HELD_OUT, name="held_out"), "teacher": teacher, "samples": 2})
    load.load(made)
    return made


def scores(run: Run, folder: Path) -> list[dict[str, Any]]:
    return evaluate.evaluate(run, {"a": folder / "90", "b": folder / "20"})


def test_the_base_comes_first_and_the_students_are_compared_with_it(run: Run, tmp_path: Path) -> None:
    base, better, same = scores(run, tmp_path)
    assert [row["model"] for row in (base, better, same)] == ["20 (base)", "a", "b"]
    assert base["gain"] is None
    assert better["gain"] == pytest.approx(better["pass_at_1"] - base["pass_at_1"])
    assert better["gain_low"] > 0.3
    assert (same["gain"], same["gain_low"], same["gain_high"]) == (0, 0, 0)


def test_the_interval_holds_the_figure_and_the_truth(run: Run, tmp_path: Path) -> None:
    base, better, _ = scores(run, tmp_path)
    for row, truth in ((base, 0.2), (better, 0.9)):
        assert row["low"] < row["pass_at_1"] < row["high"]
        assert row["low"] < truth < row["high"]
        assert row["problems"] == 60


def test_evaluating_again_asks_nothing_and_notes_nothing(run: Run, tmp_path: Path) -> None:
    first = scores(run, tmp_path)
    asked = (tmp_path / "asked.txt").stat().st_size
    again = scores(run, tmp_path)
    assert (tmp_path / "asked.txt").stat().st_size == asked == 60 * 2 * 2  # one model is there under two names
    assert [row["id"] for row in first] == [row["id"] for row in again]
    assert run.lake.value("SELECT count(*) FROM evaluations") == 3


def test_an_answer_that_is_missing_is_undecided_and_does_not_pass(run: Run, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "buy_all", lambda jobs, at_once: 0)
    base, *_ = scores(run, tmp_path)
    assert (base["pass_at_1"], base["undecided"]) == (0, 120)


def test_what_is_held_out_is_not_a_trace_of_the_run(run: Run, tmp_path: Path) -> None:
    scores(run, tmp_path)
    assert run.lake.value("SELECT count(*) FROM run_traces") == 0
    assert run.lake.value("SELECT count(*) FROM traces") == 240
