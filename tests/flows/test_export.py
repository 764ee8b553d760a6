"""`cot export`: licences stop it, cards go with it, and the hub gets one commit."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import validate
from factory.run import Run
from flows import check, export, pipeline
from tests.flows.fake_hub import hub

Make = Callable[..., Lake]
SPECS = [{"name": "sft", "selector": "shortest", "emitter": "sft"},
         {"name": "dpo", "selector": "pairs", "emitter": "dpo"}]


def source(folder: Path, name: str, **keys: Any) -> dict[str, Any]:
    """Four problems that no other source has."""
    rows = [{"prompt": f"Compute {a} + {len(name)}.", "reference": str(a + len(name))} for a in range(4)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"plugin": "jsonl", "path": str(folder / f"{name}.jsonl"), "verifier": "exact_match", "source": name, **keys}


@pytest.fixture
def lake(tmp_path: Path) -> Make:
    """A lake with a run of some sources."""
    def make(*sources: dict[str, Any], **changes: Any) -> Lake:
        recipe = validate({"name": "r", "problems": list(sources), "teacher": {"plugin": "scripted", "accuracy": 0.5},
                           "verify": {"workers": 1}, "audit": {"share": 0}, "datasets": SPECS, **changes}, "the test")
        made = Lake(tmp_path / "lake")
        pipeline.everything(Run(recipe, made))
        return made
    return make


@pytest.mark.parametrize("licence", ["CC-BY-NC-ND-4.0", "CC BY-ND 3.0", "custom, no distillation", "no-training"])
def test_a_source_that_forbids_it_stops_the_export_with_the_rows_named(lake: Make, tmp_path: Path, licence: str
                                                                       ) -> None:
    made = lake(source(tmp_path, "free", licence="MIT"), source(tmp_path, "bound", licence=licence))
    rows = [row[0] for row in made.sql("""SELECT k.chosen FROM picks k JOIN problems p ON p.id = k.problem_id
        WHERE p.source = 'bound' AND dataset = 'sft' ORDER BY 1""").fetchall()]
    with pytest.raises(UserError) as error:
        list(export.export(made, "r", str(tmp_path / "out"), private=False))
    assert f"the dataset 'sft' must not leave: {len(rows)} of its rows ({', '.join(rows)}) are of the source 'bound' " \
           f"with the licence '{licence}'" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_only_the_rows_of_the_licence_are_named_and_those_of_every_source(lake: Make, tmp_path: Path) -> None:
    mixed, bound = source(tmp_path, "mixed"), source(tmp_path, "of_others", licence="no-distill")
    lines = [json.loads(line) for line in Path(mixed["path"]).read_text().splitlines()]
    licences = ["MIT", "CC-BY-ND-4.0", "MIT", "MIT"]
    Path(mixed["path"]).write_text("".join(
        json.dumps({**row, "licence": licence}) + "\n" for row, licence in zip(lines, licences, strict=True)))
    made = lake(mixed, bound, teacher={"plugin": "scripted", "accuracy": 1.0}, datasets=SPECS[:1])
    with pytest.raises(UserError) as error:
        list(export.export(made, "r", str(tmp_path / "out"), private=False))
    said = str(error.value)
    assert "leave: 1 of its rows (" in said and "'mixed' with the licence 'CC-BY-ND-4.0'" in said
    assert ", and 4 of its rows (" in said and "'of_others' with the licence 'no-distill'" in said
    rule = "licence != 'CC-BY-ND-4.0' AND licence != 'no-distill'"
    assert f'(licensed = "{rule}")' in said
    made = lake(mixed, bound, teacher={"plugin": "scripted", "accuracy": 1.0}, datasets=SPECS[:1],
                rules={"licensed": rule})
    assert [line[:11] for line in export.export(made, "r", str(tmp_path / "out"), private=False)] == ["sft: 3 rows"]


def test_the_rule_that_the_sentence_proposes_mends_it(lake: Make, tmp_path: Path) -> None:
    bound = source(tmp_path, "bound", licence="CC-BY-NC-ND-4.0")
    made = lake(source(tmp_path, "free", licence="MIT"), bound, rules={"licensed": "licence != 'CC-BY-NC-ND-4.0'"})
    assert len(list(export.export(made, "r", str(tmp_path / "out"), private=False))) == 2


def test_a_recipe_may_set_its_own_list(lake: Make, tmp_path: Path) -> None:
    made = lake(source(tmp_path, "a", licence="CC-BY-ND-4.0"), forbid_licences=["^gpl"])
    assert list(export.export(made, "r", str(tmp_path / "out"), private=False))


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-SA-4.0", "ODC-BY"])
def test_usual_licences_are_not_forbidden(licence: str) -> None:
    recipe = validate({"name": "r", "problems": ["worlds"], "teacher": "scripted"}, "the test")
    assert recipe.forbids(licence) is None


def test_a_pattern_that_is_none_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"forbid_licences holds '\(', which is no regular expression"):
        validate({"name": "r", "problems": ["worlds"], "teacher": "scripted", "forbid_licences": ["("]}, "the test")


def test_check_finds_a_forbidden_licence_before_a_token_is_bought(tmp_path: Path) -> None:
    recipe = validate({"name": "r", "problems": [source(tmp_path, "a", licence="CC-BY-ND-4.0")], "teacher": "scripted"},
                      "the test")
    with pytest.raises(UserError, match=r"the source 'jsonl' has the licence 'CC-BY-ND-4\.0', which falls under"):
        check.check(recipe)


PUPIL = """from factory.teachers.scripted import scripted
def pupil(*, model="gpt-4o"):
    made = scripted(accuracy=0.5)
    made.identity = {"plugin": "pupil", "model": model}
    return made
