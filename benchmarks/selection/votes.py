"""One answer out of k, k = 1 … 64, from the same samples and so at equal tokens (RECIPES T-14).

consensus@k, weighted vote, best-of-k by a reward model and by process reward models with each aggregate, and oracle@k.
The process reward models have labels of two kinds: exact ones (`replay`, step by step) and the share of roll-outs from
a step that reach the answer.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tiny_world as world
from benchmarks.tiny_world import Answers
from factory.emitters.process_reward import step_columns
from factory.emitters.reward_model import reward_model as ranking_row
from factory.measures.process_reward import _text as judged_text
from factory.metrics import best_of_k, pass_at_k, vote
from factory.recipe import MeasureSpec
from factory.records import Completion, Problem, Request, Step, Trace
from factory.selection.rankings import rankings
from factory.stages.labels import replayed
from factory.stages.measure import measured
from factory.steps import AGGREGATES
from factory.thoughts import split

KS = (1, 2, 4, 8, 16, 32, 64)
JUDGED, SAMPLES, ROLLOUTS = 512, 4, 4
"""Problems and samples of each that the judges are trained on, and roll-outs from each step of them."""


def judges(seed: int) -> dict[str, tuple[str, Path, dict[str, Any]]]:
    """Judge -> (its measure, folder, figures of its training): all three of the same traces of the teacher's."""
    from factory.students.process_reward_model import process_reward_model
    from factory.students.reward_model import reward_model

    asked = world.problems("train", JUDGED, 300 + seed, world.HARD)
    answers = world.sampled(f"votes/{seed}/judged", world.TEACHER, asked, SAMPLES, 1.0, 20 + seed)
    ranked = [ranking_row(pick) for group in world.candidates(asked, answers) for pick in rankings(group, k=SAMPLES)]
    told = [(p, s) for p, samples in zip(asked, answers, strict=True) for s in samples]
    return {
        "RM": ("reward", *world.trained(f"votes/{seed}/rm", reward_model, world.TEACHER, ranked, epochs=2, seed=seed)),
        "exact PRM": ("process_reward", *world.trained(
            f"votes/{seed}/exact", process_reward_model, world.TEACHER, stepped(told, [
                replayed(s.raw, p.reference) for p, s in told]), epochs=4, seed=seed)),
        "soft PRM": ("process_reward", *world.trained(
            f"votes/{seed}/soft", process_reward_model, world.TEACHER, stepped(told, rolled_out(seed, told)),
            epochs=4, labels="soft", seed=seed))}


def stepped(told: Sequence[tuple[Problem, world.Sample]], steps: Sequence[list[Step]]) -> list[dict[str, Any]]:
    """Rows of a process reward model; of a trace without a step there is none."""
    return [{"prompt": p.prompt, "correct": s.status == "correct", "problem_id": p.id, **step_columns(found)}
            for (p, s), found in zip(told, steps, strict=True) if found]


def trace(problem: Problem, sample: world.Sample, number: int) -> Trace:
    return Trace(Request(problem.id, "teacher", "sample", number), Completion(*split(sample.raw), sample.raw, "stop"))


def rolled_out(seed: int, told: Sequence[tuple[Problem, world.Sample]]) -> list[list[Step]]:
    """The steps that the measure will score, and the share of ROLLOUTS from each that reach the answer."""
    texts = [judged_text(p, trace(p, s, 0), "\n", "", "")["steps"] for p, s in told]
    begun = [(p, "".join(lines[:i + 1])) for (p, _), lines in zip(told, texts, strict=True) for i in range(len(lines))]
    shares = map(np.mean, world.rollouts(f"votes/{seed}/rollouts", world.TEACHER, begun, ROLLOUTS, seed))
    return [[Step(i, "rollout", line, value=float(next(shares))) for i, line in enumerate(lines)] for lines in texts]


def scores(seed: int, asked: Sequence[Problem], answers: Answers, models: dict[str, tuple[str, Path]]
           ) -> dict[str, np.ndarray]:
    """Judge -> [problems, samples], by the factory's own measures; NaN where there is nothing to score."""
    specs = {f"{judge}, {how}" if how else judge: {
        "plugin": kind, "model": str(folder), **({"aggregate": how} if how else {})}
        for judge, (kind, folder) in models.items() for how in (AGGREGATES if kind == "process_reward" else [""])}
    measures = [MeasureSpec.model_validate(spec) for spec in specs.values()]

    def part(start: int, end: int) -> Any:
        pairs = [(p, trace(p, s, i)) for p, samples in list(zip(asked, answers, strict=True))[start:end]
                 for i, s in enumerate(samples)]
        found = measured(pairs, measures).values()
        return [[values[trace.id] for _, trace in pairs] for values in found]

    parts = [np.array(world.kept(f"votes/{seed}/scores/{start}-{end}", lambda: part(start, end)), dtype=float)  # noqa: B023
             for start in range(0, len(asked), 64) for end in [min(start + 64, len(asked))]]
    joined = np.concatenate(parts, axis=1).reshape(len(specs), len(asked), -1)
    return dict(zip(specs, joined, strict=True))


def choices(samples: Sequence[world.Sample], judged: dict[str, np.ndarray]
            ) -> Iterator[tuple[str, Callable[[int], float]]]:
    """Ways to one answer out of k, each with its expected credit over all draws of k of the samples."""
    right, answers = [s.right for s in samples], [s.answer for s in samples]
    weights = {"RM": 1 / (1 + np.exp(-judged["RM"])),
               **{name: np.nan_to_num(judged[name]) for name in ("exact PRM, min", "soft PRM, last")}}
    yield "pass@1 (any one)", lambda k: float(np.mean(right))
    yield "consensus@k", lambda k: vote(answers, right, k)
    for name, heavy in weights.items():
        yield f"vote weighted by {name}", lambda k, w=heavy: vote(answers, right, k, w)  # type: ignore[misc]
    for name, values in judged.items():
        yield f"best-of-k by {name}", lambda k, v=values: best_of_k(v, right, k)  # type: ignore[misc]
    yield "oracle@k", lambda k: float(pass_at_k(len(right), int(sum(right)), k))


def run(seeds: int, count: int) -> None:
    found: dict[str, dict[int, list[float]]] = {}
    used, figures = list[float](), list[dict[str, Any]]()
    for seed in range(seeds):
        models = judges(seed)
        figures.append({judge: made for judge, (_, _, made) in models.items()})
        asked = world.problems("test", count, 400 + seed, world.HARD)
        answers = world.sampled(f"votes/{seed}/answers", world.TEACHER, asked, max(KS), 1.0, 30 + seed)
        used.append(float(world.tokens(answers).mean()))
        judged = scores(seed, asked, answers, {judge: one[:2] for judge, one in models.items()})
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
    for judge, made in figures[0].items():
        for key in (key for key in made if key.startswith(("held_out_a", "step_auroc", "auroc_", "first_error"))):
            print(f"| {judge}: {key} | " + " | ".join(str(one[judge][key]) for one in figures) + " |")
