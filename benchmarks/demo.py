"""`make demo` under the stopwatch: time in and outside the engine, and what it bought.

    .venv/bin/python -m benchmarks.demo [--set key=value ...]

Runs the demo recipe through Prefect in a fresh lake, prints a table of where the time went and the accuracies, and
exits 1 when the run takes more than 10 minutes, the student gains less than 15 points, or a second run is not idle.
"""

import subprocess
import sys
import tempfile
import time

from benchmarks.machine import machine
from factory.lake import Lake
from flows import accuracy, report

LIMIT_SECONDS, GAIN = 600.0, 0.15


def timed(lake: str, settings: list[str]) -> float:
    """Seconds of one `cot run` as a user types it."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "flows.cli", "run", "flows/recipes/demo.toml", "--lake", lake, *settings]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def table(lake: Lake, run_ids: list[str], first: float, second: float) -> None:
    """Where the time went; what no stage accounts for is Python's imports, Prefect and the report."""
    rows = [row for run_id in run_ids for row in report.timings(lake, run_id)]
    for row in rows:
        rate = f"{row['tokens'] / row['seconds']:,.0f} tok/s" if row["tokens"] else ""
        print(f"| {row['stage']}, {row['part']} | {row['seconds']:.1f} | {row['seconds'] / first:.0%} | {rate} |")
    rest = first - covered(lake, run_ids)
    print(f"| outside the stages (imports, Prefect, report) | {rest:.1f} | {rest / first:.0%} | |")
    engine = sum(row["seconds"] for row in rows if row["part"] == "ask")
    print(f"| **in the engine (asking)** | {engine:.1f} | {engine / first:.0%} | |")
    print(f"| **the whole run** | {first:.1f} | 100% | |\n| **a second run** | {second:.1f} | | |")


def covered(lake: Lake, run_ids: list[str]) -> float:
    """Seconds in which some stage was at work: the servers of an evaluation start side by side."""
    spans = lake.sql("SELECT epoch(created::TIMESTAMP) - seconds, epoch(created::TIMESTAMP) FROM timings "
                     "WHERE run_id IN (SELECT unnest($1)) ORDER BY 1", [run_ids]).fetchall()
    total = until = 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return float(total)


def main() -> int:
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        first, second = timed(folder, sys.argv[1:]), timed(folder, sys.argv[1:])
        lake = Lake(folder)
        run, own = (report.latest_run(lake, name) for name in ("demo", "demo-sft"))
        print("\n| what | seconds | share | |\n|---|---|---|---|")
        table(lake, [run["id"], own["id"]], first, second)
        scores = accuracy.evaluations(lake, run["id"])
        print("\n" + report.text(lake, run).split("\ntime\n")[0])
    gain = scores[-1]["gain"]
    met = first <= LIMIT_SECONDS and gain >= GAIN and second <= 60
    print(f"\n{first:.0f} s, the student gained {100 * gain:.1f} points, a second run took {second:.0f} s: "
          f"{'met' if met else 'MISSED'} (<= {LIMIT_SECONDS:.0f} s, >= {100 * GAIN:.0f} points, idle)")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
