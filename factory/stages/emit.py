"""picks -> datasets: folders that `datasets.load_dataset(path)` and `datasets.load_from_disk(path)` both open.

    NAME/README.md  the card    NAME/manifest.json  digests    NAME/factory.json  whole, and made of what

Rows stream from the picks through the emitter and the round trip to the files. What the student's chat template would
spoil is set aside in `drops` with the reason. A prompt is in one split only, whatever its traces.

A module of an emitter may have more than its function: `problem_columns(problem)` and `step_columns(steps)` add columns
to each of its rows (a pick without labelled steps is then dropped), and `extra_files(rows, name)` gives texts to be
written beside the dataset, file name -> text. `ONE_A_PROBLEM`: a problem has one row, whatever its picks.
"""

import contextlib
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from factory import plugins, roundtrip
from factory.lake import now
from factory.protocols import UserError
from factory.recipe import DatasetSpec, Recipe
from factory.records import Candidate, Pick, Problem, Step, canonical, content_id
from factory.run import Run
from factory.stages import card, picked
from factory.stages.dataset_files import Files, manifest

PAGE = 2048
"""Picks that are read, checked and written at once."""

Row = dict[str, Any]


def emit(run: Run, selections: Mapping[str, str]) -> dict[str, Path]:
    """Write each dataset of the recipe that is not there yet; returns dataset name -> folder."""
    return {spec.name: _emit_one(run, spec, selections[spec.name]) for spec in run.recipe.datasets
            if spec.name in selections}


@dataclass(frozen=True)
class _Job:
    """One dataset to be written: from which picks, in which form, past whose template."""

    run: Run
    spec: DatasetSpec
    selection: str
    template: roundtrip.Template | None

    @property
    def emitter(self) -> str:
        version = plugins.version("emitter", self.spec.emitter.plugin)
        return canonical({**self.spec.emitter.model_dump(), "version": version})

    @property
    def key(self) -> str:
        return content_id("dataset", self.selection, self.emitter, self.spec.test_share,
                          self.template.digest if self.template else "")


def _emit_one(run: Run, spec: DatasetSpec, selection: str) -> Path:
    folder = run.lake.place("datasets", run.recipe.name, spec.name)
    job = _Job(run, spec, selection, roundtrip.template_of(run.recipe, spec))
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


# -- rows ------------------------------------------------------------------------------------------------------------


@dataclass
class _Trip:
    """What the round trip of a dataset has seen: rows checked; those set aside, by reason and as rows of `drops`."""

    checked: int = 0
    aside: Counter[str] = field(default_factory=Counter)
    drops: list[Row] = field(default_factory=list)


def _write(job: _Job, key: str, folder: Path) -> tuple[Files, _Trip]:
    module = plugins.module("emitter", job.spec.emitter.plugin)
    blank = _blank(job.spec)
    files, trip = Files(folder, blank, ["train", *(["test"] if job.spec.test_share else [])]), _Trip()
    with contextlib.ExitStack() as stack:
        wanted = job.template if roundtrip.sides(blank) else None
        checker = stack.enter_context(roundtrip.checking(wanted)) if wanted else None
        for page in _pages(job, key, module, trip):
            kept = _survivors(job, key, page, checker, trip) if checker else page
            for split in files.rows:
                files.write(split, [row for prompt, row in kept if _split(prompt, job.spec.test_share) == split])
    files.close()
    if trip.drops:
        job.run.lake.append_new("drops", trip.drops)
    if hasattr(module, "extra_files"):
        for name, text in module.extra_files(files.read("train"), job.spec.name).items():
            (folder / name).write_text(text, encoding="utf-8")
    return files, trip


def _pages(job: _Job, key: str, module: Any, trip: _Trip) -> Iterator[list[tuple[str, Row]]]:
    """(prompt, row) in an order that says nothing: by the hash that is a pick's id. Rows of steps need steps."""
    form, seen = _form(job.spec, module), set[str]()
    for page in picked.pages(job.run.lake, job.selection, PAGE):
        if getattr(module, "ONE_A_PROBLEM", False):
            page = list(_firsts(job, key, page, seen, trip))
        steps: dict[str, list[Step]] = {}
        if hasattr(module, "step_columns"):
            steps = _steps(job.run, page)
            bare = {pick.chosen.trace_id for pick, _ in page} - set(steps)
            trip.drops += [_drop(job, key, trace, "no step of it can be judged") for trace in sorted(bare)]
            page = [pair for pair in page if pair[0].chosen.trace_id not in bare]
        yield [(problem.prompt, row) for pick, problem in page
               for row in form(pick, problem, steps.get(pick.chosen.trace_id, []))]


