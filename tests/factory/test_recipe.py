"""A recipe's mistakes are one sentence each, and name what is right."""

from pathlib import Path
from typing import Any

import pytest

from factory.protocols import UserError
from factory.recipe import load, validate

SMALL = """
name = "small"
problems = ["worlds"]
teacher = "scripted"
"""


def recipe(folder: Path, text: str = SMALL) -> Path:
    file = folder / "small.toml"
    file.write_text(text)
    return file


def values(**changes: Any) -> dict[str, Any]:
    return {"name": "small", "problems": ["worlds"], "teacher": "scripted", **changes}


def refusal(file: Path, *settings: str) -> str:
    with pytest.raises(UserError) as error:
        load(file, settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_small_recipe_has_defaults(tmp_path: Path) -> None:
    read = load(recipe(tmp_path))
    assert (read.generate.samples, read.generate.strategy.plugin, read.datasets) == (4, "sample", [])


def test_a_plugin_is_a_name_or_a_table(tmp_path: Path) -> None:
    one = validate(values(teacher="scripted"), "")
    other = validate(values(teacher={"plugin": "scripted"}), "")
    assert one == other
    assert validate(values(teacher={"plugin": "scripted", "seed": 1}), "").teacher.params == {"seed": 1}


def test_a_recipe_survives_its_own_json() -> None:
    made = validate(values(measures=[{"plugin": "repetition", "n": 4}], rules={"calm": "repetition < 0.5"}), "")
    assert type(made).model_validate_json(made.json_text()) == made


def test_the_id_is_that_of_the_content_and_not_of_how_the_work_is_spread() -> None:
    assert validate(values(), "").id == validate(values(tasks={"shard": 7, "runner": "dask"}), "").id
    assert validate(values(), "").id != validate(values(rules={"a": "true"}), "").id


TYPOS = [  # (a line of the recipe, what the sentence says)
    ("sampels = 3", "unknown key 'sampels'"),
    ("[generate]\nsampels = 3", "unknown key 'generate.sampels': did you mean 'samples'?"),
    ("[[datasets]]\nname = 'a'\nselctor = 'shortest'\nemitter = 'sft'", "the key 'datasets.0.selector' is missing"),
    ("[[datasets]]\nname = 'a'\nselector = 'x'\nemitter = 'sft'\nrows = 3",
     "unknown key 'datasets.0.rows': use one of emitter"),
    ("[generate]\nsamples = 100000000000000000000", "input should be less than or equal to 1000000"),
    ("[generate]\nsamples = 0", "generate.samples = 0: input should be greater than or equal to 1"),
    ("[generate]\nsamples = 'many'", "generate.samples = 'many': input should be a valid integer"),
    ("[generate.strategy]\nsystem = 'x'", "the key 'generate.strategy.plugin' is missing"),
    ("[verify]\ntimeout = inf", "verify.timeout = inf: input should be a finite number"),
    ("[verify]\ntimeout = -1", "verify.timeout = -1: input should be greater than 0"),
    ("[tasks]\nrunner = 'threds'", "tasks.runner = 'threds'"),
    ("measures = 'length'", "measures = 'length': input should be a valid list"),
    ("measures = [3]", "measures.0 = 3"),
    ("rules = { short = 3 }", "rules.short = 3: input should be a valid string"),
    ("[[measures]]\nplugin = 'repetition'\nn = 2026-01-01", "n = 2026-01-01 is a date, a time, inf or nan"),
    ("[[measures]]\nplugin = 'repetition'\nn = nan", "n = nan is a date, a time, inf or nan: write a finite number"),
    ("[[datasets]]\nname = '../a'\nselector = 'x'\nemitter = 'y'", "datasets.0.name = '../a'"),
    ("[[students]]\nname = 's'\nbase = 'b'\ndataset = 'sftt'\ntrainer = 'sft'",
     "the student 's' asks for the dataset 'sftt'"),
    ("name = 'again'", "is not valid TOML: Cannot overwrite a value"),
    ("this is no toml", "is not valid TOML"),
]


@pytest.mark.parametrize(("line", "said"), TYPOS)
def test_a_mistake_is_one_sentence(tmp_path: Path, line: str, said: str) -> None:
    assert said in refusal(recipe(tmp_path, SMALL + line))


@pytest.mark.parametrize("key", ["name", "problems", "teacher"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    lines = [line for line in SMALL.splitlines() if not line.startswith(key)]
    assert f"the key '{key}' is missing" in refusal(recipe(tmp_path, "\n".join(lines)))


def test_a_recipe_without_problems_is_refused(tmp_path: Path) -> None:
    assert "problems = []" in refusal(recipe(tmp_path), "problems=[]")


@pytest.mark.parametrize("names", [("a", "a"), ("a", "b")])
def test_two_datasets_need_two_names(names: tuple[str, str]) -> None:
    datasets = [{"name": name, "selector": "shortest", "emitter": "sft"} for name in names]
    if names[0] != names[1]:
        validate(values(datasets=datasets), "")
        return
    with pytest.raises(UserError, match="two datasets have the same name"):
        validate(values(datasets=datasets), "")


def test_a_recipe_that_is_not_there_names_its_neighbours(tmp_path: Path) -> None:
    recipe(tmp_path)
    assert "did you mean 'small.toml'?" in refusal(tmp_path / "smal.toml")
    assert "there is no recipe" in refusal(tmp_path / "no/such/folder.toml")


def test_a_folder_and_a_binary_file_are_no_recipes(tmp_path: Path) -> None:
    assert "is a folder: name a recipe file in it" in refusal(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\0")
    assert "is not valid TOML" in refusal(tmp_path / "binary.toml")


SETTINGS = [  # (--set, where it lands, what is there)
    ("generate.samples=2", ("generate", "samples"), 2),
    ("name=other", ("name",), "other"),
    ('name="quoted"', ("name",), "quoted"),
    ("verify.timeout=2.5", ("verify", "timeout"), 2.5),
    ("teacher={plugin = \"scripted\", seed = 3}", ("teacher", "params"), {"seed": 3}),
    ("problems.0={plugin = \"worlds\", count = 5}", ("problems", 0, "params"), {"count": 5}),
    ("rules.short=completion_tokens < 100", ("rules", "short"), "completion_tokens < 100"),
]


@pytest.mark.parametrize(("setting", "where", "there"), SETTINGS)
def test_set_changes_a_value(tmp_path: Path, setting: str, where: tuple[str | int, ...], there: Any) -> None:
    found: Any = load(recipe(tmp_path), [setting])
    for part in where:
        found = getattr(found, part) if isinstance(part, str) and not isinstance(found, dict) else found[part]
    assert found == there


@pytest.mark.parametrize(("setting", "said"), [
    ("generate.samples", "write it as key=value"),
    ("generate.sampels=2", "unknown key 'generate.sampels': did you mean 'samples'?"),
    ("problems.5.count=2", "there is no 'problems.5.count' in the recipe to set"),
    ("problems.x.count=2", "there is no 'problems.x.count' in the recipe to set"),
    ("teacher.seed=2", "there is no 'teacher.seed' in the recipe to set"),
    ("name.first=2", "there is no 'name.first' in the recipe to set"),
    ("=2", "unknown key ''"),
    ("generate=2", "generate = 2"),
])
def test_a_wrong_setting_is_one_sentence(tmp_path: Path, setting: str, said: str) -> None:
    assert said in refusal(recipe(tmp_path), setting)