"""


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A teacher that calls itself by the name of a closed model."""
    package = "closed_" + "".join(c for c in tmp_path.name if c.isalnum())
    (tmp_path / package).mkdir()
    (tmp_path / package / "pupil.py").write_text(PUPIL)
    monkeypatch.syspath_prepend(str(tmp_path))
    return {"plugin": f"{package}.pupil"}


def test_a_teacher_whose_terms_forbid_it_stops_the_export_with_the_rows_named(lake: Make, tmp_path: Path,
                                                                              closed: dict[str, Any]) -> None:
    made = lake(source(tmp_path, "free", licence="MIT"), teacher=closed)
    rows = [row[0] for row in made.sql("SELECT chosen FROM picks WHERE dataset = 'sft' ORDER BY 1").fetchall()]
    with pytest.raises(UserError) as error:
        list(export.export(made, "r", str(tmp_path / "out"), private=False))
    assert f"the dataset 'sft' must not leave: {len(rows)} of its rows ({', '.join(rows)}) were written by 'gpt-4o' " \
           "under the terms 'OpenAI, Terms of Use of 2024-12-11: no training" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_terms_that_the_recipe_states_go_before_those_that_are_known(lake: Make, tmp_path: Path,
                                                                     closed: dict[str, Any]) -> None:
    free = source(tmp_path, "free", licence="MIT")
    made = lake(free, teacher=closed, teacher_terms="a contract of 2026-01-01")
    assert list(export.export(made, "r", str(tmp_path / "out"), private=False))
    assert "| gpt-4o | a contract of 2026-01-01 |" in (tmp_path / "out/sft/README.md").read_text()
    made = lake(free, teacher={**closed, "model": "mine"}, teacher_terms="custom, no distillation")
    with pytest.raises(UserError, match="written by 'mine' under the terms 'custom, no distillation', which fall und"):
        list(export.export(made, "r", str(tmp_path / "out2"), private=False))


def test_check_notes_such_a_teacher_before_a_token_is_bought(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                             ) -> None:
    values = {"name": "r", "problems": [source(tmp_path, "a", licence="MIT")], "teacher": {
        "plugin": "openai_api", "model": "gpt-4o", "key_env": ""}}
    check.check(validate(values, "the test"))
    assert "note: `cot export` will refuse what the teacher 'gpt-4o' writes (OpenAI" in capsys.readouterr().err
    check.check(validate({**values, "teacher_terms": "a contract"}, "the test"))
    assert capsys.readouterr().err == ""


