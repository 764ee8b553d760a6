"""How much of real solutions can be replayed, and is a step called wrong really wrong? Beside step labels of people.

    .venv/bin/python -m benchmarks.process [FOLDER]

FOLDER (default ../shared/data) holds process/processbench.jsonl.gz, process/prmbench.jsonl.gz and
traces/game24_gpt4_cot.jsonl.gz. Prints a table and exits 1 when of the solutions labelled free of errors more are
flagged than the target allows: precision is what counts, most wrong steps are no arithmetic and cannot be seen.
"""

import bisect
import collections
import gzip
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from verifiers.replay import first_wrong, replay, steps

FALSE_ALARMS = 0.02  # of the solutions labelled right that have replayable steps: the Wilson upper bound, 95 %
FILES = ("process/processbench.jsonl.gz", "process/prmbench.jsonl.gz", "traces/game24_gpt4_cot.jsonl.gz")
PIECES = ("1+1=2 ", ")=", "(=", "1=", "a ", "r at 3, ", "1. r\n", "10 - 4 = 6 (left: 5 6 6)\n", "**", "9,999",
          "\\text{", "!")
WORST = 5.0  # CPU-seconds for 40,000 characters of one of these
COLUMNS = ("solutions", "replayable", "with an error", "flagged", "rightly", "same first error", "false alarms")


def wilson(hits: int, of: int) -> float:
    """The upper end of the 95 % interval of a share."""
    if not of:
        return 1.0
    z, share = 1.96, hits / of
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (share + z * z / (2 * of) + spread) / (1 + z * z / of)


def rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(folder / name, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def labelled(folder: Path) -> Iterator[tuple[str, str, list[str], list[int]]]:
    """Name of the set, kind of its error, the steps, the indices of those labelled wrong."""
    for row in rows(folder, FILES[0]):
        errors = [row["first_error"]] if row["first_error"] >= 0 else []
        yield row["source"], "as a model makes it", row["steps"], errors
    originals = set()
    for row in rows(folder, FILES[1]):
        yield "prmbench, errors put in", row["meta"]["classification"], row["steps"], row["error_steps"]
        originals.add(tuple(row["original_steps"] or ()))
    for original in sorted(originals - {()}):
        yield "prmbench, originals", "none", list(original), []


def flagged_step(parts: list[str]) -> tuple[bool, int | None]:
    """Can anything be replayed, and which of the `parts` holds the first wrong step (None: none)?"""
    text = "\n\n".join(parts)
    starts = [0]
    for part in parts[:-1]:
        starts.append(starts[-1] + len(part) + 2)
    wrong = first_wrong(text)
    return bool(steps(text)), None if wrong is None else bisect.bisect(starts, wrong.start) - 1


def line(name: str, count: collections.Counter[str]) -> str:
    return f"| {name} | " + " | ".join(f"{count[column]:,}" for column in COLUMNS) + " |"


def step_labels(folder: Path) -> tuple[collections.Counter[str], dict[str, collections.Counter[str]]]:
    """Prints a line per set; returns their sum and, by kind of error, how many were seen."""
    sets: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    kinds: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for name, kind, parts, errors in labelled(folder):
        replayable, at = flagged_step(parts)
        found = {"solutions": 1, "replayable": replayable, "with an error": bool(errors), "flagged": at is not None}
        found |= {"rightly": bool(errors) and at is not None, "same first error": bool(errors) and at == min(errors)}
        found |= {"false alarms": at is not None and not errors, "right": not errors and replayable}
        sets[name].update(found)
        if errors:
            kinds[kind].update({"all": 1, "seen": at is not None, "exact": at == min(errors)})
    for name in sorted(sets):
        print(line(name, sets[name]))
    return sum(sets.values(), collections.Counter()), kinds


def searches(folder: Path) -> collections.Counter[str]:
    """GPT-4's searches for 24: `replay` with the puzzle as its reference, beside the label of the final expression."""
    found: collections.Counter[str] = collections.Counter()
    for row in rows(folder, FILES[2]):
        status = replay(row["trace"], json.dumps({"numbers": row["meta"]["numbers"], "target": 24})).status
        found[f"{'right' if row['correct'] else 'wrong'}, {status}"] += 1
    return found


def worst() -> float:
    """CPU-seconds of the slowest of some monotonous texts: a reading that grows with the square would take minutes."""

    def seconds(piece: str) -> float:
        began = time.process_time()
        replay(piece * (40_000 // len(piece)) + "=", '{"word": "strawberry"}')
        return time.process_time() - began

    return max(map(seconds, PIECES))


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        print(f"there is no {folder / missing[0]}: name the folder that holds {', '.join(FILES)}")
        return 1
    print(f"{machine()}\n\n| labelled steps | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    total, kinds = step_labels(folder)
    print(line("**all**", total))
    print("\n| kind of error | solutions | seen | first error hit | not seen |\n|---|---|---|---|---|")
    for kind, count in sorted(kinds.items(), key=lambda item: -item[1]["seen"] / item[1]["all"]):
        unseen = 1 - count["seen"] / count["all"]
        print(f"| {kind} | {count['all']:,} | {count['seen']:,} | {count['exact']:,} | {unseen:.1%} |")
    print("\n| game of 24: answer labelled, trace replayed | traces |\n|---|---|")
    games = searches(folder)
    for name, number in sorted(games.items()):
        print(f"| {name} | {number:,} |")
    slowest = worst()
    print(f"\n40,000 characters of one piece: at most {slowest:.2f} CPU-s: {'met' if slowest < WORST else 'MISSED'}")
    return judged(total, games) or slowest >= WORST


def judged(total: collections.Counter[str], games: collections.Counter[str]) -> int:
    """The figure, last; 1 when the target is missed."""
    precision = total["rightly"] / max(1, total["flagged"])
    recall = total["rightly"] / max(1, total["with an error"])
    bound = wilson(total["false alarms"], total["right"])
    met = bound <= FALSE_ALARMS and not games["wrong, correct"]
    hit = total["same first error"] / max(1, total["rightly"])
    print(f"\n'wrong step found': precision {precision:.3f}, recall {recall:.3f}; "
          f"first error hit in {hit:.2f} of those; false alarms {total['false alarms']} of "
          f"{total['right']:,} replayable solutions labelled right, at most {bound:.2%}: "
          f"{'met' if met else 'MISSED'} (<= {FALSE_ALARMS:.0%}; no wrong search called correct)")  # fmt: skip
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
