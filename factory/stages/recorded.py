"""traces of a file -> traces of the lake: what somebody has already, for the teacher `recorded`.

A row belongs to every problem of the run with its prompt. A problem's rows are its samples in the order of the file;
the id is a hash of the file's digest and that number, so a second run takes nothing twice.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Any

from factory import plugins, thoughts
from factory.lake import clean
from factory.protocols import BadRow, UserError
from factory.recipe import Recipe
from factory.records import Completion, Problem, Request, Trace, content_id
from factory.run import Run
from factory.stages.decontaminate import kind_of
from factory.stages.rows import trace_row

NAME = "recorded"
BATCH = 2000


def take(run: Run) -> int:
    """Add the file's traces that the run lacks; returns how many. What is left out is counted on stderr."""
    problems: dict[str, list[str]] = defaultdict(list)
    for problem, prompt in run.lake.sql("""SELECT p.id, p.prompt FROM members m JOIN problems p ON p.id = m.problem_id
            WHERE m.run_id = $1 AND m.part = 'train' ORDER BY 1""", [run.id]).fetchall():
        problems[prompt].append(problem)
    have, left = run.lake.ids("traces"), Counter[str]()
    with run.timed("generate", "take from the file") as counts:
        found = _traces(run, problems, left)
        while batch := list(islice(found, BATCH)):
            fresh = [trace_row(trace) for trace in batch if trace.id not in have]
            run.lake.append("traces", fresh)
            counts["rows"] = counts.get("rows", 0) + len(fresh)
    for reason, count in left.items():
        print(f"recorded traces: {count:,} {reason}", file=sys.stderr)
    if not run.lake.value("SELECT count(*) FROM run_traces WHERE run_id = $1", [run.id]):
        raise UserError(f"no trace of {run.recipe.teacher.params['path']} belongs to a problem of the recipe: name the "
                        "column of the prompts in teacher.columns, and leave `prefix` and `suffix` out of the source")
    return counts["rows"]


def check(recipe: Recipe) -> list[str]:
    """Look at the beginning of the file. Raises UserError for one without the columns."""
    if recipe.teacher.plugin != NAME:
        return []
    if all(isinstance(row, BadRow) for row in islice(_rows(recipe), 100)):
        raise UserError(f"the first rows of {recipe.teacher.params['path']} are no traces: see to teacher.columns")
    return [f"traces in {recipe.teacher.params['path']}: the first ones can be read"]


def _traces(run: Run, problems: dict[str, list[str]], left: Counter[str]) -> Iterator[Trace]:
    samples: Counter[str] = Counter()
    model, most = run.recipe.teacher.params.get("model", ""), run.recipe.generate.samples
    bad: list[dict[str, Any]] = []
    for row in _rows(run.recipe):
        told = {} if isinstance(row, BadRow) else json.loads(row.meta)
        if isinstance(row, BadRow):
            left["cannot be read (in set_aside)"] += 1
            bad.append(dict(id=content_id("aside", run.id, row.where, row.reason), run_id=run.id, where=row.where,
                            reason=row.reason))
        elif "model" in told and told["model"] != model:
            left[f"are of other models than '{model}'"] += 1
        elif row.prompt not in problems:
            left["belong to no problem of the run"] += 1
        else:
            for problem in problems[row.prompt]:
                if samples[problem] < most:
                    yield Trace(Request(problem, run.teacher_key, run.strategy_key, samples[problem]), _completion(
                        row.reference, told))
                else:
                    left[f"are more than generate.samples = {most} of a problem"] += 1
                samples[problem] += 1
    run.lake.append_new("set_aside", bad)


def _completion(text: str, told: dict[str, Any]) -> Completion:
    """`told` has the row's further columns under our names; a thought of its own makes `text` the response."""
    thought = str(told.get("thinking") or "")
    thinking, response = thoughts.split(text, thought)
    raw = thoughts.join(thought, text, closed=True) if thought else text
    return Completion(thinking, response, raw, str(told.get("finish_reason") or ""))


def _rows(recipe: Recipe) -> Iterator[Problem | BadRow]:
    """As a source reads them: the text is the reference, the further columns are in `meta` under our names."""
    spec = recipe.teacher.params
    columns = dict(spec.get("columns", {}))
    text = columns.pop("response", None) or columns.pop("trace", "trace")
    further = {field: column for field, column in columns.items() if field not in ("prompt", "trace")}
    params = {"path": spec["path"], "verifier": "majority", "meta": list(further.values()),
              "columns": {"prompt": columns.get("prompt", "prompt"), "reference": text}}
    try:
        for row in plugins.bind("source", kind_of(spec["path"], "teacher.path"), params)():
            if isinstance(row, BadRow):
                yield row
            else:
                meta = json.loads(row.meta)
                told = {field: meta.get(column) for field, column in further.items()}
                yield Problem(**clean({"prompt": row.prompt, "reference": row.reference, "meta": json.dumps(told)}))
    except (UserError, ValueError) as error:
        said = str(error).replace(" for reference:", " for the trace:").replace(" in `meta`", " in `columns`")
        raise UserError(f"the teacher 'recorded': {said}") from error
