"""Do the verdicts of `code_tests` agree with labels that were made by execution, and do reference solutions pass?

    .venv/bin/python -m benchmarks.code_labels [DIR] [--part N] [--only NAME] [--workers 2]

DIR holds {humaneval,mbpp,humanevalplus,mbppplus,cruxeval,code_contests_test,code_samples}.jsonl.gz. Every reference
solution is judged by its own tests, every sample by the tests that its two labels were made with. `--part N` takes
each N-th program. A verdict that is undecided counts as a disagreement; all are listed with the reason. Exits 1 when
fewer than 99.5 % of the solutions pass (those that the data's README names aside), or agreement with the labels is
below 0.995.
"""

import argparse
import gzip
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import machine
from verifiers.pool import Case, Pool

DATA = Path(__file__).parents[2] / "shared" / "data" / "code"
SETS = ("humaneval", "mbpp", "humanevalplus", "mbppplus", "cruxeval", "code_contests_test")
TARGET = 0.995

ASIDE = {"mbppplus-255": "it needs more memory than the labels had", "mbppplus-599": "slower than 20 s",
         "humanevalplus-32": "a mistake of its tests", "humanevalplus-139": "slower than 20 s"}
"""Reference solutions that fail their own tests, by the data's README."""

LIMITS = {"base": {"cpu_s": 6, "wall_s": 20, "memory_mb": 1024}, "plus": {"cpu_s": 20, "wall_s": 60, "memory_mb": 1024}}
"""As the labels were made: 5-6 s for the base tests, 20 s for the others."""

Row = dict[str, Any]


class Item(NamedTuple):
    """One case, where it counts, and what it has to come to."""

    name: str
    group: str
    case: Case
    label: bool


def read(folder: Path, name: str) -> list[Row]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def item(name: str, group: str, problem: Row, code: str, label: bool) -> Item:
    limits = LIMITS["plus" if "plus" in problem["id"] else "base"]
    literal = problem["tests"]["kind"] == "output_literal"
    response = f"`````{'' if literal else 'python'}\n{code}\n`````\n"
    return Item(name, group, Case("code_tests", response, json.dumps({**problem["tests"], "limits": limits})), label)


def solutions(problems: dict[str, list[Row]]) -> Iterator[Item]:
    for name, rows in problems.items():
        yield from (item(row["id"], f"solutions of {name}", row, row["answer"], True)
                    for row in rows if row["answer"] is not None and row["id"] not in ASIDE)


def samples(rows: list[Row], problems: dict[str, list[Row]]) -> Iterator[Item]:
    """Each sample once for every label whose tests are there, the base tests first.

    Where MBPP+ has mended the asserts of a task, the sample was asked and labelled with those.
    """
    known = {row["id"]: row for rows in problems.values() for row in rows}
    for row in rows:
        first, more = known[row["problem_id"]], known.get(row["problem_id"].replace("-", "plus-"))
        if more and "asserts" in more["tests"]:
            first = {**first, "tests": {**more["tests"], "kind": "asserts"}}
        if row["passed_base"] is not None:
            yield item(row["id"], "samples, passed_base", first, row["code"], row["passed_base"])
        if row["passed_plus"] is not None and more and more["id"] not in ASIDE:
            yield item(row["id"], "samples, passed_plus", more, row["code"], row["passed_plus"])


def table(items: list[Item], workers: int) -> bool:
    """Judge, print, and say whether both targets are met."""
    counts: dict[str, list[int]] = {}
    failed: set[str] = set()  # the base tests: EvalPlus's label is of those and its own
    wrong, begun = [], time.monotonic()
    with Pool(workers=workers, memory_mb=4096) as pool:
        for one, verdict in zip(items, pool.map(one.case for one in items), strict=True):
            if verdict.status == "wrong":
                failed.add(one.name)
            passes = verdict.status == "correct" and one.name not in failed
            agrees = passes is one.label and verdict.status != "undecided"
            count = counts.setdefault(one.group, [0, 0, 0])
            count[0] += 1
            count[1] += agrees
            count[2] += verdict.status == "undecided"
            if not agrees:
                found = json.loads(verdict.detail)["verdict"] if verdict.detail else "no verdict"
                wrong.append(f"  {one.group}: {one.name} is {'right' if one.label else 'wrong'}, found {found}: "
                             f"{verdict.reason[:300]}")
    seconds = time.monotonic() - begun
    print("| what | rows | agree | share | undecided |\n|---|---|---|---|---|")
    for group, (rows, agree, undecided) in counts.items():
        print(f"| {group} | {rows} | {agree} | {agree / rows:.4f} | {undecided} |")
    print(f"\n{len(items)} suites in {seconds:.0f} s, {len(items) / seconds:.0f} a second, {workers} processes")
    print("\n".join(["", f"{len(wrong)} disagreements:", *wrong]) if wrong else "\nno disagreement")
    return _met(counts, "solutions") and _met(counts, "samples")


def _met(counts: dict[str, list[int]], kind: str) -> bool:
    chosen = [count for group, count in counts.items() if group.startswith(kind)]
    rows, agree = sum(count[0] for count in chosen), sum(count[1] for count in chosen)
    if not rows:
        return True
    share = agree / rows
    print(f"{kind}: {agree} of {rows} = {share:.4f} (target {TARGET}) {'ok' if share >= TARGET else 'MISSED'}")
    return share >= TARGET


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=DATA, metavar="DIR")
    parser.add_argument("--part", type=int, default=1, metavar="N", help="only each N-th row")
    parser.add_argument("--only", default="", metavar="NAME", help="only groups whose name holds this")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    problems = {name: read(args.folder, name) for name in SETS}
    items = [*solutions(problems), *samples(read(args.folder, "code_samples"), problems)]
    items = [one for one in items if args.only in one.group]
    chosen = set(list(dict.fromkeys(one.name for one in items))[::args.part])
    print(machine())
    return 0 if table([one for one in items if one.name in chosen], args.workers) else 1


if __name__ == "__main__":
    sys.exit(main())
