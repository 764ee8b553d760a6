"""Three rounds from a weak student, by the real thing: vLLM answers, TRL trains, the gate decides.

    .venv/bin/python -m benchmarks.rounds [--lake DIR] [--seeds 3] [--problems 3000] [--plot FILE.png]

Expert iteration from the weak `data/student`: in the first round the bundled teacher answers problems of the procedural
worlds, from the second on the best student so far does, new problems each round, at temperature 1; what is right trains
it, and the gate decides on development problems at 0.8. (Its own answers alone do not lift the weak student: one in
sixteen is right. Many problems with few answers each teach more than few with many.) Beside it a reward model is fitted
to each round's right and wrong traces. The table has the test problems, which the gate never sees, with paired
differences between one round and the next. Exits 1 when some round is no significant gain over the test problems of all
seeds together. Killed, the same command with the same --lake goes on.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.students import points, share
from factory.lake import Lake
from factory.metrics import paired
from factory.recipe import Recipe, validate
from factory.run import Run
from factory.stages import rounds as stage
from flows import rounds, rounds_report

COUNT, DEV = 3, 1000


def recipe(seed: int, problems: int, held_out: int, samples: int, threads: int) -> Recipe:
    """Expert iteration; `seed` chooses the problems and the trainer's order."""
    def worlds(split: str, first: int, count: int, levels: list[int]) -> dict[str, Any]:
        return {"plugin": "worlds", "split": split, "count": count, "seed": first + 10 * seed, "levels": levels}

    def teacher(temperature: float) -> dict[str, Any]:
        return {"plugin": "vllm_server", "concurrency": 128,
                "sampling": {"temperature": temperature, "max_tokens": 320}}

    trained = {"threads": threads, "seed": seed}
    levels = [1, 2, 3]
    return validate({
        "name": f"rounds-{seed}", "problems": [worlds("train", 1000, problems, levels)],
        "teacher": {**teacher(1.0), "model": "data/teacher"}, "generate": {"samples": samples},
        "rules": {"finished": "finish_reason = 'stop'"},
        "datasets": [
            {"name": "sft", "selector": {"plugin": "everything_correct", "per_problem": 2}, "emitter": "sft"},
            {"name": "ranked", "selector": {"plugin": "rankings", "k": 2}, "emitter": "reward_model"}],
        "students": [
            {"name": "sft", "base": "data/student", "dataset": "sft",
             "trainer": {"plugin": "sft", "epochs": 2, "learning_rate": 1e-3, **trained}},
            {"name": "reward", "base": "sft", "dataset": "ranked",
             "trainer": {"plugin": "reward_model", **trained}}],
        "evaluate": {"problems": worlds("test", 2000, held_out, levels), "teacher": teacher(0.8), "samples": 2},
        "rounds": {"count": COUNT, "dev": worlds("dev", 3000, DEV, levels), "vary": "seed",
                   "panel": [{"name": "easy", "problems": worlds("dev", 4000, DEV // 5, [1])}],
                   "diversity": 0.25},
    }, "the benchmark's recipe")


def one_seed(run: Run) -> list[dict[str, Any]]:
    """The row of the student of each round, the base first, each with `right` [test problems]."""
    rounds.everything(run)
    loop = stage.Loop(run)
    rows = [row for row in loop.rows() if row["score"] is not None]
    with run.lake.writing():
        found = stage.evaluate(loop, {str(i): Path(row["path"]) for i, row in enumerate(rows)})
    return [{**row, "right": found[str(i)][stage.TEST].right} for i, row in enumerate(rows)]


def report(seeds: list[list[dict[str, Any]]]) -> bool:
    print("\n| seed | round | development | test | against the round before, points | distinct right | diversity | "
          "reward model's AUROC | tokens written, trained on | s | gate |\n" + 11 * "|---" + "|")
    for i, rows in enumerate(seeds):
        for place, row in enumerate(rows):
            print(line(str(i), row, rows[place - 1] if place else None))
    met = True
    for number in range(1, COUNT + 1):
        pairs = [(rows[number]["right"], rows[number - 1]["right"]) for rows in seeds if len(rows) > number]
        if pairs:
            change = paired(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
            met &= change.significant and change.gain > 0
            print(f"\nround {number} over round {number - 1}, {len(pairs)} seeds, {sum(len(p[0]) for p in pairs):,} "
                  f"test problems: {points(change)}")
    held = all(len(rows) > COUNT for rows in seeds)
    print(f"\n{COUNT} rounds in each seed: {'met' if held else 'MISSED'}; each a significant gain: "
          f"{'met' if met else 'MISSED'}")
    return held and met


def line(seed: str, row: dict[str, Any], before: dict[str, Any] | None) -> str:
    made = json.loads(row["data"]) if row["data"] else {}
    change = paired(row["right"], before["right"]) if before else None
    told = points(change) if change else "–"
    auroc = ", ".join(f"{value:.3f}" for value in made.get("auroc", [])) or "–"
    alike = "–" if row["diversity"] is None else f"{row['diversity']:.0%}"
    cost = f"{row['tokens']:,}, {row['trained_tokens']:,}" if made else "–"
    return (f"| {seed} | {row['round']} | {row['score']:.1%} [{row['low']:.1%}, {row['high']:.1%}] | "
            f"{share(row['right'])} | {told} | {row['distinct']:.2f} | {alike} | {auroc} | "
            f"{cost} | {row['seconds'] or 0:.0f} | {'promoted' if row['promoted'] else row['reason']} |")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lake", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=3000, help="to learn from, each round")
    parser.add_argument("--held-out", type=int, default=500, help="test problems of each seed")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0, help="of a training (default: all cores)")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(args.lake or folder)
        runs = [Run(recipe(seed, args.problems, args.held_out, args.samples, args.threads), lake)
                for seed in range(args.seeds)]
        met = report([one_seed(run) for run in runs])
        if args.plot:
            print(rounds_report.picture(rounds_report.latest(lake, runs[0].recipe.name), args.plot))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
