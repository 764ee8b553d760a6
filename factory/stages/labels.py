"""The labelled steps of traces: what a strategy or a judge left in the table `steps`, else what `replay` finds."""

from collections.abc import Sequence

from factory.lake import Lake
from factory.records import Step
from verifiers import replay


def labelled(lake: Lake, ids: Sequence[str]) -> dict[str, list[Step]]:
    """Trace id -> its steps that have a value, in order; a trace in which nothing can be judged is not in it."""
    found: dict[str, list[Step]] = {}
    for row in lake.rows("""SELECT trace_id, index, kind, text, parent, value, visits, state FROM steps
            WHERE trace_id IN (SELECT unnest($1)) AND value IS NOT NULL ORDER BY trace_id, index""", [list(ids)]):
        found.setdefault(row.pop("trace_id"), []).append(Step(**row))
    for row in lake.rows("""SELECT t.id, t.raw, p.reference FROM traces t JOIN problems p ON p.id = t.problem_id
            WHERE t.id IN (SELECT unnest($1))""", [[trace for trace in dict.fromkeys(ids) if trace not in found]]):
        if steps := replayed(row["raw"], row["reference"]):
            found[row["id"]] = steps
    return found


def replayed(text: str, reference: str) -> list[Step]:
    """The lines of `text`, each with what stands before it that cannot be judged; value 1.0, or 0.0 for a wrong one.

    A slip that is taken back directly is right: noticing it is what such a step teaches.
    """
    try:
        judged = replay.steps(text, reference)
    except ValueError:  # a reference that says nothing about steps
        judged = replay.steps(text)
    found: list[Step] = []
    start = 0
    for step in judged:
        end = text.find("\n", step.start) + 1 or len(text)
        right = float(step.right or step.corrected)
        if step.start < start:  # on the line of the step before
            found[-1] = Step(found[-1].index, "replayed", found[-1].text, value=min(found[-1].value or 0.0, right))
            continue
        found.append(Step(len(found), "replayed", text[start:end], value=right))
        start = end
    return found
