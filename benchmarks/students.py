"""The demo's student: what SFT on verified traces brings, what DPO on its own pairs adds, and what the gate refuses.

    .venv/bin/python -m benchmarks.students [--lake DIR] [--seeds 3] [--problems 1000] [--threads 0]

Each seed is one round of the demo's recipe: other seeds of the trainers, other problems for the student's own traces,
other development problems, and as many other test problems, asked greedily. The teacher's traces are the same. The
student is asked twice as many problems as in the demo, which has ten minutes in all: what DPO brings is a matter of how
many problems its pairs are of. Beside it stands the setting that was seen to collapse (whole pairs, 1e-4, two epochs):
the gate has to refuse it by itself, from development problems alone. The table is of the test problems, which the gate
never sees. Exits 1 when SFT gains less than 25 points, DPO nothing significant over all seeds, the gate lets the bad
setting pass, or a training of SFT and DPO takes over 6 minutes. Killed, the same command with the same --lake goes on.
"""

import argparse
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from factory.lake import Lake
from factory.metrics import Paired, interval, paired
from factory.recipe import Recipe, validate
from factory.run import Run
from factory.stages import rounds as stage
from flows import rounds

SFT_GAIN, TRAINING_SECONDS, BAD = 0.25, 360.0, "dpo-bad"
ON_POLICY = 4000  # problems that the student is asked for its own traces

Scores = dict[str, np.ndarray]


def recipe(seed: int, problems: int, threads: int) -> Recipe:
    """The demo's, with the bad DPO beside the good one, as one round."""
    values: dict[str, Any] = tomllib.loads(Path("flows/recipes/demo.toml").read_text())
    levels = values["problems"][0]["levels"]

    def held_out(split: str, first: int, count: int, of: list[int]) -> dict[str, Any]:
        return {"plugin": "worlds", "split": split, "count": count, "seed": first + seed, "levels": of}

    for student in values["students"]:
        student["trainer"] |= {"seed": seed, "threads": threads}
    bad = {"learning_rate": 1e-4, "epochs": 2, "cut_after": 0, "nll": 0.0}
    values["students"].append({**values["students"][1], "name": BAD,
                               "trainer": {**values["students"][1]["trainer"], **bad}})
    values["name"] = f"students-{seed}"
    values["on_policy"]["problems"][0] |= {"seed": 3 + seed, "count": ON_POLICY}
    values["evaluate"]["problems"] = held_out("test", 20, problems, levels)
    easy = {"name": "easy", "problems": held_out("dev", 80, problems // 5, levels[:1])}
    values["rounds"] = {"count": 1, "dev": held_out("dev", 50, problems // 2, levels), "panel": [easy]}
    return validate(values, "the benchmark's recipe")


def one_seed(lake: Lake, seed: int, problems: int, threads: int) -> tuple[Scores, dict[str, Any]]:
    """Right or wrong on each test problem by student, and what the gate said about it."""
    run = Run(recipe(seed, problems, threads), lake)
    rounds.everything(run)
    loop = stage.Loop(run)
    rows = {row["student"]: row for row in loop.rows()}
    names = {name: name for name in rows}
    with lake.writing():
        found = stage.evaluate(loop, {name: Path(row["path"]) for name, row in rows.items()})
    told = {name: rows[name] | {"seconds": training(lake, rows[name])} for name in names}
    return {name: scores[stage.TEST].right for name, scores in found.items()}, told


def training(lake: Lake, row: dict[str, Any]) -> float:
    """Seconds of a student's training."""
    return float(lake.value("SELECT coalesce(sum(seconds), 0) FROM timings WHERE run_id = $1 AND stage = 'train' "
                            "AND part = $2", [row["made_by"], row["student"]]))


def points(change: Paired) -> str:
    return f"{100 * change.gain:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}], p {change.p:.1g}"


def share(values: np.ndarray) -> str:
    low, high = interval(values)
    return f"{values.mean():.1%} [{low:.1%}, {high:.1%}]"


def report(scores: list[Scores], told: list[dict[str, Any]]) -> bool:
    print("\n| seed | base | SFT | SFT over base, points | DPO | DPO over SFT, points | bad DPO over SFT, points | "
          "training of SFT, DPO, s |\n|---|---|---|---|---|---|---|---|")
    whole = {name: np.concatenate([one[name] for one in scores]) for name in scores[0]}
    for label, one, rows in [*((str(i), s, t) for i, (s, t) in enumerate(zip(scores, told, strict=True))),
                             ("all", whole, None)]:
        times = f"{rows['sft']['seconds']:.0f}, {rows['dpo']['seconds']:.0f}" if rows else ""
        print(f"| {label} | {share(one['student'])} | {share(one['sft'])} | "
              f"{points(paired(one['sft'], one['student']))} | {share(one['dpo'])} | "
              f"{points(paired(one['dpo'], one['sft']))} | {points(paired(one[BAD], one['sft']))} | {times} |")
    print(f"\n{len(whole['sft']):,} test problems in all, 95 % intervals, greedy. What the gate said, of development "
          "problems:\n")
    for i, rows in enumerate(told):
        for name in ("sft", "dpo", BAD):
            print(f"- seed {i}, {name}: {rows[name]['reason']}")
    return verdict(whole, told)


def verdict(whole: Scores, told: list[dict[str, Any]]) -> bool:
    dpo = paired(whole["dpo"], whole["sft"])
    met = {f"SFT gains {SFT_GAIN:.0%} or more": paired(whole["sft"], whole["student"]).gain >= SFT_GAIN,
           "DPO a significant further gain": dpo.significant and dpo.gain > 0,
           "the gate refuses the bad DPO": not any(rows[BAD]["promoted"] for rows in told),
           "training within 6 minutes": all(
               rows["sft"]["seconds"] + rows["dpo"]["seconds"] <= TRAINING_SECONDS for rows in told)}
    print()
    for claim, is_so in met.items():
        print(f"{claim}: {'met' if is_so else 'MISSED'}")
    return all(met.values())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lake", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=0, help="of a training (default: all cores)")
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(args.lake or folder)
        found = [one_seed(lake, seed, args.problems, args.threads) for seed in range(args.seeds)]
        return 0 if report([scores for scores, _ in found], [told for _, told in found]) else 1


if __name__ == "__main__":
    sys.exit(main())
