"""How fast the measures read real traces: MB of text a second of CPU, each and all together, on one core.

    .venv/bin/python -m benchmarks.measures [DIR] [--tokenizer FOLDER]

DIR holds traces/*.jsonl.gz. What is timed is the stage's own `measured`: every measure about one trace before the next
trace, short traces prepared together, each number with its id as a row of `measurements`. CPU time counts, since it is
the machine's other work that the clock shows; the best of three passes, for the same reason. Beside it the whole stage,
out of a lake and into it. The slow measures are told apart and do not count: `overthinking` compares answers by
mathematics, `token_length` runs a tokenizer. Exits 1 under 20 MB/s for all others.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.defects import DATA, read
from benchmarks.machine import machine
from factory import plugins
from factory.lake import Lake
from factory.recipe import Plugin
from factory.records import Problem, Trace
from factory.stages import measure

TARGET = 20.0  # MB/s
TOKENIZER = Path(__file__).parents[1] / "data" / "teacher"
WITHOUT = {"overthinking", "token_length",  # the slow ones
           "log_probability", "execution"}  # these traces have no log-probabilities and no programs

Pairs = list[tuple[Problem, Trace]]


def main() -> int:
    parser = argparse.ArgumentParser(description="MB of traces a second through the measures.")
    parser.add_argument("folder", type=Path, nargs="?", default=DATA)
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER, help="a folder with tokenizer.json")
    chosen = parser.parse_args()
    found = pairs(chosen.folder)
    if not found:
        parser.error(f"{chosen.folder} has no traces/*.jsonl.gz: name a folder with traces")
    print(machine())
    quick = [Plugin(plugin=name) for name in plugins.names("measure") if name not in WITHOUT]
    megabytes = size(found)
    table(found, quick)
    told_apart(found[::10], chosen.tokenizer)
    cpu, wall = min(once(chosen.folder, quick) for _ in range(3))
    stage(found, quick)
    rate = megabytes / cpu
    print(f"\n{len(found):,} traces, {megabytes:.1f} MB, {len(quick)} measures: {rate:.1f} MB/s of CPU time per core "
          f"({megabytes / wall:.1f} by the clock, at a load of {os.getloadavg()[0]:.1f}), target {TARGET:.0f}: "
          f"{'met' if rate >= TARGET else 'MISSED'}")
    return 0 if rate >= TARGET else 1


def once(folder: Path, quick: Sequence[Plugin]) -> tuple[float, float]:
    """Traces that were never seen before: a text that was hashed once is quicker to look up."""
    found = pairs(folder)
    return spent(lambda: measure.measured(found, quick))


def pairs(folder: Path) -> Pairs:
    """Each trace with a number of its own, so that ids differ."""
    return [(row.problem, replace(row.trace, request=replace(row.trace.request, sample=number)))
            for number, row in enumerate(read(folder))]


def size(found: Pairs) -> float:
    return sum(len(trace.completion.raw.encode("utf-8", "surrogatepass")) for _, trace in found) / 1e6


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of all threads, and seconds by the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def table(found: Pairs, quick: Sequence[Plugin]) -> None:
    """Each measure alone, with all that it shares with others."""
    times = {spec.plugin: spent(lambda spec=spec: measure.measured(found, [spec]))[0] for spec in quick}
    print("\n| measure, alone | MB/s |\n|---|---|")
    for name, taken in sorted(times.items(), key=lambda pair: -pair[1]):
        print(f"| {name} | {size(found) / taken:,.0f} |")


def told_apart(some: Pairs, tokenizer: Path) -> None:
    """The slow ones on every tenth trace."""
    specs = [Plugin(plugin="overthinking"), Plugin(plugin="token_length", params={"tokenizer": str(tokenizer)})]
    rates = [f"{spec.plugin} {size(some) / spent(lambda spec=spec: measure.measured(some, [spec]))[0]:.1f} MB/s"
             for spec in specs]
    print(f"\ntold apart, on every tenth trace: {', '.join(rates)}")


def stage(found: Pairs, quick: Sequence[Plugin]) -> None:
    """The whole stage as `cot run` calls it, in shards of 2,000 traces of a lake."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        problems = {problem.id: dict(vars(problem), id=problem.id) for problem, _ in found}
        lake.append("problems", list(problems.values()))
        texts = ("thinking", "response", "raw", "finish_reason", "completion_tokens")
        lake.append("traces", [dict(vars(trace.request), id=trace.id, **{
            name: getattr(trace.completion, name) for name in texts}) for _, trace in found])
        ids = sorted(trace.id for _, trace in found)
        cpu, wall = spent(lambda: [measure.work(lake, ids[i:i + 2000], quick) for i in range(0, len(ids), 2000)])
    print(f"\nthe whole stage, out of a lake and into it: {size(found) / cpu:.1f} MB/s of CPU time, "
          f"{size(found) / wall:.1f} by the clock")


if __name__ == "__main__":
    sys.exit(main())
