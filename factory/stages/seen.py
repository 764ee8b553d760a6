"""Which held-out problems meet what a student was trained on: n words in a row of a prompt, or 13 of a trace, by the
rules of `factory.stages.decontaminate`. Reported beside each score; the pairs are in `contamination`, kind `evaluated`.

The text has to hold the problem's numbers, too. Of problems that are made by templates nearly all have words in a row
in common (313 of 500 of the worlds), and are other problems all the same.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from factory.grams import numbers
from factory.lake import now
from factory.overlap import Hit, Overlap, shared
from factory.records import canonical, content_id
from factory.run import Run
from factory.stages import on_policy
from factory.stages.decontaminate import LONG

VERSION = 2


@dataclass(frozen=True)
class Training:
    """What the students of a run were trained on."""

    run: Run

    @cached_property
    def runs(self) -> list[str]:
        """Ids of the runs in which they were."""
        return [self.run.id, *(own.id for own in on_policy.runs(self.run))]

    def met(self, student: str) -> set[str]:
        """Ids of the held-out problems that meet the data of a student, and of the students it started from."""
        return _met(self.run, student, self._selections(student))

    def _selections(self, student: str) -> list[str]:
        """Of the datasets that the student, the one it started from, and so on, were trained on."""
        base = {spec.name: spec.base for spec in self.run.recipe.students}
        found, name = [], student
        while name in base:
            found.append(self.run.lake.value("""SELECT d.selection FROM students s JOIN datasets d ON d.id = s.dataset
                WHERE s.run_id IN (SELECT unnest($1)) AND s.name = $2 ORDER BY s.created DESC""", [self.runs, name]))
            name = base[name]
        return sorted({selection for selection in found if selection})


def _met(run: Run, student: str, selections: list[str]) -> set[str]:
    words = run.recipe.decontaminate.words
    members = run.lake.rows("""SELECT p.id, p.prompt FROM members m JOIN problems p ON p.id = m.problem_id
        WHERE m.run_id = $1 AND m.part = 'evaluate' ORDER BY p.id""", [run.id])
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
