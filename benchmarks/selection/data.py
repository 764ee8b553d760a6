"""A student of verified, of unfiltered and of wrong traces, at equal tokens (RECIPES D6)."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tiny_world as world
from benchmarks.tiny_world import Answers
from factory.records import Problem

ASKED, EPOCH, STEPS_TOKENS = 3000, 200_000, 600_000
"""Problems the teacher is asked; tokens of each dataset, where there are so many; tokens that each student is trained
on. With a quarter of them the students hardly leave the base's 8 %, and nothing can be told apart."""

ARMS: dict[str, Callable[[str], bool]] = {
    "verified": lambda status: status == "correct", "unfiltered": lambda status: True,
    "wrong as right": lambda status: status == "wrong"}


def teacher_samples(seed: int) -> tuple[list[Problem], Answers]:
    """As in the demo; a seventh is wrong."""
    asked = world.problems("train", ASKED, 100 + seed, world.LEVELS)
    return asked, world.sampled(f"data/{seed}/teacher", world.TEACHER, asked, 4, 0.8, seed)


def student_of(arm: str, seed: int) -> Path:
    """The bundled student after SFT on an arm's traces: different ones up to EPOCH tokens, trained on STEPS_TOKENS."""
    from factory.students.sft import sft

    asked, answers = teacher_samples(seed)
    pool = [(p, s) for p, samples in zip(asked, answers, strict=True) for s in samples if ARMS[arm](s.status)]
    random.Random(f"{arm}/{seed}").shuffle(pool)
    total, rows = 0, list[dict[str, Any]]()
    for p, s in pool:
        if total >= EPOCH:
            break
        total += s.tokens
        rows.append({"messages": [{"role": "user", "content": p.prompt}, {"role": "assistant", "content": s.raw}]})
    return world.trained(f"data/{seed}/{arm.replace(' ', '_')}", sft, world.STUDENT, rows, epochs=STEPS_TOKENS / total,
                         seed=seed)[0]


def run(seeds: int, count: int) -> None:
    print(f"\n### Verified, unfiltered and wrong traces, {seeds} seeds × {count} fresh problems\n")
    greedy, sampled = ({arm: [] for arm in ARMS} for _ in range(2))
    for seed in range(seeds):
        asked = world.problems("test", count, 200 + seed, world.LEVELS)
        for arm in ARMS:
            model = student_of(arm, seed)
            for found, heat, samples in ((greedy, 0.0, 1), (sampled, 0.8, 4)):
                found[arm].append(world.shares(world.sampled(
                    f"data/{seed}/{arm.replace(' ', '_')}/{heat}", model, asked, samples, heat, seed)))
    print("| trained on | greedy pass@1 | against unfiltered | pass@1 at T 0.8 | against unfiltered |\n"
          "|---|---|---|---|---|")
    for arm in ARMS:
        cells = [(np.concatenate(found[arm]), np.concatenate(found["unfiltered"])) for found in (greedy, sampled)]
        print(f"| {arm} | " + " | ".join(f"{world.percent(mine)} | {world.change(mine, theirs)}"
                                        for mine, theirs in cells) + " |")
