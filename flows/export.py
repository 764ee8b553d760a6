"""`cot export`: a run's datasets to a folder or to the Hugging Face hub, with their cards, where licences allow it."""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from factory import recipe as recipes
from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import Recipe
from factory.stages import card, emit
from flows import report

NAMED = 5
"""So many rows are named in a sentence."""


def export(lake: Lake, run: str, target: str, private: bool) -> Iterator[str]:
    """Copy each dataset to `target`/name, or push it as a configuration of `hf://owner/name`; yields a line each."""
    found = report.latest_run(lake, run)
    rows = _with_rows(run, report.datasets(lake, found["id"]))
    name = target.removeprefix("hf://")
    hub = name != target
    if hub and (name.count("/") != 1 or not all(name.split("/"))):
        raise UserError(f"'hf://{name}' is not a repository: write hf://owner/name")
    recipe = recipes.validate(json.loads(found["recipe"]), f"the recipe of the run '{run}'")
    for row in rows:
        if emit.written(lake.folder / row["path"]) != row["id"]:
            raise UserError(f"{lake.folder / row['path']} is gone, or holds what another run of that name made: run "
                            "the recipe again, then it is written anew")
        _check_licences(lake, recipe, row, hub)
        _check_terms(lake, recipe, row)
        _check_sandbox(lake, row)
    if hub:
        _push(lake, rows, name, private)
        yield from (f"{row['name']}: {row['rows']} rows in hf://{name}" for row in rows)
    else:
        yield from (_copy(lake.folder / row["path"], row, Path(target)) for row in rows)


def _with_rows(run: str, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if not found:
        raise UserError(f"the run '{run}' has no dataset yet: cot run its recipe first")
    for row in found:
        if not row["rows"]:
            print(f"the dataset '{row['name']}' is empty and left out: `cot status {run}` shows what dropped its "
                  "traces", file=sys.stderr)
    if not (full := [row for row in found if row["rows"]]):
        raise UserError(f"every dataset of the run '{run}' is empty: loosen the rules, or make more traces")
    return full


# -- licences --------------------------------------------------------------------------------------------------------


def _check_licences(lake: Lake, recipe: Recipe, row: dict[str, Any], hub: bool) -> None:
    """Raises UserError for a forbidden licence, and on the way to the hub for a missing one."""
    sources = card.licences(lake, recipe, row["selection"])
    if bound := [source for source in sources if recipe.forbids(source["licence"])]:
        raise UserError(_stopped(lake, recipe, row, bound))
    bare = [source for source in sources if not source["licence"]]
    if bare:
        names = ", ".join(f"'{source['source'] or 'a source without a name'}'" for source in bare)
        said = (f"the dataset '{row['name']}' has {sum(source['problems'] for source in bare):,} problems without a "
                f"licence (of {names}): set `licence` on that source in the recipe, and run it again")
        if hub:
            raise UserError(said)
        print(said, file=sys.stderr)


def _stopped(lake: Lake, recipe: Recipe, row: dict[str, Any], bound: Sequence[dict[str, Any]]) -> str:
    told = []
    for source in bound:
        found = lake.sql("""SELECT k.chosen FROM picks k JOIN problems p ON p.id = k.problem_id
            WHERE k.selection = $1 AND p.source = $2 AND p.licence = $3 ORDER BY 1""",
            [row["selection"], source["source"], source["own"]]).fetchall()
        told.append(f"{len(found):,} of its rows ({_named([name for name, in found])}) are of the source "
                    f"'{source['source']}' with the licence '{source['licence']}', which falls under "
                    f"'{recipe.forbids(source['licence'])}' of forbid_licences")
    # A licence that the recipe has stated since is in no problem's row, and no rule can go by it.
    keep = dict.fromkeys(f"{name} != {_literal(source[of])}" for source in bound
                         for name, of in [("licence", "own") if source["own"] else ("source", "source")])
    return (f"the dataset '{row['name']}' must not leave: {', and '.join(told)}; leave them out with a rule (licensed "
            f"= \"{' AND '.join(keep)}\") and run the recipe again, or set forbid_licences if you may")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _check_terms(lake: Lake, recipe: Recipe, row: dict[str, Any]) -> None:
    """Raises UserError for rows of a teacher whose terms forbid that a model learns from them."""
    for teacher in card.teachers(lake, recipe, row["selection"]):
        if pattern := recipe.forbids(teacher["terms"]):
            found = [pick["chosen"] for pick in lake.rows(f"{card.WRITTEN} ORDER BY 1", [
                row["selection"]]) if pick["teacher"] == teacher["teacher"]]
            raise UserError(
                f"the dataset '{row['name']}' must not leave: {len(found):,} of its rows ({_named(found)}) were "
                f"written by '{teacher['name']}' under the terms '{teacher['terms']}', which fall under '{pattern}' "
                "of forbid_licences; take another teacher, or set teacher_terms to those that you have and run the "
                "recipe again")


def _check_sandbox(lake: Lake, row: dict[str, Any]) -> None:
    """Raises UserError for rows whose verdict is of a program that ran without a sandbox: it could have forged it."""
    found = lake.sql("""SELECT DISTINCT t.id FROM picks k JOIN traces t ON t.id IN (k.chosen, k.rejected)
        JOIN problems p ON p.id = t.problem_id JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
        WHERE k.selection = $1 AND v.grade = 'unsafe' ORDER BY 1""", [row["selection"]]).fetchall()
    if found:
        raise UserError(
            f"the dataset '{row['name']}' must not leave: {len(found):,} of its rows ({_named([f[0] for f in found])}) "
            "were judged without a sandbox; run the recipe again, without --unsafe-no-sandbox, on a machine where "
            "`cot doctor` finds isolation, in a new lake")


def _named(found: Sequence[str]) -> str:
    return ", ".join(found[:NAMED]) + (" …" if len(found) > NAMED else "")


# -- ways out --------------------------------------------------------------------------------------------------------


def _copy(folder: Path, row: dict[str, Any], target: Path) -> str:
    place = target / row["name"]
    if place.exists():
        raise UserError(f"{place} is there already: remove it, or export to another folder")
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, place.with_name(f".{place.name}.tmp"), dirs_exist_ok=True)
    place.with_name(f".{place.name}.tmp").rename(place)
    return f"{row['name']}: {row['rows']} rows in {place}"