def test_a_missing_licence_is_a_warning_here_and_stops_a_push(lake: Make, tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    made = lake(source(tmp_path, "bare"))
    assert list(export.export(made, "r", str(tmp_path / "out"), private=False))
    said = "problems without a licence (of 'bare'): set `licence` on that source in the recipe, and run it again"
    assert said in capsys.readouterr().err
    with pytest.raises(UserError, match="problems without a licence"):
        list(export.export(made, "r", "hf://me/it", private=False))


def test_a_licence_that_the_recipe_states_later_counts(lake: Make, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    lake(source(tmp_path, "bare"))
    made = lake(source(tmp_path, "bare", licence="MIT"))
    assert list(export.export(made, "r", str(tmp_path / "out"), private=False))
    assert "without a licence" not in capsys.readouterr().err
    assert "| bare | MIT |" in (tmp_path / "out/sft/README.md").read_text()


def test_a_lake_that_knows_a_problem_without_its_licence_hides_no_forbidden_one(lake: Make, tmp_path: Path) -> None:
    lake(source(tmp_path, "bare"))
    with pytest.raises(UserError, match="gave no usable problem"):
        lake(source(tmp_path, "bare", licence="no-distill"))
    made = lake(source(tmp_path, "bare", licence="no-distill"), source(tmp_path, "free"), forbid_licences=[])
    assert list(export.export(made, "r", str(tmp_path / "out"), private=False))


def test_an_empty_dataset_is_left_out_and_several_are_one_sentence(lake: Make, tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    made = lake(source(tmp_path, "a", licence="MIT"), teacher={"plugin": "scripted", "accuracy": 1.0})
    assert [line.split(":")[0] for line in export.export(made, "r", str(tmp_path / "out"), private=False)] == ["sft"]
    assert "the dataset 'dpo' is empty and left out" in capsys.readouterr().err
    made = lake(source(tmp_path, "a", licence="MIT"), rules={"never": "length(raw) < 0"})
    with pytest.raises(UserError, match="every dataset of the run 'r' is empty: loosen the rules"):
        list(export.export(made, "r", str(tmp_path / "out2"), private=False))


def push(made: Lake, endpoint: str, home: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """`cot export r hf://me/it` with the real client; in a process of its own, since that reads its settings once."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_none", "HF_HOME": str(home),
                "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-m", "flows.cli", "export", "r", "hf://me/it", "--lake", str(made.folder), *more]
    return subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True)


def test_the_hub_gets_every_file_and_one_card_in_one_commit(lake: Make, tmp_path: Path) -> None:
    made = lake(source(tmp_path, "a", licence="MIT"))
    with hub(tmp_path / "hub") as server:
        done = push(made, server.url, tmp_path / "home", "--private")
    rows = {name: made.value("SELECT count(*) FROM picks WHERE dataset = $1", [name]) for name in ("sft", "dpo")}
    assert done.stdout.splitlines() == [f"{name}: {count} rows in hf://me/it" for name, count in rows.items()]
    assert server.created == [{"name": "it", "organization": "me", "type": "dataset", "visibility": "private"}]
    assert server.commits == ["sft, dpo by CoT Factory"] and len(server.large) == 2
    header = yaml.safe_load((tmp_path / "hub/README.md").read_text().split("---\n")[1])
    assert (header["license"], [config["config_name"] for config in header["configs"]]) == ("mit", ["sft", "dpo"])
    for name, count in rows.items():
        found = datasets.load_dataset(str(tmp_path / "hub"), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert len(found) == count
        for file, told in json.loads((tmp_path / "hub" / name / "manifest.json").read_text()).items():
            if file.startswith("data/"):
                there = (tmp_path / "hub" / name / file).read_bytes()
                assert (hashlib.sha256(there).hexdigest(), len(there)) == (told["sha256"], told["bytes"])


def test_a_hub_that_refuses_is_one_sentence(lake: Make, tmp_path: Path) -> None:
    made = lake(source(tmp_path, "a", licence="MIT"))
    with hub(tmp_path / "hub", refuses=True) as server:
        done = push(made, server.url, tmp_path / "home")
    assert (done.returncode, done.stdout) == (1, "") and "this token may not write here" in done.stderr
    assert "cot: could not push to hf://me/it: " in done.stderr and "Traceback" not in done.stderr
