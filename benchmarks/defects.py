"""The measures against the defects that another tool flagged in real traces (`meta.flags`), kind by kind.

    .venv/bin/python -m benchmarks.defects [DIR] [--list]

DIR holds traces/*.jsonl.gz. Each kind is a rule over measures, as a recipe would write it in SQL. The flags are taken
as they are, in the files where the tool looked for them at all (those that bear the kind at least once); the rows of
every other file are counted beside. A disagreement is put down as "theirs" only where the text itself settles it:
`SETTLED` says how. `--list` prints each disagreement. Exits 1 when a kind with 20 flags or more misses recall 0.95 or
precision 0.9.
"""

import argparse
import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import machine
from factory.measures.api_error import api_error
from factory.measures.compression import compression
from factory.measures.final_answers import final_answers
from factory.measures.language_mixing import language_mixing
from factory.measures.loop import loop
from factory.measures.repeated_line import repeated_line
from factory.measures.truncation import truncation
from factory.records import Completion, Problem, Request, Trace
from factory.thoughts import split

DATA = Path(__file__).parents[2] / "shared" / "data"
RECALL, PRECISION, ENOUGH = 0.95, 0.9, 20


class Row(NamedTuple):
    file: str
    id: str
    flags: frozenset[str]
    problem: Problem
    trace: Trace