def _push(lake: Lake, rows: Sequence[dict[str, Any]], name: str, private: bool) -> None:
    """One commit: each dataset in a folder of its name, and one card on top that tells `load_dataset` of them all."""
    from huggingface_hub import CommitOperationAdd, HfApi

    files = [CommitOperationAdd("README.md", hub_card(lake, rows).encode())]
    for row in rows:
        folder = lake.folder / row["path"]
        files += [CommitOperationAdd(f"{row['name']}/{path.relative_to(folder).as_posix()}", path)
                  for path in sorted(folder.rglob("*")) if path.is_file() and not _is_arrow(path, folder)]
    try:
        HfApi().create_repo(name, repo_type="dataset", private=private, exist_ok=True)
        HfApi().create_commit(name, files, commit_message=f"{', '.join(row['name'] for row in rows)} by CoT Factory",
                              repo_type="dataset")
    except Exception as error:  # the hub client raises its own, httpx's and OSErrors: all mean that nothing was pushed
        said = next(iter(str(error).splitlines()), "")
        raise UserError(f"could not push to hf://{name}: {type(error).__name__}: {said}; log in with `hf auth login`, "
                        "or export to a folder") from error


def _is_arrow(path: Path, folder: Path) -> bool:
    """What `load_from_disk` reads: the same rows again, of no use on the hub."""
    return path.name == "dataset_dict.json" or (path.parent.parent == folder and path.parent.name != "data")


def hub_card(lake: Lake, rows: Sequence[dict[str, Any]]) -> str:
    """The cards of all datasets as one: a configuration each in the header, and their pages below each other."""
    configs: list[str] = []
    pages: list[str] = []
    licences: set[str] = set()
    for row in rows:
        _, header, page = (lake.folder / row["path"] / "README.md").read_text(encoding="utf-8").split("---\n", 2)
        licence, _, config = header.rpartition("configs:\n")
        licences.add(licence or "license: other\n")
        config = config.replace("config_name: default", f"config_name: {row['name']}")
        configs.append(re.sub(r"(?m)^(    path: )", rf"\g<1>{row['name']}/", config))
        pages.append(page)
    one = licences.pop() if len(licences) == 1 else "license: other\n"
    return f"---\n{one}configs:\n{''.join(configs)}---\n" + "\n".join(pages)
