"""Whose template counts, and what of a row is learnt from. What templates do is in students/test_roundtrip.py."""

from pathlib import Path
from typing import Any

import pytest

from factory import child, roundtrip
from factory.protocols import UserError
from factory.recipe import Recipe, validate

pytest.importorskip("transformers", reason="the round trip needs the extra [train]")


def recipe(dataset: dict[str, Any], students: list[dict[str, str]]) -> Recipe:
    return validate({
        "name": "r", "problems": ["worlds"], "teacher": "scripted",
        "datasets": [{"name": "d", "selector": "shortest", "emitter": "sft", **dataset}],
        "students": [{"dataset": "d", "trainer": "sft", **student} for student in students]}, "the test")


def template_of(dataset: dict[str, Any], *students: dict[str, str]) -> roundtrip.Template | None:
    made = recipe(dataset, list(students))
    return roundtrip.template_of(made, made.datasets[0])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    return tmp_path / "model"


def test_the_template_is_that_of_the_base_of_the_student_through_the_students_before(model: Path) -> None:
    chain = ({"name": "b", "base": "a", "dataset": "d"}, )
    first = {"name": "a", "base": str(model), "dataset": "other"}
    made = recipe({}, []).model_copy(update={"students": recipe({}, [
        {"name": "a", "base": str(model)}, *chain]).students})
    assert roundtrip.template_of(made, made.datasets[0]) == roundtrip.Template(model, None)
    assert template_of({}, {"name": first["name"], "base": first["base"]}) == roundtrip.Template(model, None)


def test_without_a_student_or_with_none_nothing_is_checked(model: Path) -> None:
    assert template_of({}) is None
    assert template_of({"template": "none"}, {"name": "a", "base": str(model)}) is None


def test_a_template_file_is_used_with_the_students_tokenizer(model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("x")
    assert template_of({"template": str(tmp_path / "t.jinja")}) == roundtrip.Template(None, tmp_path / "t.jinja")
    mine = template_of({"template": str(tmp_path / "t.jinja")}, {"name": "a", "base": str(model)})
    assert mine == roundtrip.Template(model, tmp_path / "t.jinja")


def test_a_private_trainer_may_take_a_base_without_a_tokenizer(tmp_path: Path, model: Path) -> None:
    assert template_of({}, {"name": "a", "base": str(tmp_path), "trainer": "mine.count"}) is None
    assert template_of({}, {"name": "a", "base": str(model), "trainer": "mine.count"}) is not None


@pytest.mark.parametrize(("dataset", "said"), [
    ({"template": "/nowhere"}, "the template '/nowhere' of the dataset 'd' is not there: set datasets.template to"),
    ({}, "the base '.*' of the student on 'd' is a folder without a tokenizer: set datasets.template to")])
def test_a_tokenizer_that_is_not_there_is_one_sentence(tmp_path: Path, dataset: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        template_of(dataset, {"name": "a", "base": str(tmp_path)})


def test_the_digest_is_of_the_tokenizer_and_the_template_alone(model: Path) -> None:
    before = roundtrip.Template(model, None).digest
    (model / "model.safetensors").write_bytes(b"weights")
    assert roundtrip.Template(model, None).digest == before
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert roundtrip.Template(model, None).digest != before


USER, GOOD, BAD = ({"role": role, "content": text} for role, text in (
    ("user", "?"), ("assistant", "yes"), ("assistant", "no")))


@pytest.mark.parametrize(("row", "sides"), [
    ({"messages": [USER, GOOD]}, [{"messages": [USER, GOOD], "first": 0}]),
    ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
     [{"messages": [USER, GOOD], "first": 1}, {"messages": [USER, BAD], "first": 1}]),
    ({"prompt": [USER, {"role": "assistant", "content": "y"}], "chosen": [{"role": "assistant", "content": "es"}]},
     [{"messages": [USER, GOOD], "first": 1}]),
    ({"prompt": [USER], "completion": [GOOD], "label": True}, [{"messages": [USER, GOOD], "first": 1}]),
    ({"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "yes"}]},
     [{"messages": [USER, GOOD], "first": 0}]),
    ({"instruction": "?", "input": "", "output": "yes", "system": ""}, [{"messages": [USER, GOOD], "first": 1}]),
    ({"instruction": "?", "input": "", "chosen": "yes", "rejected": "no"},
     [{"messages": [USER, GOOD], "first": 1}, {"messages": [USER, BAD], "first": 1}]),
    ({"chosen": [USER, GOOD], "rejected": [USER, BAD]},
     [{"messages": [USER, GOOD], "first": 1}, {"messages": [USER, BAD], "first": 1}]),
    ({"text": "? yes"}, []), ({"prompt": "?", "reference": "yes"}, [])])
def test_the_conversations_of_a_row(row: dict[str, Any], sides: list[Any]) -> None:
    assert roundtrip.sides(row) == sides


def test_a_child_that_dies_is_one_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child.sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="the check of chat templates failed: it ended with code 1 and said"), \
            roundtrip.checking(roundtrip.Template(model, None)):
        pass


def test_a_tokenizer_that_does_not_open_is_one_sentence(model: Path) -> None:
    with pytest.raises(UserError, match=r"there is no tokenizer in .* that opens"), \
            roundtrip.checking(roundtrip.Template(model, None)):
        pass
