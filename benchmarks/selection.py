"""Choosing: among k answers by votes and reward models; among traces for training; shorter ones over longer ones.

    python -m benchmarks.selection [data] [votes] [labels] [length] [grpo] [--seeds 3] [--problems 334]

Five parts on the tiny worlds, each with its tables (prose in RESULTS.md); all of it takes about two hours of one core,
and what is made is kept in build/selection, so an interrupted run goes on.

data    a student of verified, of unfiltered and of wrong traces, at equal tokens (RECIPES D6)
votes   consensus@k, weighted vote, best-of-k by a reward model and by a process reward model with each aggregate, and
        oracle@k, k = 1 … 64, from the same samples and so at equal tokens (T-14)
labels  the noise of labels by roll-outs (hard estimation) against exact ones, and its closed form (RECIPES 2.2)
length  pairs of first correct solution + reflection over the longest, of an over-long model: DPO and SimPO (T-13)
grpo    a student rewarded by `math_equal` alone: the reward by step, and its accuracy on fresh problems
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tiny_world as world
from benchmarks.machine import machine
from benchmarks.tiny_world import Answers
from factory.emitters.dpo import dpo as dpo_row
from factory.emitters.process_reward import step_columns
from factory.emitters.reward_model import reward_model as ranking_row
from factory.metrics import best_of_k, pass_at_k, vote
from factory.recipe import MeasureSpec
from factory.records import Completion, Problem, Request, Trace
from factory.selection.first_solution import first_solution
from factory.selection.rankings import rankings
from factory.sources.worlds import FAMILIES, tasks
from factory.stages.labels import replayed
from factory.stages.measure import measured
from factory.steps import AGGREGATES
from factory.thoughts import split

TEACHER, STUDENT = Path("data/teacher"), Path("data/student")
LEVELS, EASY, HARD = (1, 2, 3, 4), (1, 2), (4, 5)
"""Levels of the worlds: those of the demo, and two ends of them. The teacher, taught on 1 to 3, gets nine in ten of the
easy ones right and half of the hard."""
KS = (1, 2, 4, 8, 16, 32, 64)


# -- data: what filtering is worth -----------------------------------------------------------------------------------

ASKED, EPOCH, STEPS_TOKENS = 3000, 200_000, 600_000
"""Problems the teacher is asked; tokens of each dataset, where there are so many; tokens that each student is trained
on. With a quarter of them the students hardly leave the base's 8 %, and nothing can be told apart."""

ARMS: dict[str, Callable[[str], bool]] = {
    "verified": lambda status: status == "correct", "unfiltered": lambda status: True,
    "wrong as right": lambda status: status == "wrong"}


def teacher_samples(seed: int) -> tuple[list[Problem], Answers]:
    """As in the demo; a seventh is wrong."""
    asked = world.problems("train", ASKED, 100 + seed, LEVELS)
    return asked, world.sampled(f"data/{seed}/teacher", TEACHER, asked, 4, 0.8, seed)


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
    return world.trained(f"data/{seed}/{arm.replace(' ', '_')}", sft, STUDENT, rows, epochs=STEPS_TOKENS / total,
                         seed=seed)[0]


def data(seeds: int, count: int) -> None:
    print(f"\n### Verified, unfiltered and wrong traces, {seeds} seeds × {count} fresh problems\n")
    greedy, sampled = ({arm: [] for arm in ARMS} for _ in range(2))
    for seed in range(seeds):
        asked = world.problems("test", count, 200 + seed, LEVELS)
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


# -- votes: which of k answers ---------------------------------------------------------------------------------------


