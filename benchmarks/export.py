"""Choose and emit a dataset out of a million traces: seconds and peak memory.

    .venv/bin/python -m benchmarks.export [COUNT]

The lake is made up and written as Parquet parts of the sizes that a run leaves: 4 traces a problem, about 1.5 KB of raw
text each, two measures, two rules, one problem in eight with a wrong trace only. Then `choose` and `emit` run in a
process of their own, as `cot run` calls them, and once more, when there is nothing to do. Exits 1 when the first takes
60 s or more, or 4 GB of resident memory. Fewer traces as an argument have their share of the seconds.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from factory import plugins
from factory.lake import Lake, now
from factory.recipe import Recipe, validate
from factory.records import Problem, Request, canonical, content_id
from factory.run import Run
from verifiers.pool import version

SECONDS, GIGABYTES, COUNT, SAMPLES = 60.0, 4.0, 1_000_000, 4
PART, SHARD = 4096, 2000
"""Rows of a part of traces, and traces of a part of verdicts and measurements."""

RECIPE: dict[str, Any] = {
    "name": "export", "problems": ["worlds"], "teacher": "scripted", "generate": {"samples": SAMPLES},
    "measures": ["length", "repetition"],
    "rules": {"finished": "finish_reason = 'stop'", "calm": "repetition < 0.5"},
    "datasets": [{"name": "sft", "selector": "shortest", "emitter": "sft"}],
}
WORK = """
import json, resource, sys, time
from pathlib import Path
from benchmarks.export import recipe
from factory.lake import Lake
from factory.run import Run
from factory.stages import choose, emit
run = Run(recipe(), Lake(Path(sys.argv[1])))
times = [time.perf_counter()]
selections = choose.choose(run)
times.append(time.perf_counter())
emit.emit(run, selections)
times.append(time.perf_counter())
rows = run.lake.value("SELECT sum(rows) FROM datasets")
print(times[1] - times[0], times[2] - times[1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, rows)
"""


def recipe() -> Recipe:
    return validate(RECIPE, "the benchmark")


def main() -> int:
    parser = argparse.ArgumentParser(description="Choose and emit, over many traces.")
    parser.add_argument("count", type=int, nargs="?", default=COUNT, help="traces (default: a million)")
    count = max(SAMPLES, parser.parse_args().count) // SAMPLES * SAMPLES
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(dir=Path.cwd() / "build" if Path("build").is_dir() else None) as folder:
        started = time.perf_counter()
        characters = make_lake(Path(folder) / "lake", count)
        print(f"\n{count:,} traces of {characters / count:,.0f} characters written in "
              f"{time.perf_counter() - started:.0f} s\n")
        first, again = work(Path(folder) / "lake"), work(Path(folder) / "lake")
    return report(first, again, count)


def work(folder: Path) -> list[float]:
    """Seconds of choose and of emit, peak resident gigabytes, rows of the dataset."""
    done = subprocess.run([sys.executable, "-c", WORK, str(folder)], check=True, capture_output=True, text=True)
    return [float(number) for number in done.stdout.split()[-4:]]


def report(first: list[float], again: list[float], count: int) -> int:
    print("| | choose, s | emit, s | peak memory, GB | rows |\n|---|---|---|---|---|")
    for name, (chosen, emitted, peak, rows) in (("first", first), ("again", again)):
        print(f"| {name} | {chosen:.1f} | {emitted:.1f} | {peak:.2f} | {rows:,.0f} |")
    seconds, limit = first[0] + first[1], SECONDS * count / COUNT
    met = seconds < limit and first[2] < GIGABYTES
    print(f"\nchoose + emit of {count:,} traces: {seconds:.1f} s, {first[2]:.2f} GB: {'met' if met else 'MISSED'} "
          f"(< {limit:.0f} s, < {GIGABYTES:.0f} GB)")
    return 0 if met else 1


# -- the lake --------------------------------------------------------------------------------------------------------


def make_lake(folder: Path, count: int) -> int:
    """A lake as a run of `recipe` would have left it; returns the characters of raw text."""
    run = Run(recipe(), Lake(folder))
    run.register()
    rng, characters = random.Random(6), 0
    traces: list[dict[str, Any]] = []
    for start in range(0, count // SAMPLES, PART // SAMPLES):
        numbers = range(start, min(count // SAMPLES, start + PART // SAMPLES))
        problems = [Problem(f"Compute {n} + {n % 97}.", str(n + n % 97), source=f"source{n % 3}") for n in numbers]
        run.lake.append("problems", [{"id": p.id, **vars_of(p)} for p in problems])
        run.lake.append("members", [dict(id=content_id("member", run.id, p.id, "train"), run_id=run.id,
                                         problem_id=p.id, part="train") for p in problems])
        part = [trace(run, p, n, rng) for p in problems for n in range(SAMPLES)]
        characters += sum(len(row["raw"]) for row in part)
        run.lake.append("traces", part)
        traces = judge(run, [*traces, *({k: r[k] for k in ("id", "status", "words")} for r in part)], rng)
    judge(run, traces, rng, last=True)
    return characters


def vars_of(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in Problem.__dataclass_fields__}


def trace(run: Run, problem: Problem, sample: int, rng: random.Random) -> dict[str, Any]:
    """A row of `traces`, with its verdict to be; one in fifty is cut off, three in five are right."""
    request = Request(problem.id, run.teacher_key, run.strategy_key, sample)
    words = rng.randint(3, 40)
    thinking = "\n".join(f"Step {i}: {rng.randrange(999)} + {rng.randrange(999)} gives {rng.randrange(1998)}, so far "
                         "this looks right." for i in range(words))
    status = "undecided" if rng.random() < 0.02 else "correct" if rng.random() < 0.6 else "wrong"
    response = f"The answer is \\boxed{{{problem.reference if status == 'correct' else rng.randrange(999)}}}."
    return dict(id=request.id, problem_id=problem.id, teacher=request.teacher, strategy=request.strategy,
                sample=sample, round=0, thinking=thinking, response=response,
                raw=f"<think>\n{thinking}\n</think>\n\n{response}", finish_reason="stop", prompt_tokens=12,
                completion_tokens=words * 16, seconds=1.0, cost=0.0, created=now(), status=status, words=words)


def judge(run: Run, waiting: list[dict[str, Any]], rng: random.Random, last: bool = False) -> list[dict[str, Any]]:
    """Append verdicts and measurements of full shards of `waiting`; returns those left over."""
    number = version("math_equal")
    versions = {name: plugins.version("measure", name) for name in RECIPE["measures"]}
    for shard in shards(waiting, last):
        run.lake.append("verdicts", [dict(
            id=content_id("verdict", row["id"], "math_equal", number), trace_id=row["id"], verifier="math_equal",
            version=number, status=row["status"], answer="1", seconds=0.0) for row in shard])
        run.lake.append("measurements", [dict(
            id=content_id("measurement", row["id"], name, "{}", versions[name]), trace_id=row["id"], measure=name,
            params=canonical({}), version=versions[name], value=value)
            for row in shard for name, value in (("length", row["words"] * 60.0), ("repetition", rng.random() * 0.55))])
    return [] if last else waiting[len(waiting) // SHARD * SHARD:]


def shards(rows: list[dict[str, Any]], last: bool) -> Iterator[list[dict[str, Any]]]:
    whole = len(rows) if last else len(rows) // SHARD * SHARD
    return (rows[i:i + SHARD] for i in range(0, whole, SHARD))


if __name__ == "__main__":
    sys.exit(main())
