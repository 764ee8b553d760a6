"""First correct solution + reflection over the longest one of an over-long model: DPO and SimPO (RECIPES T-13)."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tiny_world as world
from benchmarks.tiny_world import Answers
from factory.emitters.dpo import dpo as dpo_row
from factory.selection.first_solution import first_solution
from factory.sources.worlds import FAMILIES, tasks
from factory.thoughts import split

RECHECKS, LONG_TOKENS = 6, 768
LONG_ROWS, PAIR_PROBLEMS = 3000, 800
"""A third of the rows leaves a base that solves a quarter of the problems: broken, and nothing to shorten."""


def over_long() -> Path:
    """The bundled teacher after SFT on traces that solve the problem up to six times again before they answer."""
    from factory.students.pretrain import worked
    from factory.students.sft import sft

    rng, rows = random.Random("over-long"), list[dict[str, Any]]()
    for _, _, task in tasks("train", 600, tuple(FAMILIES), world.LEVELS):
        if len(rows) == LONG_ROWS:
            break
        again = [split(worked(task, rng, 0.05, 0.3))[0].strip() for _ in range(1 + rng.randint(0, RECHECKS))]
        told = f"\nThe answer is {task.answer}.\nWait, redo:\n".join(again)
        text = f"<think>\n{told}\nThe answer is {task.answer}.\n</think>\nThe answer is \\boxed{{{task.answer}}}."
        rows.append({"messages": [{"role": "user", "content": task.prompt}, {"role": "assistant", "content": text}]})
    return world.trained("length/base", sft, world.TEACHER, rows, epochs=2, learning_rate=1e-3, seed=0)[0]


def pairs(seed: int, base: Path) -> list[dict[str, Any]]:
    """Rows of DPO: cut after the second correct solution, and verified again, over the problem's longest right one."""
    asked = world.problems("train", PAIR_PROBLEMS, 700 + seed, world.LEVELS)
    answers = world.sampled(f"length/{seed}/answers", base, asked, 6, 0.8, 50 + seed, LONG_TOKENS)
    picked = ((p, pick) for p, group in zip(asked, world.candidates(asked, answers), strict=True)
              for pick in first_solution(group, per_problem=2, reflection=True, over_longest=True))
    return [dpo_row(replace(pick, chosen=replace(pick.chosen, status="correct"))) for p, pick in picked
            if world.verdict(pick.chosen.response, p.reference).status == "correct"]


SHORTENED: dict[str, dict[str, Any]] = {"DPO": {"nll": 1.0}, "SimPO": {"loss": "simpo", "nll": 1.0}}
"""Whole answers are compared: with the likelihood term at 0.2 both became worse, and DPO's answers longer."""


def run(seeds: int, count: int) -> None:
    from factory.students.dpo import dpo

    base, found = over_long(), dict[str, list[Answers]]()
    asked = [world.problems("test", count, 800 + seed, world.LEVELS) for seed in range(seeds)]
    for seed in range(seeds):
        rows = pairs(seed, base)
        models = {"over-long base": base, **{name: world.trained(
            f"length/{seed}/{name.lower()}", dpo, base, rows, cut_after=None, seed=seed, **params)[0]
            for name, params in SHORTENED.items()}}
        for name, model in models.items():
            found.setdefault(name, []).append(world.sampled(
                f"length/{seed}/{name.replace(' ', '_')}/test", model, asked[seed], 2, 0.8, 60 + seed, LONG_TOKENS))
    joined = {name: [samples for answers in of for samples in answers] for name, of in found.items()}
    hard = np.array(['"level": 4' in p.meta for of in asked for p in of])
    whole = joined["over-long base"]
    print(f"\n### Over-long thinking shortened, {seeds} seeds × {count} fresh problems × 2 samples at T 0.8\n\n"
          "| model | tokens | fewer | pass@1 | against base | hard slice (level 4) | against base |\n"
          "|---|---|---|---|---|---|---|")
    for name, answers in joined.items():
        right, base_right = world.shares(answers), world.shares(whole)
        used = world.tokens(answers).mean()
        print(f"| {name} | {used:.0f} | {1 - used / world.tokens(whole).mean():.0%} | {world.percent(right)} | "
              f"{world.change(right, base_right)} | {world.percent(right[hard])} | "
              f"{world.change(right[hard], base_right[hard])} |")
