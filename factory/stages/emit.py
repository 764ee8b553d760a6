"""picks -> datasets: folders that `datasets.load_dataset(path)` and `datasets.load_from_disk(path)` both open.

    NAME/README.md  the card    NAME/manifest.json  digests    NAME/factory.json  whole, and made of what

Rows stream from the picks through the emitter and the round trip to the files. What the student's chat template would
spoil is set aside in `drops` with the reason. A prompt is in one split only, whatever its traces.

A module of an emitter may have `extra_files(rows, name)` beside its function: texts to be written beside the dataset,
by file name.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from factory import roundtrip
from factory.lake import now
from factory.protocols import UserError
from factory.recipe import DatasetSpec, Recipe
from factory.run import Run
from factory.stages import card, emittable, formed
from factory.stages.dataset_files import Files, manifest
from factory.stages.formed import Job, Trip


def emit(run: Run, selections: Mapping[str, str]) -> dict[str, Path]:
    """Write each dataset of the recipe that is not there yet; returns dataset name -> folder."""
    return {spec.name: _emit_one(run, spec, selections[spec.name]) for spec in run.recipe.datasets
            if spec.name in selections}


def _emit_one(run: Run, spec: DatasetSpec, selection: str) -> Path:
    folder = run.lake.place("datasets", run.recipe.name, spec.name)
    job = Job(run, spec, selection, roundtrip.template_of(run.recipe, spec))
    key = job.key
    if written(folder) == key and key in run.lake.ids("datasets"):  # a crash can come between the two
        return folder
    with run.timed("emit") as counts, _swapped(folder) as hidden:
        files, trip = _write(job, key, hidden)
        counts["rows"] = total = sum(files.rows.values())
        if not total:
            _say_why_empty(run, spec, [selection, key])
        facts = card.Facts(key, selection, files.rows, files.digest, str(job.template or ""), trip.checked, trip.aside)
        (hidden / "README.md").write_text(card.card(run, spec, facts), encoding="utf-8")
        (hidden / "manifest.json").write_text(manifest(hidden, files.rows))
        (hidden / "factory.json").write_text(json.dumps({"id": key, "rows": files.rows["train"]}))
    run.lake.append_new("datasets", [dict(
        id=key, selection=selection, run_id=run.id, name=spec.name, emitter=job.emitter, rows=total,
        path=str(folder.relative_to(run.lake.folder)), digest=files.digest, created=now())])
    return folder


@contextlib.contextmanager
def _swapped(folder: Path) -> Iterator[Path]:
    """A folder to write to, then swapped in: there is the old dataset or the new one, never a mixture."""
    hidden, old = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    yield hidden
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    hidden.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(job: Job, key: str, folder: Path) -> tuple[Files, Trip]:
    files = Files(folder, formed.blank(job.spec), ["train", *(["test"] if job.spec.test_share else [])])
    # What a mixture planned with has been through the template: nothing is lost behind it.
    trip = emittable.trip(job) if job.spec.mixture else Trip()
    for page in formed.pages(replace(job, template=None) if job.spec.mixture else job, key, trip):
        for split in files.rows:
            files.write(split, [row for _, problem, row in page
                                if _split(problem.prompt, job.spec.test_share) == split])
    files.close()
    job.run.lake.append_new("drops", trip.drops)
    if hasattr(job.module, "extra_files"):
        for name, text in job.module.extra_files(files.read("train"), job.spec.name).items():
            (folder / name).write_text(text, encoding="utf-8")
    return files, trip


def _split(prompt: str, test_share: float) -> str:
    """By the prompt without its blanks, not by the problem's id: two problems may ask the same."""
    if not test_share:
        return "train"
    digest = hashlib.blake2b(" ".join(prompt.split()).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") < test_share * 2**64 else "train"


def check_template(recipe: Recipe, spec: DatasetSpec) -> str:
    """What the template does to a made-up row, in a line. Raises UserError when it deletes or changes the thinking."""
    template = roundtrip.template_of(recipe, spec)
    if template is None:
        return "no chat template to come through"
    if not roundtrip.sides(formed.blank(spec)):
        return "its rows are no conversations, so no chat template can spoil them"
    row = formed.example(spec, "<think>\nOne and one.\n</think>\n\nTwo.", "One and one.", "Two.")
    with roundtrip.checking(template) as checker:
        [fault] = checker.faults([row])
    if fault:
        raise UserError(f"no row of the dataset '{spec.name}' would come through the chat template of {template}: "
                        f"{fault}; set datasets.template to a file with a copy of it that keeps the thinking (and "
                        'train with that), or to "none" to check nothing')
    return f"its rows come through the chat template of {template}"


# -- what lies there -------------------------------------------------------------------------------------------------


def _say_why_empty(run: Run, spec: DatasetSpec, selections: Sequence[str]) -> None:
    reasons = run.lake.sql("""SELECT reason, count(*) FROM drops WHERE selection IN (SELECT unnest($1))
        GROUP BY 1 ORDER BY 2 DESC""", [list(selections)]).fetchall()
    told = ", ".join(f"{count} {reason}" for reason, count in reasons) or "there are no traces"
    print(f"the dataset '{spec.name}' is empty ({told}): loosen the rule or change the selector that dropped most, or "
          "make more traces")


def written(folder: Path) -> str | None:
    """The id of the dataset that lies there whole, if one does."""
    try:
        return str(json.loads((folder / "factory.json").read_text())["id"])
    except (OSError, ValueError, KeyError):
        return None


def dataset_folder(run: Run, name: str) -> Path:
    """Where a dataset of the run lies. Raises UserError if it was not made yet."""
    folder = run.lake.place("datasets", run.recipe.name, name)
    if not folder.exists():
        raise UserError(f"the dataset '{name}' of '{run.recipe.name}' was not made yet: cot run the recipe first")
    return folder