def read(folder: Path) -> Iterator[Row]:
    for path in sorted((folder / "traces").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield row(path.name.partition(".")[0], json.loads(line))


def row(file: str, told: dict[str, Any]) -> Row:
    """A row as the lake would hold it; what the endpoint said of its end is the finish reason."""
    meta = told["meta"]
    problem = Problem(told["problem"], str(told["gold"] or ""), source=f"{told['source']} {told['problem_id']}",
                      domain=told["domain"])
    reason = "length" if meta.get("truncated") else meta.get("finish_reason") or meta.get("done_reason") or "stop"
    thinking, response = split(told["trace"])
    trace = Trace(Request(problem.id, "{}", "{}", 0), Completion(thinking, response, told["trace"], reason))
    return Row(file, told["id"], frozenset(meta.get("flags", [])), problem, trace)


# -- the rules; beside each the SQL of a recipe


def is_loop(problem: Problem, trace: Trace) -> bool:  # compression >= 10 OR repeated_line >= 0.2
    return compression(problem, trace) >= 10 or repeated_line(problem, trace) >= 0.2


def is_truncated(problem: Problem, trace: Trace) -> bool:  # truncation = 1
    return truncation(problem, trace) == 1


def is_mixed(problem: Problem, trace: Trace) -> bool:  # language_mixing >= 20, of = "letters", scripts = "east_asian"
    return language_mixing(problem, trace, of="letters", scripts="east_asian") >= 20


def is_error(problem: Problem, trace: Trace) -> bool:  # api_error = 1
    return api_error(problem, trace) == 1


def has_no_final(problem: Problem, trace: Trace) -> bool:  # final_answers = 0
    """GSM8K's graders take the last number of a response (Cobbe et al. 2021), MATH's want an answer that is marked;
    where no answer can be checked (no reference, or an instruction to follow), none is asked for."""
    if not problem.reference or problem.domain == "instruction":
        return False
    return final_answers(problem, trace, form="any" if "gsm8k" in problem.source else "marked") == 0


RULES: dict[str, Callable[[Problem, Trace], bool]] = {
    "no_final": has_no_final, "loop": is_loop, "truncated": is_truncated, "language_mix": is_mixed,
    "api_error": is_error}

def is_cut_object(problem: Problem, trace: Trace) -> bool:
    """A JSON object that was begun and breaks off."""
    response = trace.completion.response.strip()
    return response.startswith(("{", "```json")) and not response.endswith(("}", "```"))


SETTLED: dict[str, tuple[str, Callable[[Row], bool]]] = {
    "no_final": ("not flagged, yet a JSON object that breaks off before its answer",
                 lambda r: has_no_final(r.problem, r.trace) and is_cut_object(r.problem, r.trace)),
    "loop": ("not flagged, yet one part of the text, letter for letter, ten times and more, over 1000 bytes",
             lambda r: loop(r.problem, r.trace, of="length") > 1000 and loop(r.problem, r.trace, of="times") >= 10),
    "language_mix": ("not flagged, yet 20 letters and more of scripts that the prompt has none of",
                     lambda r: language_mixing(r.problem, r.trace, of="letters") >= 20),
    "api_error": ("not flagged, yet the whole text is the error", lambda r: is_error(r.problem, r.trace)),
    "truncated": ("not flagged, yet a thought is opened and never closed", lambda r: is_truncated(r.problem, r.trace)),
}


# -- counting


class Score(NamedTuple):
    kind: str
    flagged: int
    found: int
    both: int
    elsewhere: int  # found in files where the kind is never flagged
    missed: list[Row]
    extra: list[Row]
    theirs: list[Row]  # rows without the flag in which the text itself shows the defect

    def recall(self) -> float:
        return self.both / self.flagged if self.flagged else 1.0

    def precision(self) -> float:
        return self.both / self.found if self.found else 1.0

    def met(self) -> bool:
        return self.flagged < ENOUGH or (self.recall() >= RECALL and self.precision() >= PRECISION)


def score(kind: str, rows: list[Row]) -> Score:
    looked_at = {r.file for r in rows if kind in r.flags}
    found = [r for r in rows if RULES[kind](r.problem, r.trace)]
    here = [r for r in found if r.file in looked_at]
    ids = {r.id for r in here}
    _, settled = SETTLED.get(kind, ("", lambda _: False))
    return Score(kind, sum(kind in r.flags for r in rows), len(here), sum(kind in r.flags for r in here),
                 len(found) - len(here), [r for r in rows if kind in r.flags and r.id not in ids],
                 [r for r in here if kind not in r.flags], [r for r in rows if kind not in r.flags and settled(r)])


def table(scores: list[Score]) -> None:
    print("\n| kind | flagged | found | recall | precision | precision with theirs | flag missing (theirs) "
          "| found where never flagged | |\n|---|---|---|---|---|---|---|---|---|")
    for s in scores:
        theirs = {r.id for r in s.theirs}
        true = s.both + sum(r.id in theirs for r in s.extra)
        verdict = "fewer than 20" if s.flagged < ENOUGH else "met" if s.met() else "MISSED"
        print(f"| {s.kind} | {s.flagged} | {s.found} | {s.recall():.3f} | {s.precision():.3f} | "
              f"{true / s.found if s.found else 1:.3f} | {len(s.theirs)} | {s.elsewhere} | {verdict} |")


def without_finish_reason(rows: list[Row]) -> str:
    """What the text alone tells of truncation: nothing, where the endpoint closed the thought."""
    flagged = [r for r in rows if "truncated" in r.flags]
    alone = sum(truncation(r.problem, _stopped(r.trace)) == 1 for r in flagged)
    return f"truncated: {alone} of {len(flagged)} are seen in the text alone, the others by the finish reason"


def _stopped(trace: Trace) -> Trace:
    completion = trace.completion
    return Trace(trace.request, Completion(completion.thinking, completion.response, completion.raw, "stop"))


def disagreements(scores: list[Score]) -> None:
    for s in scores:
        theirs = {r.id for r in s.theirs}
        for what, rows in (("missed", s.missed), ("not flagged", s.extra)):
            for r in rows:
                whose = ", theirs" if what == "not flagged" and r.id in theirs else ""
                print(f"{s.kind}, {what}{whose}: {r.id} ({len(r.trace.completion.raw)} characters) "
                      f"…{r.trace.completion.raw[-160:]!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Recall and precision of the measures on flagged defects.")
    parser.add_argument("folder", type=Path, nargs="?", default=DATA)
    parser.add_argument("--list", action="store_true", help="print every disagreement")
    chosen = parser.parse_args()
    rows = list(read(chosen.folder))
    if not rows:
        parser.error(f"{chosen.folder} has no traces/*.jsonl.gz: name a folder with traces")
    print(machine())
    scores = [score(kind, rows) for kind in RULES]
    table(scores)
    print("\n" + "\n".join(f"theirs, {kind}: {how}" for kind, (how, _) in SETTLED.items()))
    print(without_finish_reason(rows))
    if chosen.list:
        disagreements(scores)
    return judge(scores, len(rows))


def judge(scores: list[Score], rows: int) -> int:
    counted = [s for s in scores if s.flagged >= ENOUGH]
    short = [s.kind for s in counted if not s.met()]
    print(f"\n{rows:,} traces, {len(counted)} kinds with {ENOUGH} flags or more, recall >= {RECALL} and precision >= "
          f"{PRECISION}: {'met by all' if not short else 'MISSED by ' + ', '.join(short)}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
