"""`kill -9` in the middle of generation, verification, emission and training of the demo, each resumed.

    .venv/bin/python -m benchmarks.kill [--generation]

First, a run against a server that misbehaves is killed at 40 random moments (`benchmarks.kill_generation`; with
--generation only that; about ten minutes). Then a small demo (real vLLM, real trainer) runs once undisturbed, and the
same recipe runs in another lake and is killed once at each point. Exits 1 unless no trace is bought twice, none is
lost, and both lakes end with the same datasets.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import datasets

from benchmarks.kill_generation import generation
from benchmarks.machine import machine
from factory.lake import Lake

SETTINGS = ["problems.0.count=300", "generate.samples=2", "evaluate.problems.count=40", "tasks.shard=20",
            "on_policy.problems.0.count=150",
            "students.0.trainer.save_steps=5", "students.1.trainer.save_steps=5", "teacher.concurrency=32",
            "verify.beside=false"]  # so that there is a stage of verification to be killed in
COMMAND = [sys.executable, "-m", "flows.cli", "run", "flows/recipes/demo.toml",
           *(part for setting in SETTINGS for part in ("--set", setting))]


def parts(lake: Path, table: str) -> int:
    return len(list(lake.glob(f"tables/{table}/part-*.parquet"))) - 1


def bought(lake: Path) -> int:
    """Traces that are durable, in the journal or in parts."""
    return int(Lake(lake).value("SELECT count(*) FROM traces")) if (lake / "lake.json").exists() else 0


POINTS: list[tuple[str, Callable[[Path], bool]]] = [
    ("generation", lambda lake: bought(lake) >= 150),
    ("verification", lambda lake: parts(lake, "verdicts") >= 3),
    ("emission", lambda lake: parts(lake, "selections") >= 1),
    ("training", lambda lake: any(lake.glob("students/demo/sft-*/checkpoints/checkpoint-*"))),
]


def kill_at(lake: Path, reached: Callable[[Path], bool]) -> tuple[int, int]:
    """Run until the point, `kill -9`; returns (traces there, processes of ours that outlived it by 15 s)."""
    child = subprocess.Popen([*COMMAND, "--lake", str(lake)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not reached(lake):
        if child.poll() is not None:
            raise SystemExit(f"the run ended (exit {child.returncode}) before the point of the kill")
        time.sleep(0.02)
    family = descendants(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and any(map(alive, family)):
        time.sleep(0.2)
    return bought(lake), sum(map(alive, family))


def descendants(pid: int) -> list[int]:
    found = [int(p) for f in Path(f"/proc/{pid}/task").glob("*/children") for p in f.read_text().split()]
    return found + [g for p in found for g in descendants(p)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def contents(lake: Path) -> dict[str, object]:
    """What must be the same with and without kills: the traces, and each dataset's rows."""
    opened = Lake(lake)
    found: dict[str, object] = {table: sorted(opened.ids(table)) for table in ("traces", "datasets")}
    for run, name in (("demo", "sft"), ("demo-sft", "dpo")):
        rows = datasets.load_from_disk(str(lake / "datasets" / run / name))["train"]
        sides = ["trace_id", "rejected_id"] if name == "dpo" else ["trace_id"]
        found[name] = sorted(tuple(row[side] for side in sides) for row in rows.select_columns(sides))
    return found


def main() -> int:
    if sys.argv[1:] not in ([], ["--generation"]):
        sys.exit(__doc__)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        met = generation(Path(folder))
    return 1 - met if sys.argv[1:] else max(1 - met, stages())


def stages() -> int:
    """The demo, killed once in each stage."""
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        subprocess.run([*COMMAND, "--lake", str(whole)], check=True, stdout=subprocess.DEVNULL)
        print("\n| killed in | traces then | processes left behind |\n|---|---|---|")
        left = 0
        for name, reached in POINTS:
            count, orphans = kill_at(broken, reached)
            left += orphans
            print(f"| {name} | {count} | {orphans} |", flush=True)
        subprocess.run([*COMMAND, "--lake", str(broken)], check=True, stdout=subprocess.DEVNULL)
        return judge(contents(whole), contents(broken), Lake(broken), left)


def judge(whole: dict[str, object], broken: dict[str, object], lake: Lake, left: int) -> int:
    twice = lake.value("SELECT count(*) - count(DISTINCT id) FROM traces")
    students = lake.value("SELECT count(*) FROM students")
    same = {name: whole[name] == broken[name] for name in whole}
    met = not twice and all(same.values()) and students == 2 and not left
    print(f"\n{len(broken['traces'])} traces, {twice} bought twice, {students} students; the same as undisturbed: "  # type: ignore[arg-type]
          f"{', '.join(f'{k} {v}' for k, v in same.items())}: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
