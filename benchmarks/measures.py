"""How fast the measures read real traces: MB of text a second of CPU, each and all together, on one core.

    .venv/bin/python -m benchmarks.measures [DIR] [--tokenizer FOLDER]

DIR holds traces/*.jsonl.gz. Every measure is asked about one trace before the next trace is, as the stage should do:
what several of them need is worked out once and counted to the first. The slow ones are told apart and do not count:
`overthinking` compares answers by mathematics, `token_length` runs a tokenizer. Exits 1 under 20 MB/s for all others.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.defects import DATA, Row, read
from benchmarks.machine import machine
from factory import plugins

TARGET = 20.0  # MB/s
TOKENIZER = Path(__file__).parents[1] / "data" / "teacher"
SLOW = {"overthinking", "token_length"}
WITHOUT = {"log_probability"}  # these traces have none, and it reads no text

Measure = Callable[..., float]


def measures(tokenizer: Path) -> dict[str, Measure]:
    found: dict[str, Measure] = {name: plugins.function("measure", name) for name in plugins.names("measure")
                                 if name not in WITHOUT}
    return {**found, "token_length": partial(found["token_length"], tokenizer=str(tokenizer))}


def seconds(rows: list[Row], chosen: dict[str, Measure]) -> dict[str, float]:
    """CPU seconds of each measure over all rows, the clock's own cost included."""
    spent = dict.fromkeys(chosen, 0)
    for row in rows:
        for name, measure in chosen.items():
            started = time.thread_time_ns()
            measure(row.problem, row.trace)
            spent[name] += time.thread_time_ns() - started
    return {name: taken / 1e9 for name, taken in spent.items()}


def together(rows: list[Row], chosen: dict[str, Measure]) -> float:
    """CPU seconds of all measures over all rows; the best of three passes, since the machine is shared."""
    functions, passes = list(chosen.values()), []
    for _ in range(3):
        started = time.thread_time()
        for row in rows:
            for measure in functions:
                measure(row.problem, row.trace)
        passes.append(time.thread_time() - started)
    return min(passes)


def table(megabytes: float, spent: dict[str, float]) -> None:
    print("\n| measure | MB/s | share of the time |\n|---|---|---|")
    for name, taken in sorted(spent.items(), key=lambda pair: -pair[1]):
        print(f"| {name} | {megabytes / taken:,.1f} | {taken / sum(spent.values()):.1%} |")


def main() -> int:
    parser = argparse.ArgumentParser(description="MB of traces a second through the measures.")
    parser.add_argument("folder", type=Path, nargs="?", default=DATA)
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER, help="a folder with tokenizer.json")
    chosen = parser.parse_args()
    rows = list(read(chosen.folder))
    if not rows:
        parser.error(f"{chosen.folder} has no traces/*.jsonl.gz: name a folder with traces")
    print(machine())
    found = measures(chosen.tokenizer)
    megabytes = size(rows)
    quick = {name: f for name, f in found.items() if name not in SLOW}
    table(megabytes, seconds(rows, quick))
    told_apart(rows, {name: f for name, f in found.items() if name in SLOW})
    rate = megabytes / together(rows, quick)
    print(f"\n{len(rows):,} traces, {megabytes:.1f} MB, {len(quick)} measures: {rate:.1f} MB/s per core, "
          f"target {TARGET:.0f}: {'met' if rate >= TARGET else 'MISSED'}")
    return 0 if rate >= TARGET else 1


def size(rows: list[Row]) -> float:
    return sum(len(row.trace.completion.raw.encode("utf-8", "surrogatepass")) for row in rows) / 1e6


def told_apart(rows: list[Row], slow: dict[str, Measure]) -> None:
    """The slow ones on every tenth trace."""
    some = rows[::10]
    rates = [f"{name} {size(some) / taken:.1f} MB/s" for name, taken in seconds(some, slow).items()]
    print(f"\ntold apart, on every tenth trace: {', '.join(rates)}")


if __name__ == "__main__":
    sys.exit(main())
