"""A student rewarded by `math_equal` alone: the reward by step, and its accuracy on fresh problems."""

from typing import Any

import numpy as np

from benchmarks import tiny_world as world
from benchmarks.tiny_world import Answers

HOT = 1.5
"""A temperature at which the teacher gets a quarter of the easy ones wrong."""


def run(seeds: int, count: int) -> None:
    """The bundled teacher, asked so hotly that it gets a quarter wrong: the reward can teach it to be careful."""
    from factory.students.grpo import grpo

    rises, found = list[dict[str, Any]](), dict[str, list[Answers]]()
    for seed in range(seeds):
        rows = [{"prompt": [{"role": "user", "content": p.prompt}], "verifier": p.verifier, "reference": p.reference}
                for p in world.problems("train", 160, 900 + seed, world.EASY)]
        model, figures = world.trained(f"grpo/{seed}/student", grpo, world.TEACHER, rows, seed=seed, batch=4,
                                       max_tokens=128, temperature=HOT)
        rises.append(figures)
        asked = world.problems("test", count, 950 + seed, world.EASY)
        for name, one, heat, n in (("before, hot", world.TEACHER, HOT, 2), ("after, hot", model, HOT, 2),
                                   ("before, greedy", world.TEACHER, 0.0, 1), ("after, greedy", model, 0.0, 1)):
            found.setdefault(name, []).append(world.sampled(
                f"grpo/{seed}/{name.replace(', ', '_')}", one, asked, n, heat, 70 + seed))
    right = {name: np.concatenate([world.shares(answers) for answers in of]) for name, of in found.items()}
    print(f"\n### GRPO, {seeds} seeds × {count} fresh problems\n\n| sampled | pass@1 before | after | gain |\n"
          "|---|---|---|---|")
    for how in ("hot", "greedy"):
        before, after = right[f"before, {how}"], right[f"after, {how}"]
        print(f"| {how} | {world.percent(before)} | {world.percent(after)} | {world.change(after, before)} |")
    print()
    for seed, one in enumerate(rises):
        print(f"- seed {seed}: {one['steps']} steps in {one['seconds']:.0f} s, reward {one['first_reward']:+.2f} in "
              f"the first eighth, {one['last_reward']:+.2f} in the last")
