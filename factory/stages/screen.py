"""What is kept out: duplicates, and what meets a benchmark; of problems before they are asked, and of rows.

The problems of a run are first members of the part `loaded`; those that pass become `train`. A selection that passes
stays; of another a new one is made without the rows, and each trace that it lost has its reason in `drops`. What was
looked at once is not looked at again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from factory.lake import now
from factory.protocols import UserError
from factory.recipe import Recipe
from factory.records import canonical, content_id
from factory.run import Run
from factory.stages import decontaminate, dedup

Look = Callable[[str], Iterable[dict[str, Any]]]
TABLES = {"dedup": "duplicates", "decontaminate": "contamination"}


def screens_problems(recipe: Recipe) -> bool:
    """Whether the recipe may drop problems before they are asked."""
    return recipe.dedup.problems or bool(recipe.decontaminate.against)


def problems(run: Run) -> None:
    """Make the loaded problems that pass members of the part `train`; set the others aside with the reason."""
    items = run.lake.rows("""SELECT count(*) AS items, bit_xor(hash(problem_id))::VARCHAR AS digest FROM members
        WHERE run_id = $1 AND part = 'loaded'""", [run.id])[0]
    looks: dict[str, tuple[Any, Look]] = {}
    if run.recipe.decontaminate.against:
        benchmarks = decontaminate.read(run.recipe)
        looks["decontaminate"] = benchmarks.digest, lambda name: decontaminate.problems(run, name, benchmarks)
    if run.recipe.dedup.problems:
        looks["dedup"] = "", lambda name: dedup.problems(run, name)
    reasons = _reasons(run, "problem", "", items["items"], items["digest"], looks)
    left = _pass(run, reasons)
    if reasons:
        print(f"{len(reasons)} of {items['items']} problems are not asked: {_counts(reasons)} (in `duplicates` and "
              "`contamination`)")
    if not left:
        raise UserError(f"every problem is dropped ({_counts(reasons)}): look at the tables `duplicates` and "
                        "`contamination`, then at [dedup] and [decontaminate] in the recipe")


def _pass(run: Run, reasons: Mapping[str, str]) -> int:
    """Members for those that pass, `set_aside` for the others; returns how many there are to ask."""
    rows = run.lake.rows("""SELECT p.id, p.source, p.prompt, p.reference, p.verifier, a.id IS NOT NULL AS asked
        FROM members m JOIN problems p ON p.id = m.problem_id
        LEFT JOIN members a ON a.run_id = $1 AND a.part = 'train' AND a.problem_id = p.id
        WHERE m.run_id = $1 AND m.part = 'loaded'""", [run.id])
    run.lake.append_new("set_aside", [
        dict(row, id=content_id("aside", run.id, row["id"], reasons[row["id"]]), run_id=run.id, where=row["source"],
             reason=reasons[row["id"]]) for row in rows if row["id"] in reasons and not row["asked"]])
    run.lake.append_new("members", [
        dict(id=content_id("member", run.id, row["id"], "train"), run_id=run.id, problem_id=row["id"], part="train")
        for row in rows if row["id"] not in reasons])
    return sum(row["id"] not in reasons or row["asked"] for row in rows)


def rows(run: Run, selections: Mapping[str, str]) -> dict[str, str]:
    """The selections (by name of their dataset) without what is kept out of them. One with a mixture stays: its picks
    were looked through before (`factory.stages.emittable`).
    """
    mixed = {spec.name for spec in run.recipe.datasets if spec.mixture}
    against = benchmarks(run) if set(selections) - mixed else None
    return {name: selection if name in mixed else _one(run, name, selection, against)
            for name, selection in selections.items()}


def benchmarks(run: Run) -> decontaminate.Benchmarks | None:
    return decontaminate.read(run.recipe) if run.recipe.decontaminate.against else None


def determined_by(run: Run, benchmarks: decontaminate.Benchmarks | None) -> list[Any]:
    """All that decides which rows are kept out, beside the rows."""
    against = [run.recipe.decontaminate.model_dump(mode="json"), benchmarks.digest] if benchmarks else []
    return [VERSION, run.recipe.dedup.model_dump(mode="json") if run.recipe.dedup.rows else {}, against]


def _one(run: Run, name: str, selection: str, benchmarks: decontaminate.Benchmarks | None) -> str:
    items = run.lake.value("SELECT picks FROM selections WHERE id = $1", [selection])
    found = reasons(run, name, selection, items, benchmarks)
    return _without(run, selection, found) if found else selection


def reasons(run: Run, dataset: str, selection: str, items: int, benchmarks: decontaminate.Benchmarks | None
            ) -> dict[str, str]:
    """(chosen trace -> why its rows are kept out) of the picks noted under `selection`, `items` of them."""
    looks: dict[str, tuple[Any, Look]] = {}
    if benchmarks:
        looks["decontaminate"] = benchmarks.digest, lambda key: decontaminate.rows(run, key, benchmarks, selection)
    if run.recipe.dedup.rows:
        looks["dedup"] = "", lambda key: dedup.rows(run, key, selection)
    return _reasons(run, "row", dataset, items, selection, looks)


def _reasons(run: Run, kind: str, dataset: str, items: int, digest: str, looks: Mapping[str, tuple[Any, Look]]
             ) -> dict[str, str]:
    """(item -> why it is dropped), after looking where nobody has looked yet."""
    reasons: dict[str, str] = {}
    for stage, (other, look) in looks.items():
        params = canonical({**getattr(run.recipe, stage).model_dump(mode="json"), "version": VERSION})
        screening = content_id("screening", run.id, stage, kind, params, digest, other)
        if screening not in run.lake.ids("screenings"):
            with run.timed("screen", stage) as counts:
                found = list(look(screening))
                run.lake.append_new(TABLES[stage], found)
                counts["rows"] = items
            # Written last: a screening that is listed is whole.
            run.lake.append("screenings", [dict(
                id=screening, run_id=run.id, stage=stage, kind=kind, dataset=dataset, params=params, items=items,
                dropped=sum(not row.get("kept") for row in found), created=now())])
        for item, why in run.lake.sql("SELECT item, reason FROM screened WHERE screening = $1 ORDER BY item",
                                      [screening]).fetchall():
            reasons.setdefault(item, why)
    return reasons


VERSION = 2
"""Of what `factory.minhash`, `overlap` and the paraphrases compute: a new one looks anew."""


def _counts(reasons: Mapping[str, str]) -> str:
    kinds = [short(reason).removeprefix("a ") for reason in reasons.values()]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))


def _without(run: Run, selection: str, reasons: Mapping[str, str]) -> str:
    """The selection without the picks whose chosen trace is in `reasons`, as a selection of its own."""
    made = content_id("screened", selection, canonical(reasons))
    if made in run.lake.ids("selections"):
        return made
    picks = run.lake.rows("SELECT * FROM picks WHERE selection = $1 ORDER BY id", [selection])
    kept = [dict(row, id=content_id("pick", made, row["chosen"], row["rejected"]), selection=made)
            for row in picks if row["chosen"] not in reasons]
    used = {side for row in kept for side in (row["chosen"], row["rejected"])}
    lost = {side: reasons[row["chosen"]] for row in picks if row["chosen"] in reasons
            for side in (row["chosen"], row["rejected"]) if side and side not in used}
    drops = run.lake.rows("SELECT * FROM drops WHERE selection = $1", [selection])
    [whole] = run.lake.rows("SELECT * FROM selections WHERE id = $1", [selection])
    drops += [dict(run_id=run.id, dataset=whole["dataset"], trace_id=trace, reason=short(why))
              for trace, why in lost.items()]
    run.lake.append_new("drops", [dict(row, id=content_id("drop", made, row["trace_id"]), selection=made)
                                  for row in drops])
    run.lake.append_new("picks", kept)
    run.lake.append("selections", [dict(whole, id=made, picks=len(kept), drops=len(drops), created=now())])
    return made


def short(why: str) -> str:
    """The reason as `cot status` counts it; which one it was is in `duplicates` and `contamination`."""
    return why.partition(" row ")[0] if why.startswith("contaminated") else why.partition(" of ")[0]
