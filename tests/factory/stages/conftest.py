"""A small run on a lake of its own, and private plugins for it."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from factory import run as running
from factory.lake import Lake
from factory.recipe import validate
from factory.run import Run
from factory.stages import generate, load, measure, verify

SUMS = [(f"Compute {a} + {b}.", str(a + b)) for a, b in ((1, 2), (3, 4), (5, 6), (7, 8))]


def write_problems(file: Path, rows: Sequence[tuple[str, str]]) -> Path:
    file.write_text("".join(json.dumps({"prompt": p, "reference": r}) + "\n" for p, r in rows))
    return file


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A source of problems in a recipe: exact_match, because its workers start fastest."""
    def make(rows: Sequence[tuple[str, str]] = SUMS, name: str = "problems", **keys: Any) -> dict[str, Any]:
        file = write_problems(tmp_path / f"{name}.jsonl", rows)
        return {"plugin": "jsonl", "path": str(file), "verifier": "exact_match", **keys}
    return make


@pytest.fixture
def make_run(lake: Lake, source: Callable[..., dict[str, Any]]) -> Callable[..., Run]:
    """A registered run of a recipe with the given changes; `on` names another lake."""
    def make(on: Lake | None = None, **changes: Any) -> Run:
        values = {"name": "small", "problems": changes.pop("problems", None) or [source()],
                  "teacher": {"plugin": "scripted", "accuracy": 0.5}, "generate": {"samples": 4},
                  "verify": {"workers": 1}, **changes}
        made = Run(validate(values, "the test"), on or lake)
        made.register()
        return made
    return make


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], str]]:
    """Writes a private plugin `lab_….name`; gives back its dotted name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = "lab_" + "".join(c for c in tmp_path.name if c.isalnum())
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").touch()

    def make(name: str, code: str) -> str:
        (folder / f"{name}.py").write_text(code)
        return f"{package}.{name}"
    yield make
    for module in [m for m in sys.modules if m.partition(".")[0] == package]:
        del sys.modules[module]
    running._teacher_key.cache_clear()


def judge(run: Run) -> Run:
    """Everything up to the verdicts and the measures."""
    load.load(run)
    generate.generate(run)
    run.lake.compact()
    for ids in verify.shards(run):
        verify.work(run.lake, ids, run.recipe.verify)
    for ids in measure.shards(run):
        measure.work(run.lake, ids, run.recipe.measures)
    return run


def forget_the_references(run: Run) -> None:
    """Every reference becomes another text, and nothing was chosen yet."""
    rows = run.lake.rows("SELECT * FROM problems")
    for table in ("problems", "picks", "drops", "selections"):
        for file in (run.lake.folder / "tables" / table).glob("part-*.parquet"):
            if "schema" not in file.name:
                file.unlink()
    run.lake.append("problems", [dict(row, reference=f"nonsense {i * 7919}") for i, row in enumerate(rows)])


def selected(run: Run) -> list[tuple[Any, ...]]:
    """What was selected, byte for byte."""
    return run.lake.sql("""SELECT k.dataset, k.chosen, k.rejected, k.why, encode(c.raw), encode(r.raw) FROM picks k
        JOIN traces c ON c.id = k.chosen LEFT JOIN traces r ON r.id = k.rejected ORDER BY k.id""").fetchall()


@pytest.fixture
def judged(make_run: Callable[..., Run]) -> Callable[..., Run]:
    """A run with verdicts and measures."""
    return lambda **changes: judge(make_run(**changes))