def judges(seed: int, generator: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """A reward model and a process reward model, trained on samples of the generator for problems of its own."""
    from factory.students.process_reward_model import process_reward_model
    from factory.students.reward_model import reward_model

    asked = world.problems("train", 192, 300 + seed, HARD)
    answers = world.sampled(f"votes/{seed}/judged", generator, asked, 8, 1.0, 20 + seed)
    ranked = [ranking_row(pick) for group in world.candidates(asked, answers) for pick in rankings(group, k=8)]
    stepped = [{"prompt": p.prompt, "correct": s.status == "correct", "problem_id": p.id, **step_columns(steps)}
               for p, samples in zip(asked, answers, strict=True) for s in samples
               if (steps := replayed(s.raw, p.reference))]
    return {"reward": world.trained(f"votes/{seed}/rm", reward_model, generator, ranked, epochs=4,
                                    batch=2, seed=seed),
            "process": world.trained(f"votes/{seed}/prm", process_reward_model, generator, stepped, epochs=2,
                                     seed=seed)}


def scores(seed: int, asked: Sequence[Problem], answers: Answers, models: dict[str, Path]) -> dict[str, np.ndarray]:
    """Judge -> [problems, samples], by the factory's own measures; NaN where there is nothing to score."""
    specs = {"RM": {"plugin": "reward", "model": str(models["reward"])}, **{f"PRM, {name}": {
        "plugin": "process_reward", "model": str(models["process"]), "aggregate": name} for name in AGGREGATES}}
    measures = [MeasureSpec.model_validate(spec) for spec in specs.values()]

    def part(start: int, end: int) -> Any:
        pairs = [(p, Trace(Request(p.id, "teacher", "sample", i), Completion(*split(s.raw), s.raw, "stop")))
                 for p, samples in list(zip(asked, answers, strict=True))[start:end] for i, s in enumerate(samples)]
        found = measured(pairs, measures).values()
        return [[values[trace.id] for _, trace in pairs] for values in found]

    parts = [np.array(world.kept(f"votes/{seed}/scores/{start}-{end}", lambda: part(start, end)), dtype=float)  # noqa: B023
             for start in range(0, len(asked), 16) for end in [min(start + 16, len(asked))]]
    joined = np.concatenate(parts, axis=1).reshape(len(specs), len(asked), -1)
    return dict(zip(specs, joined, strict=True))


def choices(samples: Sequence[world.Sample], judged: dict[str, np.ndarray]
            ) -> Iterator[tuple[str, Callable[[int], float]]]:
    """Ways to one answer out of k, each with its expected credit over all draws of k of the samples."""
    right, answers = [s.right for s in samples], [s.answer for s in samples]
    weights = {"RM": 1 / (1 + np.exp(-judged["RM"])), "PRM, min": np.nan_to_num(judged["PRM, min"])}
    yield "pass@1 (any one)", lambda k: float(np.mean(right))
    yield "consensus@k", lambda k: vote(answers, right, k)
    for name, heavy in weights.items():
        yield f"vote weighted by {name}", lambda k, w=heavy: vote(answers, right, k, w)  # type: ignore[misc]
    for name, values in judged.items():
        yield f"best-of-k by {name}", lambda k, v=values: best_of_k(v, right, k)  # type: ignore[misc]
    yield "oracle@k", lambda k: float(pass_at_k(len(right), int(sum(right)), k))


def votes(seeds: int, count: int) -> None:
    found: dict[str, dict[int, list[float]]] = {}
    used, figures = list[float](), list[dict[str, Any]]()
    for seed in range(seeds):
        models = judges(seed, TEACHER)
        figures.append({kind: made for kind, (_, made) in models.items()})
        asked = world.problems("test", count, 400 + seed, HARD)
        answers = world.sampled(f"votes/{seed}/answers", TEACHER, asked, max(KS), 1.0, 30 + seed)
        used.append(float(world.tokens(answers).mean()))
        judged = scores(seed, asked, answers, {kind: folder for kind, (folder, _) in models.items()})
        for place, samples in enumerate(answers):
            for name, way in choices(samples, {judge: values[place] for judge, values in judged.items()}):
                for k in KS:
                    found.setdefault(name, {k: [] for k in KS})[k].append(way(k))
    print(f"\n### One answer out of k, {seeds} seeds × {count} fresh problems, {np.mean(used):.0f} tokens a sample\n\n"
          f"| | {' | '.join(f'k = {k}' for k in KS)} |\n|---|{'---|' * len(KS)}")
    for name, by_k in found.items():
        print(f"| {name} | " + " | ".join(f"{np.mean(values):.1%}" for values in by_k.values()) + " |")
    print("\n| at k = 64 | | against consensus@64 | against best-of-64 by RM |\n|---|---|---|---|")
    last = {name: np.array(by_k[max(KS)]) for name, by_k in found.items()}
    for name, values in last.items():
        print(f"| {name} | {world.percent(values)} | {world.change(values, last['consensus@k'])} | "
              f"{world.change(values, last['best-of-k by RM'])} |")
    print("\n| held-out figures of the judges | " + " | ".join(f"seed {i}" for i in range(seeds)) + " |\n|---|" +
          "---|" * seeds)
    for kind, key in (("reward", "held_out_accuracy"), ("reward", "held_out_auroc"), ("process", "step_auroc"),
                      *(("process", f"auroc_{name}") for name in AGGREGATES), ("process", "first_error_f1")):
        print(f"| {kind}: {key} | " + " | ".join(str(one[kind][key]) for one in figures) + " |")


# -- labels: the noise of hard estimation ----------------------------------------------------------------------------

ROLLOUTS, NS = 32, (4, 8, 16)


def prefixes(seed: int) -> list[tuple[Problem, str, bool]]:
    """(problem, trace up to a step's end, is the step right) for some wrong and as many right steps, judged exactly.

    A right one is taken where all before it is right too, and a wrong one is the first of its trace.
    """
    asked = world.problems("dev", 60, 500 + seed, HARD)
    answers = world.sampled(f"labels/{seed}/answers", TEACHER, asked, 2, 1.0, 40 + seed)
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


def labels(seeds: int) -> None:
    rights: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for seed in range(seeds):
        begun = prefixes(seed)
        got = world.kept(f"labels/{seed}/rollouts", lambda: _rollouts(TEACHER, begun, seed))  # noqa: B023
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


def _rollouts(model: Path, begun: Sequence[tuple[Problem, str, bool]], seed: int) -> list[list[bool]]:
    each = [one for one in begun for _ in range(ROLLOUTS)]
    rows = world.opened(model).ask([p.prompt for p, _, _ in each], 1.0, world.MAX_TOKENS, seed,
                                   [told for _, told, _ in each])
    right = [world.verdict(split(told + raw)[1], p.reference).status == "correct"
             for (p, told, _), (raw, _, _) in zip(each, rows, strict=True)]
    return [right[i:i + ROLLOUTS] for i in range(0, len(right), ROLLOUTS)]


# -- length: shorter ones over longer ones ---------------------------------------------------------------------------

RECHECKS, LONG_TOKENS = 6, 768
LONG_ROWS, PAIR_PROBLEMS = 3000, 800
"""A third of the rows leaves a base that solves a quarter of the problems: broken, and nothing to shorten."""


def over_long() -> Path:
    """The bundled teacher after SFT on traces that solve the problem up to six times again before they answer."""
    from factory.students.pretrain import worked
    from factory.students.sft import sft

    rng, rows = random.Random("over-long"), list[dict[str, Any]]()
    for _, _, task in tasks("train", 600, tuple(FAMILIES), LEVELS):
        if len(rows) == LONG_ROWS:
            break
        again = [split(worked(task, rng, 0.05, 0.3))[0].strip() for _ in range(1 + rng.randint(0, RECHECKS))]
        told = f"\nThe answer is {task.answer}.\nWait, redo:\n".join(again)
        text = f"<think>\n{told}\nThe answer is {task.answer}.\n</think>\nThe answer is \\boxed{{{task.answer}}}."
        rows.append({"messages": [{"role": "user", "content": task.prompt}, {"role": "assistant", "content": text}]})
    return world.trained("length/base", sft, TEACHER, rows, epochs=2, learning_rate=1e-3, seed=0)[0]


def pairs(seed: int, base: Path) -> list[dict[str, Any]]:
    """Rows of DPO: cut after the second correct solution, and verified again, over the problem's longest right one."""
    asked = world.problems("train", PAIR_PROBLEMS, 700 + seed, LEVELS)
    answers = world.sampled(f"length/{seed}/answers", base, asked, 6, 0.8, 50 + seed, LONG_TOKENS)
    picked = ((p, pick) for p, group in zip(asked, world.candidates(asked, answers), strict=True)
              for pick in first_solution(group, per_problem=2, reflection=True, over_longest=True))
    return [dpo_row(replace(pick, chosen=replace(pick.chosen, status="correct"))) for p, pick in picked
            if world.verdict(pick.chosen.response, p.reference).status == "correct"]


SHORTENED: dict[str, dict[str, Any]] = {"DPO": {"nll": 1.0}, "SimPO": {"loss": "simpo", "nll": 1.0}}
"""Whole answers are compared: with the likelihood term at 0.2 both became worse, and DPO's answers longer."""


def length(seeds: int, count: int) -> None:
    from factory.students.dpo import dpo

    base, found = over_long(), dict[str, list[Answers]]()
    asked = [world.problems("test", count, 800 + seed, LEVELS) for seed in range(seeds)]
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


# -- grpo: the verifier as the reward --------------------------------------------------------------------------------

HOT = 1.5
"""A temperature at which the teacher gets a quarter of the easy ones wrong."""


def reinforced(seeds: int, count: int) -> None:
    """The bundled teacher, asked so hotly that it gets a quarter wrong: the reward can teach it to be careful."""
    from factory.students.grpo import grpo

    rises, found = list[dict[str, Any]](), dict[str, list[Answers]]()
    for seed in range(seeds):
        rows = [{"prompt": [{"role": "user", "content": p.prompt}], "verifier": p.verifier, "reference": p.reference}
                for p in world.problems("train", 160, 900 + seed, EASY)]
        model, figures = world.trained(f"grpo/{seed}/student", grpo, TEACHER, rows, seed=seed, batch=4, max_tokens=128,
                                       temperature=HOT)
        rises.append(figures)
        asked = world.problems("test", count, 950 + seed, EASY)
        for name, one, heat, n in (("before, hot", TEACHER, HOT, 2), ("after, hot", model, HOT, 2),
                                   ("before, greedy", TEACHER, 0.0, 1), ("after, greedy", model, 0.0, 1)):
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


def main(arguments: Sequence[str]) -> int:
    parts: dict[str, Callable[[argparse.Namespace], None]] = {
        "data": lambda a: data(a.seeds, a.problems), "votes": lambda a: votes(a.seeds, a.problems),
        "labels": lambda a: labels(a.seeds), "length": lambda a: length(a.seeds, a.problems),
        "grpo": lambda a: reinforced(a.seeds, a.problems)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=[*parts, []], help="which parts; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=334, help="fresh problems of each seed")
    chosen = parser.parse_args(arguments)
    print(machine())
    for name in chosen.part or parts:
        parts[name](chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
