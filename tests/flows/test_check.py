"""`cot check`: what would fail only after the teacher was paid is found before."""

from pathlib import Path
from typing import Any

import pytest

from factory.protocols import UserError
from factory.recipe import validate
from flows import check

HELD_OUT = {"problems": "worlds", "teacher": "scripted"}
SFT = {"name": "sft", "selector": "shortest", "emitter": "sft"}


def checked(**changes: Any) -> list[str]:
    return check.check(validate({"name": "r", "problems": ["worlds"], "teacher": "scripted", **changes}, "the test"))


@pytest.mark.parametrize(("changes", "said"), [
    ({"measures": [{"plugin": "token_length", "tokenizer": "/nope"}]},
     "the measure 'token_length': there is no tokenizer '/nope': name a folder with tokenizer.json"),
    ({"datasets": [{**SFT, "selector": {"plugin": "best_over_worst", "score": "quality"}}]},
     "the selector 'best_over_worst': best_over_worst has no measure 'quality' to rank by: add it to `measures`"),
    ({"datasets": [{**SFT, "emitter": "dpo"}]}, "the emitter 'dpo': the pick of a made-up correct trace of 9 tokens h"),
    ({"datasets": [{**SFT, "selector": "pairs"}], "generate": {"samples": 1}},
     "the dataset 'sft' would be empty: its selector 'pairs' needs two traces of a problem, and one sample is asked f"),
    ({"rules": {"calm": "length < 0"}, "measures": ["length"]},
     r"the rule 'calm' \(length < 0\) can never be true and would drop every trace: mend it, or remove it"),
    ({"datasets": [SFT], "rules": {"bad": "status = 'wrong'"}},
     "the dataset 'sft' would be empty: the rules let wrong traces pass alone, and of those its selector 'shortest' c"),
    ({"datasets": [SFT], "students": [{"name": "s", "base": "data/student", "dataset": "sft", "trainer": "kto"}]},
     "the student 's' is trained by 'kto' on rows with prompt, completion, label, and the emitter 'sft' of the datas"),
    ({"datasets": [SFT], "students": [{"name": "s", "base": "data/nope", "dataset": "sft", "trainer": "sft"}]},
     r"neither a model folder here nor an earlier student: use one of \(none\)"),
    ({"budget": {"max_usd": 1}}, "budget.max_usd needs a price"),
    ({"budget": {"max_gpu_hours": 1}}, "budget.max_gpu_hours needs to know how many GPUs"),
    ({"datasets": [{**SFT, "selector": {"plugin": "shortest", "per_problem": 0}}]}, "per_problem is 0: use 1 or more"),
    ({"datasets": [{**SFT, "selector": {"plugin": "diverse", "n": 0}}]}, "diverse needs per_problem and n of 1 or mo"),
    ({"evaluate": {**HELD_OUT, "score": "lenght"}}, "no measure 'lenght': did you mean 'length'"),
    ({"evaluate": {**HELD_OUT, "curves": {"budgets": [8], "forcing": {"wait_s": 1}}}},
     "'budget_forcing' has no parameter 'wait_s'"),
    ({"evaluate": {**HELD_OUT, "score": {"plugin": "reward", "model": "data/student"}}}, "holds no reward model"),
    ({"evaluate": {**HELD_OUT, "problems": {"plugin": "benchmark", "name": "gsm9k"}}}, "did you mean 'gsm8k'")])
def test_what_a_plugin_lacks_is_found_before_anything_starts(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        checked(**changes)


def test_a_student_that_cannot_be_asked_token_by_token_has_no_curve_by_budget(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab_check").mkdir()
    (tmp_path / "lab_check/textual.py").write_text("from factory.teachers.scripted import scripted\n\n\n"
                                                   "def textual(*, model: str):\n    return scripted()\n")
    evaluate = {**HELD_OUT, "teacher": "lab_check.textual", "models": ["data/student"]}
    assert checked(evaluate=evaluate)
    with pytest.raises(UserError, match="'budget_forcing' needs a teacher that can be asked token by token"):
        checked(evaluate={**evaluate, "curves": {"budgets": [8]}})


def test_a_measure_under_its_own_name_is_there_for_a_selector() -> None:
    measures = [{"plugin": "length", "of": "thinking", "name": "quality"}, "log_probability"]
    assert checked(measures=measures, datasets=[{**SFT, "selector": {"plugin": "best_over_worst", "score": "quality"}}])


def test_a_source_without_a_licence_is_noted_where_there_is_a_dataset(tmp_path: Path,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "1 + 1?", "reference": "2"}\n')
    source = {"plugin": "jsonl", "path": str(tmp_path / "p.jsonl")}
    checked(problems=[source], datasets=[SFT])
    assert "note: the source 'jsonl' states no licence" in capsys.readouterr().err
    checked(problems=[source])
    checked(problems=[{**source, "licence": "MIT"}], datasets=[SFT])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("licence", "noted"), [("CC-BY-NC-4.0", True), ("cc by-nc-sa", True), ("Non-commercial", True),
                                                ("CC-BY-4.0", False)])
def test_a_source_for_non_commercial_use_is_noted(licence: str, noted: bool, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "1 + 1?", "reference": "2"}\n')
    checked(problems=[{"plugin": "jsonl", "path": str(tmp_path / "p.jsonl"), "licence": licence}], datasets=[SFT])
    assert (f"the licence '{licence}', for non-commercial use or research only" in capsys.readouterr().err) == noted
