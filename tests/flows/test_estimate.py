"""`cot estimate`: a pilot that is a part of the run, and what all of it will take."""

import json
import re
from pathlib import Path

import pytest

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import Recipe, validate
from flows import pipeline
from flows.estimate import estimate


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """40 problems, 3 samples each, of a teacher that costs a dollar for a million tokens."""
    rows = [{"prompt": f"Compute {a} * 3.", "reference": str(3 * a)} for a in range(40)]
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return validate({
        "name": "guess", "problems": [{"plugin": "jsonl", "path": str(tmp_path / "problems.jsonl"),
                                       "verifier": "exact_match"}],
        "teacher": {"plugin": "scripted", "accuracy": 1.0}, "generate": {"samples": 3}, "verify": {"workers": 1},
        "price": {"input": 0.0, "output": 1e6}}, "the test")


def interval(text: str, name: str) -> tuple[float, float, float]:
    """The figure of a line and its interval."""
    line = next(line for line in text.splitlines() if line.strip().startswith(name))
    value, low, high = (float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\.?\d*", line)[-3:])
    return value, low, high


def test_the_pilot_is_kept_and_the_run_lies_within_the_interval(recipe: Recipe, tmp_path: Path) -> None:
    text = estimate(recipe, tmp_path / "lake", 12)
    lake = Lake(tmp_path / "lake")
    pilot = lake.ids("traces")
    assert len(pilot) == 36
    assert text.startswith("pilot: 12 of 40 problems, 36 traces, 100% of them right")
    run = pipeline.open_run(recipe.json_text(), str(tmp_path / "lake"))
    pipeline.everything(run)
    assert pilot < lake.ids("traces")
    assert lake.value("SELECT count(*) FROM traces") == 120
    tokens, low, high = interval(text, "tokens written")
    assert low < tokens < high
    assert low * 0.8 < lake.value("SELECT sum(completion_tokens) FROM traces") < high * 1.2
    assert interval(text, "cost")[0] == pytest.approx(tokens, rel=0.01)


def test_estimating_again_buys_nothing(recipe: Recipe, tmp_path: Path) -> None:
    first = estimate(recipe, tmp_path / "lake", 4)
    lake = Lake(tmp_path / "lake")
    before = lake.ids("traces")
    assert interval(estimate(recipe, tmp_path / "lake", 4), "tokens written") == interval(first, "tokens written")
    assert lake.ids("traces") == before


def test_one_problem_is_too_few(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="an estimate needs 2 at least"):
        estimate(recipe, tmp_path / "lake", 1)


def test_a_file_of_traces_is_not_estimated(recipe: Recipe, tmp_path: Path) -> None:
    teacher = recipe.teacher.model_copy(update={"plugin": "recorded"})
    with pytest.raises(UserError, match="is a file, and what is there costs nothing"):
        estimate(recipe.model_copy(update={"teacher": teacher}), tmp_path / "lake", 5)
