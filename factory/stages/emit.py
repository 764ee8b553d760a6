"""picks -> datasets on disk that `datasets.load_dataset(path)` and `datasets.load_from_disk(path)` both open."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from factory import plugins
from factory.lake import now
from factory.protocols import Emitter, UserError
from factory.recipe import DatasetSpec
from factory.records import Candidate, Pick, canonical, content_id
from factory.run import Run


def emit(run: Run, selections: Mapping[str, str]) -> dict[str, Path]:
    """Write each dataset of the recipe that is not there yet; returns dataset name -> folder."""
    return {spec.name: _emit_one(run, spec, selections[spec.name]) for spec in run.recipe.datasets}


def _emit_one(run: Run, spec: DatasetSpec, selection: str) -> Path:
    folder = run.lake.place("datasets", run.recipe.name, spec.name)
    emitter = canonical({**spec.emitter.model_dump(), "version": plugins.version("emitter", spec.emitter.plugin)})
    key = content_id("dataset", selection, emitter)
    if written(folder) == key and key in run.lake.ids("datasets"):  # a crash can come between the two
        return folder
    with run.timed("emit") as counts:
        rows = list(_rows(run, spec, selection))
        if not rows:
            _say_why_empty(run, spec, selection)
        _write(folder, rows, _columns(spec), key, _card(run, spec, len(rows), _digest(rows)))
        counts["rows"] = len(rows)
    run.lake.append_new("datasets", [dict(
        id=key, selection=selection, run_id=run.id, name=spec.name, emitter=emitter, rows=len(rows),
        path=str(folder.relative_to(run.lake.folder)), digest=_digest(rows), created=now())])
    return folder


def _emitter(spec: DatasetSpec) -> Emitter:
    return plugins.bind("emitter", spec.emitter.plugin, spec.emitter.params)


def _columns(spec: DatasetSpec) -> dict[str, Any]:
    """The row of a pick of nothing: an empty dataset has columns too, and without them it cannot be opened."""
    blank = Candidate("", "", "", "", "", "", "correct", None, 0)
    return dict(_emitter(spec)(Pick(blank, replace(blank, status="wrong"), "")))


def _rows(run: Run, spec: DatasetSpec, selection: str) -> Iterator[dict[str, Any]]:
    """The emitted rows in an order that says nothing: by the hash that is a pick's id."""
    emitter = _emitter(spec)
    side = "struct_pack({})".format(", ".join(f"{n} := {{0}}.{n}" for n in (
        "id", "raw", "thinking", "response", "completion_tokens")))
    found = run.lake.rows(f"""
        SELECT k.why, p.id AS problem_id, p.prompt, {side.format("c")} AS chosen,
               CASE WHEN r.id IS NOT NULL THEN {side.format("r")} END AS rejected
        FROM picks k JOIN problems p ON p.id = k.problem_id JOIN traces c ON c.id = k.chosen
        LEFT JOIN traces r ON r.id = k.rejected WHERE k.selection = $1 ORDER BY k.id""", [selection])
    for row in found:
        rejected = _candidate(row, row["rejected"], "wrong") if row["rejected"] else None
        try:
            yield dict(emitter(Pick(_candidate(row, row["chosen"], "correct"), rejected, row["why"])))
        except ValueError as error:
            raise UserError(f"the emitter '{spec.emitter.plugin}': {error}") from error


def _candidate(row: dict[str, Any], side: dict[str, Any], status: str) -> Candidate:
    return Candidate(side["id"], row["problem_id"], row["prompt"], side["raw"], side["thinking"], side["response"],
                     status, None, side["completion_tokens"] or len(side["raw"]))


def _say_why_empty(run: Run, spec: DatasetSpec, selection: str) -> None:
    reasons = run.lake.sql("SELECT reason, count(*) FROM drops WHERE selection = $1 GROUP BY 1 ORDER BY 2 DESC",
                           [selection]).fetchall()
    told = ", ".join(f"{count} {reason}" for reason, count in reasons) or "there are no traces"
    print(f"the dataset '{spec.name}' is empty ({told})")


def _write(folder: Path, rows: list[dict[str, Any]], blank: dict[str, Any], key: str, card: str) -> None:
    """Write beside, then swap: the folder holds the old dataset or the new one, never a mixture."""
    import datasets

    datasets.disable_progress_bars()
    hidden, old = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(hidden, ignore_errors=True)
    table = datasets.Dataset.from_list(rows) if rows else datasets.Dataset.from_list([blank]).select([])
    datasets.DatasetDict({"train": table}).save_to_disk(hidden, num_shards=None if rows else {"train": 1})
    (hidden / "README.md").write_text(card)
    (hidden / "factory.json").write_text(json.dumps({"id": key, "rows": len(rows)}))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    hidden.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def written(folder: Path) -> str | None:
    """The id of the dataset that lies there whole, if one does."""
    try:
        return str(json.loads((folder / "factory.json").read_text())["id"])
    except (OSError, ValueError, KeyError):
        return None


def _digest(rows: list[dict[str, Any]]) -> str:
    return hashlib.blake2b(json.dumps(rows, sort_keys=True).encode(), digest_size=16).hexdigest()


def _card(run: Run, spec: DatasetSpec, rows: int, digest: str) -> str:
    """A dataset card; its header tells `load_dataset` where the rows are.

    The digest in the header is what keeps `load_dataset` honest: its cache knows a local dataset by the header alone,
    and would answer with the rows of another folder of the same name, or with those of yesterday.
    """
    licences = [row[0] for row in run.lake.sql("""SELECT DISTINCT licence FROM problems p JOIN members m
        ON m.problem_id = p.id WHERE run_id = $1 AND licence != '' ORDER BY 1""", [run.id]).fetchall()]
    return f"""---
configs:
- config_name: default
  description: {digest}
  data_files:
  - split: train
    path: train/*.arrow
---
# {run.recipe.name}/{spec.name}

{rows} rows made by CoT Factory from the recipe `{run.recipe.name}` (run `{run.id}`).

- teacher: `{run.teacher_key}`
- selector: `{canonical(spec.selector.model_dump())}`, emitter: `{canonical(spec.emitter.model_dump())}`
- rules: `{canonical(run.recipe.rules)}`
- licences of the problems: {", ".join(licences) or "not stated"}
"""


def dataset_folder(run: Run, name: str) -> Path:
    """Where a dataset of the run lies. Raises UserError if it was not made yet."""
    folder = run.lake.place("datasets", run.recipe.name, name)
    if not folder.exists():
        raise UserError(f"the dataset '{name}' of '{run.recipe.name}' was not made yet: cot run the recipe first")
    return folder
