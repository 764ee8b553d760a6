"""T-09, the IOI strategy at its budget: `python -m benchmarks.select_by_tests` (minutes; exits 1 for a missed target).

Problems, right programs and inputs are made by rule (`benchmarks.code_world`). Wrong candidates are planted: mutants of
the right program and mutants of those, so that some are right by luck; who is right is decided by hidden tests, run by
`code_tests` like any trace. What candidates do on public and generated tests is the measure `execution`, in sandboxes;
the selection is `by_tests`. Of a problem's programs 400 candidates are drawn again and again, few right and most wrong
in the few ways that are common, and the same ones are submitted at random, by clusters alone, by the whole strategy and
by an oracle, with 50 submissions a problem; then with 10, with 50 for five problems in turn, and with 10,000.
Model-written tests are simulated: one generated test in ten expects something wrong. So is a learned score: truth plus
noise. Intervals are 95 %, by bootstrap over the problems.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.code_world import Spec, inputs, specs
from benchmarks.machine import machine
from factory.measures.execution import execution, run_ahead
from factory.records import Candidate, Completion, Problem, Request, Trace
from factory.selection.by_tests import WEIGHTS, submissions
from verifiers.mutants import mutate
from verifiers.pool import Case, verify_many
from verifiers.sandbox import Limits, Program, Stdin
from verifiers.sandbox_pool import SandboxPool, Work

PROBLEMS, PROGRAMS, CANDIDATES, DRAWS = 24, 200, 400, 20
SIZES = {"public": [1, 1], "generated": [2] * 10, "hidden": [1] * 2 + [2] * 6 + [3] * 8}
T_09 = (1, 50)  # subtasks of a task, and submissions for all of them
CONTESTS = (T_09, (1, 10), (5, 50), (5, 10_000))  # also as on Codeforces, as at the IOI, as good as without a limit
RIGHT = (0, 5)  # right candidates among CANDIDATES, at least and at most
MISTAKEN = 0.1  # generated tests that expect something wrong
LIMITS = {"cpu_s": 0.5}

OF = ("behaviour", "public_failed", "generated_failed")


@dataclass(frozen=True)
class Made:
    """A problem with its programs, known by what they do and whether they are right."""

    problem: Problem
    candidates: list[Candidate]


# -- the problems, for real ------------------------------------------------------------------------------------------


def programs(spec: Spec, rng: random.Random) -> list[str]:
    """The right program, its mutants and mutants of those: PROGRAMS at most."""
    once = [m.code for m in mutate(spec.program)]
    twice = [m.code for code in once for m in mutate(code)]
    rng.shuffle(twice)
    return list(dict.fromkeys([spec.program, *once, *twice]))[:PROGRAMS]


def problem(spec: Spec, number: int, pool: SandboxPool) -> Problem:
    """With expected outputs from the right program, but for the mistakes of whoever wrote the generated tests."""
    rng = random.Random(f"tests/{number}")
    drawn = inputs(spec, [size for sizes in SIZES.values() for size in sizes], rng)
    [runs] = pool.run([Work(Program("python", spec.program), [Stdin(text.encode()) for text in drawn], Limits())])
    assert all(run.outcome == "ran" for run in runs), f"{spec.name} does not run"
    tests = [{"stdin": text, "stdout": run.stdout.decode()} for text, run in zip(drawn, runs, strict=True)]
    first, second = len(SIZES["public"]), len(SIZES["public"]) + len(SIZES["generated"])
    public, generated, hidden = tests[:first], tests[first:second], tests[second:]
    for test in generated:
        if rng.random() < MISTAKEN:
            test["stdout"] = rng.choice(tests)["stdout"] + "0"
    reference = {"kind": "stdio", "public": first, "limits": LIMITS, "tests": public + hidden, "run": "first_failure"}
    return Problem(f"{number}. {spec.statement}", json.dumps(reference), "code_tests",
                   meta=json.dumps({"generated": generated}))


def make(count: int) -> list[Made]:
    """Every program of every problem is run on its public and generated tests and judged by the hidden ones."""
    pairs: list[tuple[Problem, Trace]] = []
    with SandboxPool(2) as pool:
        for number, spec in enumerate(specs(count)):
            of, rng = problem(spec, number, pool), random.Random(f"programs/{number}")
            for sample, code in enumerate(programs(spec, rng)):
                text = f"```python\n{code}\n```"
                request = Request(of.id, "world", "mutants", sample)
                pairs.append((of, Trace(request, Completion("", text, text, "stop"))))
    for what in OF:
        run_ahead(pairs, of=what)  # type: ignore[arg-type]
    verdicts = verify_many((Case("code_tests", t.completion.response, p.reference) for p, t in pairs), 2)
    made: dict[str, Made] = {}
    for (of, trace), verdict in zip(pairs, verdicts, strict=True):
        measures = {what: execution(of, trace, of=what) for what in OF}  # type: ignore[arg-type]
        text = trace.completion.raw
        made.setdefault(of.id, Made(of, [])).candidates.append(Candidate(
            trace.id, of.id, of.prompt, text, "", text, verdict.status, None, len(text), measures))
    return list(made.values())


# -- the contest -----------------------------------------------------------------------------------------------------


def population(made: Made, rng: random.Random) -> list[Candidate]:
    """CANDIDATES samples of a model that is seldom right and makes some mistakes more often than others.

    Each is a text of its own (a comment tells them apart), as samples are. Further measures: `learned`, a score that
    knows a little, and `alone` and `lottery`, by which each is a cluster of its own with points by chance.
    """
    right = [c for c in made.candidates if c.status == "correct"]
    wrong = [c for c in made.candidates if c.status == "wrong"]
    rng.shuffle(wrong)
    weights = [1 / (1 + rank) for rank in range(len(wrong))]  # Zipf: a few mistakes are everybody's
    count = rng.randint(*RIGHT)
    drawn = rng.choices(right, k=count) + rng.choices(wrong, weights, k=CANDIDATES - count)
    rng.shuffle(drawn)
    return [replace(c, trace_id=f"{n:04d}", response=f"{c.response}{n}", measures={
        **c.measures, "learned": rng.gauss(float(c.status == "correct"), 1.0), "alone": float(n),
        "lottery": rng.random()}) for n, c in enumerate(drawn)]


ALONE = {"cluster": "alone", "size": 0.0, "penalty": 0.0}
WAYS: dict[str, dict[str, Any]] = {
    "random": {**ALONE, "weights": {"lottery": 1.0}},
    "learned score alone": {**ALONE, "weights": {"learned": 1.0}},
    "public tests alone": {**ALONE, "weights": {"public_failed": -1.0, "lottery": 0.1}},
    "clusters only": {"weights": {}},
    "clusters + public tests": {"weights": {"public_failed": WEIGHTS["public_failed"]}},
    "clusters + generated tests": {"weights": {"generated_failed": WEIGHTS["generated_failed"]}},
    "full": {},
    "full + learned score": {"weights": {**WEIGHTS, "learned": 0.5}},
    "oracle": {},
}


def solved(subtasks: Sequence[Sequence[Candidate]], budget: int, way: str) -> set[int]:
    """Which subtasks get an accepted submission."""
    if way == "oracle":
        return {n for n, group in enumerate(subtasks) if any(c.status == "correct" for c in group)}
    return {s.subtask for s in submissions(subtasks, budget, **WAYS[way]) if s.candidate.status == "correct"}


def rates(made: Sequence[Made], together: int, budget: int) -> dict[str, list[float]]:
    """Way -> of each problem the share of DRAWS contests in which it is solved; all ways get the same candidates.

    In each contest the problems are drawn into tasks of `together` subtasks, which share the budget.
    """
    found = {way: [0.0] * len(made) for way in WAYS}
    for draw in range(DRAWS):
        rng = random.Random(f"contest/{draw}")
        candidates = [population(one, rng) for one in made]
        order = rng.sample(range(len(made)), len(made))
        for task in (order[i:i + together] for i in range(0, len(order), together)):
            for way in WAYS:
                for place in solved([candidates[n] for n in task], budget, way):
                    found[way][task[place]] += 1 / DRAWS
    return found


def interval(values: Sequence[float], seed: int = 0, times: int = 4000) -> tuple[float, float]:
    """95 % of the means of `values`, drawn again."""
    rng = random.Random(seed)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(times))
    return means[int(0.025 * times)], means[int(0.975 * times)]


ORDER = (("clusters only", "random"), ("full", "clusters only"), ("full", "random"))


def contest(made: Sequence[Made], together: int, budget: int) -> list[str]:
    """Print the table of one contest; returns what was missed."""
    found = rates(made, together, budget)
    print(f"\n{budget:,} submissions for a task of {together}\n\n| way | solved | 95 % interval |\n|---|---|---|")
    for way, values in found.items():
        low, high = interval(values)
        print(f"| {way} | {statistics.fmean(values):.1%} | {low:.1%} to {high:.1%} |")
    print("\n| difference on the same candidates | gain | 95 % interval |\n|---|---|---|")
    missed = []
    for better, worse in ORDER:
        gain = [a - b for a, b in zip(found[better], found[worse], strict=True)]
        low, high = interval(gain)
        print(f"| {better} over {worse} | {statistics.fmean(gain):+.1%} | {low:+.1%} to {high:+.1%} |")
        if low <= 0 and (together, budget) == T_09:
            missed.append(f"{better} is not above {worse} at {budget} submissions")
    return missed + [f"{way} is above the oracle" for way, values in found.items()
                     if any(a > b + 1e-9 for a, b in zip(values, found["oracle"], strict=True))]


def main(count: int = PROBLEMS) -> int:
    print(f"{machine()}\n")
    started, cpu = time.perf_counter(), time.process_time()
    every = make(count)
    made = [one for one in every if {"correct", "wrong"} <= {c.status for c in one.candidates}]
    tests = sum(map(len, SIZES.values()))
    ran = sum(len(one.candidates) for one in every)
    right = sum(c.status == "correct" for one in every for c in one.candidates)
    undecided = sum(c.status == "undecided" for one in every for c in one.candidates)
    print(f"{len(every)} problems, {ran:,} programs ({right} right, {undecided} undecided) on up to {tests} tests in "
          f"{time.perf_counter() - started:.0f} s ({time.process_time() - cpu:.0f} s of it CPU of this process); "
          f"{CANDIDATES} candidates, {RIGHT[0]} to {RIGHT[1]} of them right, {DRAWS} times")
    missed = [fault for together, budget in CONTESTS for fault in contest(made, together, budget)]
    print("\n" + ("\n".join(f"MISSED: {fault}" for fault in missed) or
                  "full > clusters only > random, none above the oracle: met"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
