"""`cot export`: licences stop it, cards go with it, and the hub gets one commit."""

import json
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
    assert export.forbidden(recipe, licence) is None


def test_a_pattern_that_is_none_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"forbid_licences holds '\(', which is no regular expression"):
        validate({"name": "r", "problems": ["worlds"], "teacher": "scripted", "forbid_licences": ["("]}, "the test")


def test_check_finds_a_forbidden_licence_before_a_token_is_bought(tmp_path: Path) -> None:
    recipe = validate({"name": "r", "problems": [source(tmp_path, "a", licence="CC-BY-ND-4.0")], "teacher": "scripted"},
                      "the test")
    with pytest.raises(UserError, match=r"the source 'jsonl' has the licence 'CC-BY-ND-4\.0', which falls under"):
        check.check(recipe)


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


def test_an_empty_dataset_is_left_out_and_several_are_one_sentence(lake: Make, tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    made = lake(source(tmp_path, "a", licence="MIT"), teacher={"plugin": "scripted", "accuracy": 1.0})
    assert [line.split(":")[0] for line in export.export(made, "r", str(tmp_path / "out"), private=False)] == ["sft"]
    assert "the dataset 'dpo' is empty and left out" in capsys.readouterr().err
    made = lake(source(tmp_path, "a", licence="MIT"), rules={"never": "false"})
    with pytest.raises(UserError, match="every dataset of the run 'r' is empty: loosen the rules"):
        list(export.export(made, "r", str(tmp_path / "out2"), private=False))


def test_the_hub_gets_every_file_and_one_card_in_one_commit(lake: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                            ) -> None:
    import huggingface_hub

    made = lake(source(tmp_path, "a", licence="MIT"))
    called: list[Any] = []
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda self, *a, **k: called.append((a, k)))
    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", lambda self, *a, **k: called.append((a, k)))
    assert len(list(export.export(made, "r", "hf://me/it", private=True))) == 2
    assert called[0] == (("me/it",), {"repo_type": "dataset", "private": True, "exist_ok": True})
    for operation in called[1][0][1]:
        path = tmp_path / "hub" / operation.path_in_repo
        path.parent.mkdir(parents=True, exist_ok=True)
        given = operation.path_or_fileobj
        path.write_bytes(given if isinstance(given, bytes) else Path(given).read_bytes())
    header = yaml.safe_load((tmp_path / "hub/README.md").read_text().split("---\n")[1])
    assert (header["license"], [config["config_name"] for config in header["configs"]]) == ("mit", ["sft", "dpo"])
    for name in ("sft", "dpo"):
        rows = datasets.load_dataset(str(tmp_path / "hub"), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert len(rows) == made.value("SELECT count(*) FROM picks WHERE dataset = $1", [name])
