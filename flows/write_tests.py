"""`cot tests`: a recipe's teacher writes tests for its problems; those that a quorum stands behind become a file."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import Recipe
from factory.run import Run
from factory.stages import write_tests as stage
from verifiers.code_tests import missing


def write(recipe: Recipe, lake: Path, out: Path, inputs: int) -> str:
    """Buy what is lacking, make the suites that are lacking, write `out`; returns the report."""
    if inputs < stage.FEWEST:
        raise UserError(f"--inputs {inputs} is too few: a problem needs {stage.FEWEST} tests")
    if recipe.generate.samples < stage.CANDIDATES:
        raise UserError(f"a quorum is of {stage.CANDIDATES} candidates: set generate.samples to {stage.CANDIDATES} or "
                        f"more (it is {recipe.generate.samples})")
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to write {out.name} to: make it, or name another file")
    if sentence := missing():
        raise UserError(sentence)
    run = Run(recipe, Lake(lake))
    with run.lake.writing():
        run.register()
        stage.ask(run)
        run.lake.compact()
        stage.work(run, inputs)
    found = stage.made(run, inputs)
    _replace(out, _lines(found))
    return _report(found, out)


def _lines(found: list[dict[str, Any]]) -> Iterator[str]:
    """Rows for the source `jsonl` with `verifier = "code_tests"` and `meta = ["generated"]`."""
    for row in found:
        if row["kept"]:
            kept = {key: row[key] for key in ("prompt", "reference", "source", "domain", "split", "licence")}
            yield json.dumps({**kept, "generated": json.loads(row["generated"])}, ensure_ascii=False) + "\n"


def _replace(out: Path, lines: Iterator[str]) -> None:
    """The whole file or none of it."""
    hidden = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with open(hidden, "w", encoding="utf-8") as file:
            file.writelines(lines)
        hidden.rename(out)
    finally:
        hidden.unlink(missing_ok=True)


def _report(found: list[dict[str, Any]], out: Path) -> str:
    kept = [row for row in found if row["kept"]]
    tests, mutants, killed = (sum(row[key] or 0 for row in kept) for key in ("tests", "mutants", "killed"))
    noticed = f", which notice {killed} of {mutants} planted mistakes" if mutants else ""
    reasons = Counter(row["reason"] for row in found if not row["kept"])
    return "\n".join([f"{len(kept)} of {len(found)} problems have {tests} tests{noticed}: {out}",
                      *(f"  {count} without: {reason}" for reason, count in reasons.most_common())])
