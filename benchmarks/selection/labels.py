"""The noise of labels by roll-outs (hard estimation) against exact ones, and its closed form (RECIPES 2.2)."""

import random

import numpy as np

from benchmarks import tiny_world as world
from factory.metrics import pass_at_k
from factory.records import Problem
from factory.stages.labels import replayed

ROLLOUTS, NS = 32, (4, 8, 16)


def prefixes(seed: int) -> list[tuple[Problem, str, bool]]:
    """(problem, trace up to a step's end, is the step right) for some wrong and as many right steps, judged exactly.

    A right one is taken where all before it is right too, and a wrong one is the first of its trace.
    """
    asked = world.problems("dev", 60, 500 + seed, world.HARD)
    answers = world.sampled(f"labels/{seed}/answers", world.TEACHER, asked, 2, 1.0, 40 + seed)
    found: dict[bool, list[tuple[Problem, str, bool]]] = {True: [], False: []}
    for p, samples in zip(asked, answers, strict=True):
        for s in samples:
            told = ""
            for step in replayed(s.raw, p.reference):
                told += step.text
                found[bool(step.value)].append((p, told, bool(step.value)))
                if not step.value:
                    break
    rng = random.Random(seed)
    return [one for group in found.values() for one in rng.sample(group, min(30, len(group)))]


def run(seeds: int) -> None:
    rights: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for seed in range(seeds):
        begun = prefixes(seed)
        got = world.rollouts(f"labels/{seed}/rollouts", world.TEACHER, [one[:2] for one in begun], ROLLOUTS, seed)
        for (_, _, right), one in zip(begun, got, strict=True):
            rights[right].append(np.array(one))
    wrong, right = np.array(rights[False]), np.array(rights[True])
    half = ROLLOUTS // 2
    print(f"\n### Labels by N roll-outs against exact ones, {len(wrong)} wrong and {len(right)} right steps\n\n"
          f"A wrong prefix still reaches the answer with c = {wrong.mean():.2f} on average, a right one with s = "
          f"{right.mean():.2f}. Closed form from {half} roll-outs a step, measured on {half} others.\n\n"
          "| N | wrong step called right | 1 - (1 - c)^N, over the steps | with the mean c | right step called wrong | "
          "(1 - s)^N, over the steps | SE: share over 1/2, wrong | right |\n|---|---|---|---|---|---|---|---|")
    for n in NS:
        cells = [float(wrong[:, half:half + n].any(1).mean()), _closed(wrong[:, :half], n),
                 1 - (1 - float(wrong[:, :half].mean())) ** n, 1 - float(right[:, half:half + n].any(1).mean()),
                 1 - _closed(right[:, :half], n), float((wrong[:, half:half + n].mean(1) > 0.5).mean()),
                 float((right[:, half:half + n].mean(1) > 0.5).mean())]
        print(f"| {n} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")


def _closed(outcomes: np.ndarray, n: int) -> float:
    """The mean over steps of 1 - (1 - c)^n, by its unbiased estimate from the roll-outs [steps, roll-outs]."""
    return float(np.mean(pass_at_k(outcomes.shape[1], outcomes.sum(1).astype(int), n)))
