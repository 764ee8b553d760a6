"""The docs are tested: what exists is in them, what is in them exists, and what they show is what happens.

`python -m tests.test_docs` runs the README's commands and writes what they print back into it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import BaseModel

from factory import plugins, recipe
from factory.lake import TABLES, VIEWS
from flows import check, cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DATA = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
RECIPES = sorted((ROOT / "flows" / "recipes").glob("*.toml"))


# -- the command line ------------------------------------------------------------------------------------------------


def commands(parser: argparse.ArgumentParser, name: str = "cot") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, by its full name."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for group in groups:
        for word, below in group.choices.items():
            yield from commands(below, f"{name} {word}")
    if not groups:
        yield name, parser


COMMANDS = dict(commands(cli.parser()))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"`{name}" in README


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_readme_in_the_row_of_its_command(name: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}"))
    options = [o for a in COMMANDS[name]._actions for o in a.option_strings if o not in ("-h", "--help")]
    assert [o for o in options if o not in row] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_argument_has_help(name: str) -> None:
    described = [a.metavar or a.dest for a in COMMANDS[name]._actions if not a.help and not a.choices]
    assert described == []
    assert COMMANDS[name].description or COMMANDS[name].prog.endswith("serve")


# -- plugins, tables, recipes, folders -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_plugin_that_ships_is_in_the_readme_in_the_row_of_its_kind(kind: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| {kind} |"))
    names = [name for name in plugins.names(kind) if name != "pretrain"]
    assert [name for name in names if f"`{name}`" not in row] == []


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_the_readme_names_no_plugin_that_does_not_ship(kind: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| {kind} |"))
    assert set(re.findall(r"`(\w+)`", row.split("|")[2])) <= set(plugins.names(kind))


def keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The dotted keys of a recipe, those of its plugins left out."""
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        below = [k for k in kinds if isinstance(k, type) and issubclass(k, recipe.Strict)]
        yield from keys(below[0], f"{above}{name}.") if below else [above + name]


@pytest.mark.parametrize("key", list(keys(recipe.Recipe)))
def test_every_key_of_a_recipe_is_in_the_readme(key: str) -> None:
    rows = README.split("## Recipe keys")[1].split("\n## ")[0].splitlines()
    assert [row for row in rows if row.startswith("|") and f"`{key}`" in row.split("|")[1]]


def documented(table: str) -> dict[str, str]:
    """Column -> type of a table, as data/README.md has them."""
    section = DATA.split(f"### {table}\n")[1].split("\n#")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \| \S.*\|$", section, re.MULTILINE))


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_every_table_is_documented_with_its_type_in_its_order(table: str) -> None:
    names = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "double", pa.bool_(): "bool",
             pa.list_(pa.float32()): "list"}
    assert list(documented(table).items()) == [(column, names[kind]) for column, kind in TABLES[table].items()]


def test_no_table_is_documented_that_does_not_exist() -> None:
    section = DATA.split("## Tables")[1].split("## Derived views")[0]
    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == list(TABLES)


def test_every_derived_view_is_documented() -> None:
    names = [re.match(r"\s*CREATE VIEW (\w+)", statement)[1] for statement in VIEWS]  # type: ignore[index]
    assert [name for name in names if f"| `{name}` |" not in DATA] == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_is_in_the_readme(path: Path) -> None:
    assert f"`flows/recipes/{path.name}`" in README


def tree() -> list[str]:
    """The paths in the README's tree, which is indented by two blanks a level; a line may name several."""
    body = next(b.body for b in blocks() if b.language == "text" and b.body.startswith("factory/"))
    paths: list[str] = []
    parents: list[str] = []
    for line in filter(None, body.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"  +", line.strip())[0].split(" ")
        parents[depth:] = [names[0]]
        paths += ["".join(parents[:depth]) + name for name in names]
    return paths


def test_everything_in_the_readmes_tree_is_on_the_disk() -> None:
    assert [path for path in tree() if not (ROOT / path).exists()] == []


