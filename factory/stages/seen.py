"""Which held-out problems meet what a student was trained on: n words in a row of a prompt, or 13 of a trace, by the
rules of `factory.stages.decontaminate`. Reported beside each score; the pairs are in `contamination`, kind `evaluated`.

The text has to hold the problem's numbers, too. Of problems that are made by templates nearly all have words in a row
in common (313 of 500 of the worlds), and are other problems all the same.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from factory.grams import numbers
from factory.lake import Lake, now
from factory.overlap import Hit, Overlap, shared
from factory.records import canonical, content_id
from factory.run import Run
from factory.stages.decontaminate import LONG

VERSION = 2


def met(run: Run, student: str, model: Path, part: str = "evaluate") -> set[str] | None:
    """Ids of the problems of `part` that meet the data which the student in the folder `model`, the one that it started
    from, and so on, were trained on; None for a model that was not trained here."""
    words, selections = run.recipe.decontaminate.words, _selections(run.lake, model)
    if selections is None:
        return None
    members = run.lake.rows("""SELECT p.id, p.prompt FROM members m JOIN problems p ON p.id = m.problem_id
        WHERE m.run_id = $1 AND m.part = $2 ORDER BY p.id""", [run.id, part])
    params = canonical({"words": words, "version": VERSION})
    screening = content_id("seen", run.id, selections, params, [row["id"] for row in members])
    if screening not in run.lake.ids("screenings"):
        found = _look(run, selections, members, words)
        run.lake.append_new("contamination", [dict(
            row, id=content_id("contamination", screening, row["item"]), screening=screening, run_id=run.id,
            kind="evaluated", benchmark=f"training data of {student}") for row in found])
        # Written last: a screening that is listed is whole.
        run.lake.append("screenings", [dict(
            id=screening, run_id=run.id, stage="evaluate", kind="evaluated", dataset=student, params=params,
            items=len(members), dropped=0, created=now())])
    return {row[0] for row in run.lake.sql("SELECT item FROM contamination WHERE screening = $1",
                                           [screening]).fetchall()}


def _selections(lake: Lake, model: Path) -> list[str] | None:
    """What was chosen for the training of a model and of those before it."""
    known = {_place(Path(row["path"])): row for row in lake.rows(
        "SELECT s.path, s.base, d.selection FROM students s JOIN datasets d ON d.id = s.dataset")}
    found = set[str]()
    while row := known.pop(_place(model), None):
        found.add(row["selection"])
        model = Path(row["base"] or "")
    return sorted(found) or None


def _place(model: Path) -> tuple[str, ...]:
    """A model's folder within its lake, students/RECIPE/STUDENT/model: the lake may lie elsewhere now."""
    return model.parts[-4:]


def _look(run: Run, selections: list[str], members: list[dict[str, Any]], words: int) -> list[dict[str, Any]]:
    """The best hit of each held-out problem that has one, in a prompt first, else in a trace."""
    rows = run.lake.sql("""SELECT p.prompt, c.raw, r.raw FROM picks k JOIN problems p ON p.id = k.problem_id
        JOIN traces c ON c.id = k.chosen LEFT JOIN traces r ON r.id = k.rejected
        WHERE k.selection IN (SELECT unnest($1)) ORDER BY k.id""", [selections]).fetchall()
    prompts = list(dict.fromkeys(row[0] for row in rows))
    traces = list(dict.fromkeys(raw for row in rows for raw in row[1:] if raw))
    asked = [row["prompt"] for row in members]
    found: dict[int, tuple[Hit, str]] = {}
    for texts, n in ((traces, max(LONG, words)), (prompts, words)):
        hits = Overlap(texts, n, _numbers_stand()).hits(asked) if texts else ()
        found |= {hit.text: (hit, texts[hit.other]) for hit in hits}
    return [dict(item=members[i]["id"], text=asked[i], number=hit.other + 1, benchmark_text=other, rule=hit.rule,
                 score=hit.score, shared=" ".join(shared(asked[i], other)),
                 why=f"held out, but met in training: {hit.rule}") for i, (hit, other) in sorted(found.items())]


def _numbers_stand() -> Callable[[str, str], bool]:
    """Whether every number of a problem, and every sign of calculation, stands in a text as often."""
    count = cache(lambda text: Counter(numbers(text)))  # of this look: the texts themselves are its keys
    return lambda problem, text: not count(problem) or count(problem) <= count(text)
