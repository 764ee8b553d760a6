"""problems: sources -> the tables `problems` and `members`. A problem whose own reference fails its own verifier, and
a row that is no problem, are set aside with the reason; so are duplicates and what meets a benchmark, if the recipe
wants it (`factory.stages.screen`)."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from factory import plugins
from factory.lake import clean
from factory.protocols import BadRow, UserError
from factory.recipe import Plugin
from factory.records import Problem, content_id
from factory.run import Run
from factory.stages import screen
from verifiers.pool import Case, Pool, version

BATCH = 1000


def load(run: Run) -> None:
    """Load the recipe's problems (part `train`) and its held-out ones (part `evaluate`)."""
    screened = screen.screens_problems(run.recipe)
    with run.timed("load") as counts:
        counts["rows"] = sum(load_part(run, spec, "loaded" if screened else "train") for spec in run.recipe.problems)
        if run.recipe.evaluate:
            counts["rows"] += sum(load_part(run, spec, "evaluate") for spec in run.recipe.evaluate.problems)
    if screened:
        screen.problems(run)
    _refuse_overlap(run)
    refuse_unknown_truth(run, "evaluate")


def refuse_unknown_truth(run: Run, *parts: str) -> None:
    """Raises UserError where held-out problems have no reference."""
    if run.lake.value("""SELECT count(*) FROM members m JOIN problems p ON p.id = m.problem_id
            WHERE m.run_id = $1 AND m.part IN (SELECT unnest($2)) AND p.verifier = 'majority'""", [run.id, parts]):
        raise UserError("there are held-out problems without a reference (verifier 'majority'), so no answer to them "
                        "can be called right: evaluate on problems that have one")


def load_part(run: Run, spec: Plugin, part: str) -> int:
    """Make the problems of a source members of a part of the run; returns how many are new to the lake."""
    source = plugins.bind("source", spec.plugin, spec.params)
    new = found = 0
    try:
        for batch in _batches(source()):
            # Cleaned as the lake will hold it: the id has to be that of the row which is read back.
            problems = [Problem(**clean(asdict(row))) for row in batch if isinstance(row, Problem)]
            good, bad = _sound(run, problems)
            bad += [_aside(run, row) for row in batch if isinstance(row, BadRow)]
            run.lake.append_new("set_aside", bad)
            new += run.lake.append_new("problems", [{"id": p.id, **asdict(p)} for p in good])
            run.lake.append_new("members", [_member(run, p.id, part) for p in good])
            found += len(good)
    except ValueError as error:
        raise UserError(f"the source '{spec.plugin}': {error}") from error
    if not found:
        raise UserError(f"the source '{spec.plugin}' gave no usable problem: "
                        f'`cot status` shows what was wrong with each row')
    return new


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _sound(run: Run, problems: list[Problem]) -> tuple[list[Problem], list[dict[str, Any]]]:
    """Split the problems into those whose reference passes its own verifier and set-aside rows of the others."""
    known = dict(run.lake.sql("SELECT id, licence FROM problems WHERE id IN (SELECT unnest($1))",
                              [[p.id for p in problems]]).fetchall())
    fresh = [p for p in problems if p.id not in known and p.verifier != "majority"]  # which has no use for a reference
    _refuse_unknown_verifiers(fresh)
    limits = run.recipe.verify
    own, bad = _own_answers(run, fresh)
    bound = [p for p in problems if p.id in known and _newly_bound(run, p.licence, known[p.id])]
    bad += [_aside(run, BadRow(p.source, f"its licence is '{p.licence}' now, which forbid_licences names, and the lake "
                                         f"has '{known[p.id] or 'none'}'"), p) for p in bound]
    refused = {p.id for p in fresh if p.id not in own} | {p.id for p in bound}
    fresh = [p for p in fresh if own.get(p.id) is not None]
    if fresh:
        with Pool(workers=limits.workers, timeout=limits.timeout, memory_mb=limits.memory_mb) as pool:
            cases = (Case(p.verifier, own[p.id] or "", p.reference) for p in fresh)
            for problem, verdict in zip(fresh, pool.map(cases), strict=True):
                if verdict.status != "correct":
                    reason = f"its own reference is {verdict.status} for {problem.verifier}: {verdict.reason}"
                    bad.append(_aside(run, BadRow(problem.source, reason), problem))
                    refused.add(problem.id)
    return [p for p in problems if p.id not in refused], bad


def _newly_bound(run: Run, licence: str, before: str) -> bool:
    """A problem in the lake keeps the licence it was loaded with, and an export goes by that: it must not hide this."""
    return bool(run.recipe.datasets and run.recipe.forbids(licence) and not run.recipe.forbids(before))


def _own_answer(problem: Problem) -> str | None:
    """A response that is right by the reference itself: the reference in a box, or what `own_answer` of the verifier's
    module makes of it. None when the reference names none: tests without a solution. ValueError: it is malformed."""
    own = getattr(plugins.module("verifier", problem.verifier), "own_answer", None)
    return own(problem.reference) if own else f"\\boxed{{{problem.reference}}}"


def _own_answers(run: Run, problems: list[Problem]) -> tuple[dict[str, str | None], list[dict[str, Any]]]:
    """The own answers by the problem's id, and set-aside rows of those whose reference its verifier cannot read."""
    own: dict[str, str | None] = {}
    bad: list[dict[str, Any]] = []
    for problem in problems:
        try:
            own[problem.id] = _own_answer(problem)
        except ValueError as error:
            reason = f"its reference cannot be read by {problem.verifier}: {error}"
            bad.append(_aside(run, BadRow(problem.source, reason), problem))
    return own, bad


def _refuse_unknown_verifiers(problems: list[Problem]) -> None:
    for name in sorted({p.verifier for p in problems}):
        plugins.function("verifier", name)
        try:
            version(name)
        except LookupError as error:
            raise UserError(str(error)) from error
        if lacking := getattr(plugins.module("verifier", name), "missing", str)():
            raise UserError(lacking)


def _aside(run: Run, row: BadRow, problem: Problem | None = None) -> dict[str, Any]:
    return dict(id=content_id("aside", run.id, row.where, row.reason, problem.id if problem else ""), run_id=run.id,
                where=row.where, reason=row.reason, prompt=problem.prompt if problem else None,
                reference=problem.reference if problem else None, verifier=problem.verifier if problem else None)


def _member(run: Run, problem_id: str, part: str) -> dict[str, Any]:
    return dict(id=content_id("member", run.id, problem_id, part), run_id=run.id, problem_id=problem_id, part=part)


def _refuse_overlap(run: Run) -> None:
    """A held-out problem that is also trained on makes every figure worthless."""
    both = run.lake.value("""SELECT count(*) FROM (SELECT problem_id FROM members WHERE run_id = $1 AND part = 'train'
        INTERSECT SELECT problem_id FROM members WHERE run_id = $1 AND part = 'evaluate')""", [run.id])
    if both:
        raise UserError(f"{both} problems are both in `problems` and in `evaluate.problems`: "
                        "evaluate on another split, file or seed")