def tracked(folder: Path) -> Iterator[Path]:
    """What lies in a folder and is no by-product."""
    for path in sorted(folder.iterdir()):
        if path.name not in (".git", ".venv", "build", "dist", "lake") and not path.name.endswith(
                ("_cache", "__pycache__", ".egg-info", ".hypothesis")):
            yield path


def test_every_top_level_entry_and_every_folder_and_module_of_the_packages_is_in_the_readmes_tree() -> None:
    wanted = [*tracked(ROOT), *tracked(ROOT / "factory"), *tracked(ROOT / "flows"), *tracked(ROOT / "verifiers"),
              *tracked(ROOT / "data"), *tracked(ROOT / "factory" / "stages")]
    names = [str(p.relative_to(ROOT)) + ("/" if p.is_dir() else "") for p in wanted]
    skipped = {"README.md", *(n for n in names if n.endswith("__init__.py"))}
    assert sorted(set(names) - set(tree()) - skipped) == []


def test_every_relative_link_of_the_docs_leads_somewhere() -> None:
    for text, place in ((README, ROOT), (DATA, ROOT / "data")):
        links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
        assert [link for link in links if not (place / link).exists()] == []


def test_every_path_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`((?:factory|flows|verifiers|data|tests|benchmarks|\.ci)/[\w./-]+)`", README))
    made = ("data/lake",)
    assert [path for path in sorted(named) if not path.startswith(made) and not (ROOT / path).exists()] == []


# -- recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_opens_with_the_command_that_runs_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(rf"# ([A-Z_]+=\S+ )?cot run flows/recipes/{path.name}( |$)", first)


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_is_called_like_its_file(path: Path) -> None:
    assert tomllib.loads(path.read_text(encoding="utf-8"))["name"] == path.stem


def replacements(name: str, folder: Path) -> list[str]:
    """`--set` for what this machine may lack: models, a network, files beside the checkout."""
    model, rows = folder / "model", folder / "rows"
    model.mkdir()
    rows.mkdir()
    (model / "config.json").write_text("{}")
    (rows / "train.jsonl").write_text('{"question": "What is 1 + 1?", "answer": "Two.\\n#### 2"}\n')
    (rows / "README.md").write_text("---\nconfigs:\n- config_name: main\n  data_files: train.jsonl\n---\n")
    (folder / "problems.jsonl").write_text('{"problem": "What is 1 + 1?", "answer": "2"}\n')
    teacher = f"teacher.model={model}"
    return {"demo": [teacher, f"students.0.base={model}", *(f"datasets.{i}.template=none" for i in (0, 1))],
            "gsm8k_tiny": [teacher, f"problems.0.path={folder / 'problems.jsonl'}"],
            "gsm8k_vllm": [teacher, f"problems.0.dataset={rows}"]}.get(name, [])


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_passes_check_with_its_model_and_its_data_replaced(
        path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DEEPSEEK_API_KEY", "none")
    assert check.check(recipe.load(path, replacements(path.stem, tmp_path)))


def test_the_part_of_the_gpu_recipe_that_is_commented_out_is_a_valid_recipe_too(tmp_path: Path) -> None:
    text = (ROOT / "flows" / "recipes" / "gsm8k_vllm.toml").read_text(encoding="utf-8")
    body, commented = text.split("# [[students]]")
    (tmp_path / "whole.toml").write_text(body + "[[students]]" + re.sub(r"^# ?", "", commented, flags=re.MULTILINE))
    whole = recipe.load(tmp_path / "whole.toml")
    assert whole.evaluate
    assert whole.students[0].dataset == "sft"
    teacher = whole.evaluate.teacher.with_params(model="the student")
    for kind, spec in (("student", whole.students[0].trainer), ("source", whole.evaluate.problems[0]),
                       ("teacher", teacher), ("strategy", whole.evaluate.strategy)):
        plugins.bind(kind, spec.plugin, spec.params)


def test_the_seeds_are_problems_whose_references_pass_their_own_verifiers() -> None:
    rows = [json.loads(line) for line in (ROOT / "data" / "seeds" / "problems.jsonl").read_text("utf-8").splitlines()]
    for row in rows:
        verdict = plugins.function("verifier", row["verifier"])(f"\\boxed{{{row['reference']}}}", row["reference"])
        assert (row["prompt"], verdict.status) == (row["prompt"], "correct")


# -- what the README shows is what happens ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block of the README: its language, its text and where that text begins."""

    language: str
    body: str
    start: int

    @property
    def file(self) -> str | None:
        """The file that the block is, by its first line: `# mine/squares.py`."""
        found = re.match(r"# (mine/\S+)\n", self.body)
        return found[1] if found else None

    @property
    def runs(self) -> bool:
        return self.language in ("console", "python") and not self.file


def blocks() -> list[Block]:
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [Block(m[1], m[2], m.start(2)) for m in found]


RUNNING = [block for block in blocks() if block.runs]


def workshop(folder: Path) -> Path:
    """A folder like a clone, without a lake; the student in it is no model, since no example trains one."""
    (folder / "data" / "student").mkdir(parents=True)
    (folder / "data" / "student" / "config.json").write_text("{}")
    (folder / "data" / "seeds").symlink_to(ROOT / "data" / "seeds")
    (folder / "flows").mkdir()
    (folder / "flows" / "recipes").symlink_to(ROOT / "flows" / "recipes")
    for block in filter(lambda b: b.file, blocks()):
        path = folder / str(block.file)
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.body, encoding="utf-8")
    return folder


