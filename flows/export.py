"""`cot export`: a run's datasets to a folder or to the Hugging Face hub, with their cards."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from factory.lake import Lake
from factory.protocols import UserError
from factory.stages import emit
from flows import report


def export(lake: Lake, run: str, target: str, private: bool) -> Iterator[str]:
    """Copy each dataset to `target`/name, or push it as a configuration of `hf://owner/name`; yields a line each."""
    found = report.datasets(lake, report.latest_run(lake, run)["id"])
    if not found:
        raise UserError(f"the run '{run}' has no dataset yet: cot run its recipe first")
    for row in found:
        folder = lake.folder / row["path"]
        if emit.written(folder) != row["id"]:
            raise UserError(f"{folder} is gone, or holds what another run of that name made: run the recipe again, "
                            "then it is written anew")
        if target.startswith("hf://"):
            yield _push(folder, row, target.removeprefix("hf://"), private)
        else:
            yield _copy(folder, row, Path(target))


def _copy(folder: Path, row: dict[str, Any], target: Path) -> str:
    place = target / row["name"]
    if place.exists():
        raise UserError(f"{place} is there already: remove it, or export to another folder")
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, place.with_name(f".{place.name}.tmp"), dirs_exist_ok=True)
    place.with_name(f".{place.name}.tmp").rename(place)
    return f"{row['name']}: {row['rows']} rows in {place}"


def _push(folder: Path, row: dict[str, Any], name: str, private: bool) -> str:
    import datasets

    if name.count("/") != 1 or not all(name.split("/")):
        raise UserError(f"'hf://{name}' is not a repository: write hf://owner/name")
    try:
        datasets.load_from_disk(folder).push_to_hub(name, config_name=row["name"], private=private)
    except Exception as error:  # the hub client raises its own, httpx's and OSErrors: all mean that nothing was pushed
        said = next(iter(str(error).splitlines()), "")
        raise UserError(f"could not push to hf://{name}: {type(error).__name__}: {said}; log in with `hf auth login`, "
                        "or export to a folder") from error
    return f"{row['name']}: {row['rows']} rows in hf://{name}"
