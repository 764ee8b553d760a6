"""Memory and time at a million problems: generation must not grow with them, and what is owed must be found at once.

    .venv/bin/python -m benchmarks.scale [--full]

Lakes of 10^4 and 10^6 problems are written as Parquet parts. Each is then opened in a process of its own, which asks a
scripted teacher: 40,000 samples of either, or with --full all four of every problem (hours). Last, a lake that holds
4·10^6 traces, a thousandth of them missing, is opened and what is owed is counted and handed out. Exits 1 when a target
is missed.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import machine
from factory.lake import TABLES, Lake
from factory.protocols import Exhausted
from factory.recipe import Recipe, validate
from factory.records import Problem, Request, content_id
from factory.run import Run, make_teacher
from factory.stages import generate, verify

SMALL, LARGE, SAMPLES = 10_000, 1_000_000, 4
QUICK_TOKENS = 40_000 * 75  # a scripted trace has about so many
GROWTH, SECONDS, MEMORY = 300, 15.0, 2048
PART = 4096  # rows: as many as a journal segment becomes
TEXT = "So far this looks right. " * 40


def recipe(tokens: int | None = None) -> Recipe:
    return validate({
        "name": "scale", "problems": ["worlds"], "teacher": {"plugin": "scripted", "accuracy": 0.7, "concurrency": 256},
        "generate": {"samples": SAMPLES}, "verify": {"workers": 1}, "audit": {"share": 0},
        "budget": {"max_tokens": tokens} if tokens else {}}, "the benchmark")


def problems(count: int) -> Iterator[Problem]:
    for number in range(count):
        yield Problem(f"Compute {number} + {number % 97}.", str(number + number % 97), "exact_match", "scale")


def write(lake: Lake, table: str, rows: Iterator[dict[str, Any]]) -> None:
    """The rows as parts of `PART`, as a long run leaves them."""
    schema = pa.schema(list(TABLES[table].items()))
    block: list[dict[str, Any]] = []

    def flush() -> None:
        columns = {name: pa.array([row.get(name) for row in block], kind) for name, kind in TABLES[table].items()}
        path = lake.folder / "tables" / table / f"part-{os.urandom(6).hex()}.parquet"
        pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")
        block.clear()
    for row in rows:
        block.append(row)
        if len(block) == PART:
            flush()
    flush()


def make(folder: Path, count: int, traces: bool) -> None:
    """A lake with so many problems, and with all but a thousandth of their traces and verdicts."""
    lake = Lake(folder)
    run = Run(recipe(), lake)
    run.register()
    write(lake, "problems", ({"id": p.id, **p.__dict__} for p in problems(count)))
    write(lake, "members", (dict(id=content_id("member", run.id, p.id, "train"), run_id=run.id, problem_id=p.id,
                                 part="train") for p in problems(count)))
    if not traces:
        return
    requests = [Request(p.id, run.teacher_key, run.strategy_key, s) for p in problems(count) for s in range(SAMPLES)
                if hash((p.id, s)) % 1000]
    write(lake, "traces", (dict(
        id=r.id, problem_id=r.problem_id, teacher=r.teacher, strategy=r.strategy, sample=r.sample, raw=TEXT,
        thinking=TEXT, response="1", completion_tokens=300, cost=0.0) for r in requests))
    number = verify.version("exact_match")
    write(lake, "verdicts", (dict(
        id=content_id("verdict", r.id, "exact_match", number), trace_id=r.id, verifier="exact_match", version=number,
        status="correct") for r in requests))


# -- in a process of its own -----------------------------------------------------------------------------------------


def buy(folder: str, tokens: str) -> dict[str, float]:
    """Generation; seconds, samples and the peak of resident memory in MiB."""
    run = Run(recipe(int(tokens) or None), Lake(folder))
    start = time.monotonic()
    with run.lake.writing():
        try:
            generate.generate(run)
        except Exhausted as ended:
            print(ended, file=sys.stderr)
    bought = run.lake.value("SELECT count(*) FROM traces")
    return dict(seconds=time.monotonic() - start, samples=bought, peak=peak())


def find(folder: str) -> dict[str, float]:
    """Opening, and all that is owed; the same figures."""
    start = time.monotonic()
    run = Run(recipe(), Lake(folder))
    job = generate.Job(run, "train", make_teacher(run.recipe.teacher), run.recipe.generate)
    count = generate.owed_count(job)
    handed = sum(len(asked.todo) for found in generate.owed(job) for asked in found)
    unjudged = sum(map(len, verify.shards(run)))
    assert count == handed > 0, f"{count} are owed and {handed} handed out"
    assert unjudged == 0
    return dict(seconds=time.monotonic() - start, samples=count, peak=peak())


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(function: str, *arguments: object) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", "benchmarks.scale", function, *map(str, arguments)],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


# -- the table -------------------------------------------------------------------------------------------------------


def main() -> int:
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("buy", "find"):
        print(json.dumps({"buy": buy, "find": find}[arguments[0]](*arguments[1:])))
        return 0
    if arguments not in ([], ["--full"]):
        sys.exit(__doc__)
    print(f"{machine()}\n\n| what | problems | samples | seconds | peak memory |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        small = line("generation", SMALL, folder / "small", 0)
        large = line("generation", LARGE, folder / "large", 0 if arguments else QUICK_TOKENS)
        make(folder / "whole", LARGE, traces=True)
        owed = alone("find", folder / "whole")
        tell("opening, and what is owed", LARGE, owed)
    growth = large["peak"] - small["peak"]
    met = growth < GROWTH and owed["seconds"] < SECONDS and owed["peak"] < MEMORY
    print(f"\ngeneration grows by {growth:.0f} MiB (< {GROWTH}); {LARGE * SAMPLES:,} traces are opened and what is "
          f"owed is found in {owed['seconds']:.1f} s (< {SECONDS:.0f}) and {owed['peak']:.0f} MiB (< {MEMORY}): "
          f"{'met' if met else 'MISSED'}")
    return 0 if met else 1


def line(what: str, count: int, folder: Path, tokens: int) -> dict[str, float]:
    make(folder, count, traces=False)
    found = alone("buy", folder, tokens)
    tell(what, count, found)
    return found


def tell(what: str, count: int, found: dict[str, float]) -> None:
    print(f"| {what} | {count:,} | {found['samples']:,.0f} | {found['seconds']:.1f} | {found['peak']:.0f} MiB |",
          flush=True)


if __name__ == "__main__":
    sys.exit(main())