def walk(folder: Path) -> dict[Block, str]:
    """Run every block in order, and return each as it should be: its commands with what they print."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    environment.pop("COT_LAKE", None)
    return {block: (_console if block.language == "console" else _python)(block, folder, environment)
            for block in RUNNING}


def _console(block: Block, folder: Path, environment: dict[str, str]) -> str:
    shown = ""
    for command in re.findall(r"^\$ ((?:.*\\\n)*.*)$", block.body, re.MULTILINE):
        shown += f"$ {command}\n"
        if exported := re.fullmatch(r"export (\w+)=(\S+)", command):
            environment[exported[1]] = exported[2]
        else:
            shown += _run(["bash", "-o", "pipefail", "-c", command], folder, environment)
    return shown


def _python(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """A `print(…)  # …` shows what it prints."""
    printed = iter(_run([sys.executable, "-c", block.body], folder, environment).splitlines())
    return re.sub(r"^(print\(.*\)  # ).*$", lambda m: m[1] + next(printed), block.body, flags=re.MULTILINE)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n" if done.stdout else ""


def lasting(text: str) -> list[str]:
    """The lines without what differs from run to run (seconds, speeds, dates, the order of rows that have none), or
    with every new key of a recipe."""
    text = re.sub(r"^(run \w+) \(b1-\w+\)", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r" +\d+\.\d+ s\b(  [\d,]+ tok/s)?", " … s", text)
    text = re.sub(r"^(  [\w ]+): .* tok/s with .*$", r"\1: … tok/s", text, flags=re.MULTILINE)
    return sorted(re.sub(r'\d{4}-\d\d-\d\dT[\d:.]+Z|"seconds": [\d.e-]+', "…", text).splitlines())


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> dict[Block, str]:
    return walk(workshop(tmp_path_factory.mktemp("clone")))


@pytest.mark.slow
@pytest.mark.parametrize("block", RUNNING, ids=lambda b: b.body.splitlines()[0][:60])
def test_what_the_readme_shows_is_what_happens(block: Block, walked: dict[Block, str]) -> None:
    assert lasting(block.body) == lasting(walked[block]), "python -m tests.test_docs writes it anew"


def test_every_kind_of_plugin_has_an_example_in_the_readme_that_a_recipe_of_the_readme_uses() -> None:
    files = {block.file: block.body for block in blocks() if block.file}
    text = files.pop("mine/recipe.toml")
    used = set(re.findall(r'"mine\.(\w+)"', text + "".join(files.values())))
    assert used == {Path(file).stem for file in files}
    assert len(used) == len(plugins.KINDS)


def main() -> None:
    import tempfile

    text = README
    with tempfile.TemporaryDirectory() as folder:
        for block, shown in reversed(walk(workshop(Path(folder))).items()):
            text = text[:block.start] + shown + text[block.start + len(block.body):]
    (ROOT / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