def _firsts(job: _Job, key: str, page: Iterable[tuple[Pick, Problem]], seen: set[str], trip: _Trip
            ) -> Iterator[tuple[Pick, Problem]]:
    """The first pick of each problem; the rows of the others would be the same."""
    for pick, problem in page:
        if pick.chosen.problem_id in seen:
            trip.drops.append(_drop(job, key, pick.chosen.trace_id, "its problem has a row already"))
        else:
            seen.add(pick.chosen.problem_id)
            yield pick, problem


def _drop(job: _Job, key: str, trace: str | None, reason: str) -> Row:
    """A row of `drops` under the dataset's id."""
    return dict(id=content_id("drop", key, trace, reason), selection=key, run_id=job.run.id, dataset=job.spec.name,
                trace_id=trace, reason=reason)


def _steps(run: Run, page: Sequence[tuple[Pick, Problem]]) -> dict[str, list[Step]]:
    from factory.stages.labels import labelled

    return labelled(run.lake, [pick.chosen.trace_id for pick, _ in page])


def _form(spec: DatasetSpec, module: Any) -> Callable[[Pick, Problem, list[Step]], list[Row]]:
    """What makes the rows of a pick. Raises UserError where the emitter refuses it."""
    emitter = plugins.bind("emitter", spec.emitter.plugin, spec.emitter.params)
    of_problem, of_steps = getattr(module, "problem_columns", None), getattr(module, "step_columns", None)

    def rows(pick: Pick, problem: Problem, steps: list[Step]) -> list[Row]:
        try:
            made = emitter(pick)
            more = {**(of_problem(problem) if of_problem else {}), **(of_steps(steps) if of_steps else {})}
        except ValueError as error:
            raise UserError(f"the emitter '{spec.emitter.plugin}': {error}") from error
        return [{**row, **more} for row in ([made] if isinstance(made, dict) else made)]
    return rows


def _blank(spec: DatasetSpec) -> Row:
    """A row of a pick of nothing."""
    return _example(spec, "", "", "")


def _example(spec: DatasetSpec, raw: str, thinking: str, response: str) -> Row:
    """The first row of a made-up pick, whose sides are alike but for their status."""
    chosen, rejected = (Candidate("", "", "", raw, thinking, response, status, None, 0) for status in (
        "correct", "wrong"))
    form = _form(spec, plugins.module("emitter", spec.emitter.plugin))
    return form(Pick(chosen, rejected, ""), Problem("", ""), [])[0]


def _split(prompt: str, test_share: float) -> str:
    """By the prompt without its blanks, not by the problem's id: two problems may ask the same."""
    if not test_share:
        return "train"
    digest = hashlib.blake2b(" ".join(prompt.split()).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") < test_share * 2**64 else "train"


def _survivors(job: _Job, key: str, page: Sequence[tuple[str, Row]], checker: roundtrip.Checker, trip: _Trip
               ) -> list[tuple[str, Row]]:
    """Those that come through the template; the others become drops under the dataset's id."""
    faults = checker.faults([row for _, row in page])
    trip.checked += sum(bool(roundtrip.sides(row)) for _, row in page)
    trip.aside.update(fault for fault in faults if fault)
    trip.drops += [_drop(job, key, row.get("trace_id"), f"round trip: {fault}")
                   for (_, row), fault in zip(page, faults, strict=True) if fault]
    return [pair for pair, fault in zip(page, faults, strict=True) if not fault]


def check_template(recipe: Recipe, spec: DatasetSpec) -> str:
    """What the template does to a made-up row, in a line. Raises UserError when it deletes or changes the thinking."""
    template = roundtrip.template_of(recipe, spec)
    if template is None:
        return "no chat template to come through"
    if not roundtrip.sides(_blank(spec)):
        return "its rows are no conversations, so no chat template can spoil them"
    row = _example(spec, "<think>\nOne and one.\n</think>\n\nTwo.", "One and one.", "Two.")
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
