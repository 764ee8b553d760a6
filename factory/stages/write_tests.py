"""problems -> suites: tests that the recipe's own teacher writes, kept only where a quorum stands behind them.

The traces of the recipe are the candidates; further answers of the teacher are generators of inputs and validators of
them. All of them run in the sandbox. An input is one that three quarters of the validators accept (o1-ioi); its output
is what seven of ten candidates agree on, and a problem's tests count when nine of ten pass them all (Kimi k1.5, 2025);
seven of ten inputs have to become tests, and these have to notice mistakes that are planted (`verifiers.mutants`).
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from factory.lake import now
from factory.recipe import Generate, Plugin
from factory.records import Problem, content_id
from factory.run import Run, make_teacher, strategy_key
from factory.sandboxes import sandboxes
from factory.stages import load
from factory.stages.generate import Job, buy_all
from verifiers.code import behaviour, extract
from verifiers.code.extension import Extension
from verifiers.code.suites import Suite
from verifiers.mutants import mutate
from verifiers.quorum import AGREE, elect, needed
from verifiers.sandbox import Limits, Program, Stdin
from verifiers.sandbox import Run as Ran
from verifiers.sandbox_pool import SandboxPool, Work

VERSION = 1

CANDIDATES, WRITERS = 10, 4
"""Candidates that pass the public tests which a quorum is of; answers with a generator and a validator each."""
ACCEPT, KILLED = 0.75, 0.5
"""Shares: of the validators that have to accept an input, of the mutants that have to be noticed."""
FEWEST, MUTANTS = 5, 20
"""Tests that a problem needs, mutants that are tried."""
HELPERS = Limits(cpu_s=10.0, memory_mb=512)

ASK = """

Do not solve this problem. Write two Python programs that help to test solutions of it. An "input" is what a solution
reads from standard input; where the problem asks for a function, it is the list of its arguments as JSON on one line.

1. A generator: it reads one whole number, a seed, from standard input and prints one valid random input, another one
for each seed. Small seeds give small inputs and edge cases, larger ones ordinary and large inputs.
2. A validator: it reads an input from standard input and prints VALID if the input keeps to the statement in every
detail, else INVALID.

Give each in a ```python block of its own, the generator first."""

WRITE = Plugin(plugin="sample", params={"suffix": ASK})


def ask(run: Run) -> None:
    """Load the problems, and buy what is lacking of candidates, generators and validators."""
    load.load(run)
    teacher, options = make_teacher(run.recipe.teacher), run.recipe.generate
    writers = Generate(strategy=WRITE, samples=WRITERS, attempts=options.attempts, abort_after=options.abort_after)
    buy_all({"generate": Job(run, "train", teacher, options), "write tests": Job(run, "train", teacher, writers)})


def work(run: Run, inputs: int) -> int:
    """Make the suites that the run lacks, `inputs` generated inputs each at most; returns how many were made."""
    have, made = run.lake.ids("suites"), 0
    with sandboxes(run.recipe.verify.workers) as pool:
        for task in (task for task in _tasks(run) if task.id(inputs) not in have):
            run.lake.append("suites", [_row(run, task, inputs, _build(task, inputs, pool))])
            made += 1
    return made


@dataclass(frozen=True)
class _Task:
    """A problem with the teacher's answers: (trace id, response) of candidates and of writers."""

    problem: Problem
    candidates: Sequence[tuple[str, str]]
    writers: Sequence[tuple[str, str]]

    def id(self, inputs: int) -> str:
        return content_id("suite", VERSION, self.problem.id, inputs, [i for i, _ in self.candidates],
                          [i for i, _ in self.writers])


def _tasks(run: Run) -> Iterator[_Task]:
    for row in run.lake.rows("""SELECT p.* FROM members m JOIN problems p ON p.id = m.problem_id
            WHERE m.run_id = $1 AND m.part = 'train' ORDER BY p.id""", [run.id]):
        problem = Problem(**{name: row[name] for name in Problem.__dataclass_fields__})
        answers = run.lake.sql("""SELECT strategy, id, coalesce(response, '') FROM traces WHERE problem_id = $1
            AND teacher = $2 AND strategy IN ($3, $4) ORDER BY sample, id""",
            [problem.id, run.teacher_key, run.strategy_key, strategy_key(WRITE)]).fetchall()
        yield _Task(problem, [(i, text) for strategy, i, text in answers if strategy == run.strategy_key],
                    [(i, text) for strategy, i, text in answers if strategy != run.strategy_key])


class _NoTests(Exception):
    """Why a problem gets none."""


@dataclass
class _Built:
    """What came of a problem: the counts of the table `suites`, and the tests."""

    reason: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    reference: str = ""
    generated: str = "[]"


def _build(task: _Task, inputs: int, pool: SandboxPool) -> _Built:
    built = _Built()
    try:
        _fill(built, task, inputs, pool)
    except _NoTests as why:
        built.reason = str(why)
    return built


def _fill(built: _Built, task: _Task, wanted: int, pool: SandboxPool) -> None:
    more = _extension(task.problem)
    programs = _candidates(more, task.candidates, pool)
    built.counts["candidates"] = len(programs)
    if len(programs) < CANDIDATES:
        raise _NoTests(f"under {CANDIDATES} candidates pass its public tests")
    tests = _inputs(more, task.writers, wanted, pool)
    built.counts["inputs"], built.generated = len(tests), json.dumps(tests)
    if len(tests) < FEWEST:
        raise _NoTests(f"under {FEWEST} of its inputs are valid")
    runs = _run(more.suite(tests), programs, pool)
    found = elect([[behaviour.given(run) for run in mine] for mine in runs])
    agreed = [number for number, right in enumerate(found.elected) if right is not None]
    built.counts.update(tests=len(agreed), passing=len(found.passing))
    if not found.sound or len(agreed) < max(FEWEST, needed(AGREE, len(tests))):
        raise _NoTests("the candidates do not agree")
    best = found.passing[0]
    kept = [tests[n] | answer for n in agreed if (answer := more.expectation(runs[best][n])) is not None]
    if len(kept) < FEWEST:
        raise _NoTests("the outputs cannot be written as JSON")
    built.counts["tests"] = len(kept)
    _kill(built, more.suite(kept), programs[best], pool)
    built.reference = more.reference(kept, programs[best])


# -- what is run -----------------------------------------------------------------------------------------------------


def _extension(problem: Problem) -> Extension:
    if problem.verifier != "code_tests":
        return Extension({"kind": "stdio", "language": "python"}, [])
    try:
        return Extension.of(problem.reference)
    except ValueError as error:
        raise _NoTests(str(error)) from error


def _run(suite: Suite, programs: Sequence[str], pool: SandboxPool) -> list[list[Ran]]:
    limits, tests = Limits.from_json(suite.limits), [behaviour.as_input(suite, test) for test in suite.tests]
    runs = list(pool.run(Work(Program(suite.language, code), tests, limits) for code in programs))
    if any(run.outcome == "sandbox_error" for mine in runs for run in mine):
        raise _NoTests("the sandbox failed")
    return runs


def _candidates(more: Extension, answers: Sequence[tuple[str, str]], pool: SandboxPool) -> list[str]:
    """The programs of the first CANDIDATES answers that pass the public tests."""
    suite = more.suite(more.public)
    programs = [code for _, response in answers if (code := behaviour.program(suite, response))]
    passed = [code for code, runs in zip(programs, _run(suite, programs, pool), strict=True)
              if all(behaviour.right(suite, run, test) for run, test in zip(runs, suite.tests, strict=True))]
    return passed[:CANDIDATES]


def _inputs(more: Extension, writers: Sequence[tuple[str, str]], wanted: int, pool: SandboxPool
            ) -> list[dict[str, Any]]:
    """Different inputs, as tests without an expectation, that enough validators accept."""
    blocks = [[found.code for policy in ("first", "last") if (found := extract.program(response, "python", policy))]
              for _, response in writers]
    generators, validators = [b[0] for b in blocks if b], [b[1] for b in blocks if len(b) > 1 and b[0] != b[1]]
    # Each begins with seeds of its own, small and large, and goes on with those of others, which may fail.
    seeds = [sorted(range(1, wanted + 1), key=lambda seed: ((seed - first) % len(generators) != 0, seed))
             for first in range(1, len(generators) + 1)]
    said = pool.run(Work(Program("python", code), [Stdin(b"%d\n" % seed) for seed in mine], HELPERS)
                    for code, mine in zip(generators, seeds, strict=True))
    texts = [run.stdout for runs in itertools.zip_longest(*said) for run in runs if run and run.outcome == "ran"]
    known = [more.as_text(test) for test in more.public]
    tests = [test for text in dict.fromkeys(texts) if text.strip() and text not in known
             and (test := more.as_test(text)) is not None]
    return _valid(tests, [more.as_text(test) for test in tests], known, validators, pool)[:wanted]


def _valid(tests: list[dict[str, Any]], texts: list[bytes], known: list[bytes], validators: Sequence[str],
           pool: SandboxPool) -> list[dict[str, Any]]:
    """Those that enough validators accept; one that refuses a public test, or everything, is no validator."""
    votes = []
    for runs in pool.run(Work(Program("python", code), [Stdin(text) for text in [*known, *texts]], HELPERS)
                         for code in validators):
        accepts = [run.outcome == "ran" and run.stdout.strip().upper() == b"VALID" for run in runs]
        if all(accepts[:len(known)]) and any(accepts):
            votes.append(accepts[len(known):])
    if not votes:
        raise _NoTests("no validator works")
    return [test for test, *said in zip(tests, *votes, strict=True) if sum(said) >= needed(ACCEPT, len(votes))]


def _kill(built: _Built, suite: Suite, program: str, pool: SandboxPool) -> None:
    """Count the mutants of a right program that some test notices."""
    if suite.language != "python":
        return
    every = [mutant.code for mutant in mutate(program)]
    tried = every[::-(-len(every) // MUTANTS) or 1]
    killed = sum(not all(behaviour.right(suite, run, test) for run, test in zip(runs, suite.tests, strict=True))
                 for runs in _run(suite, tried, pool))
    built.counts.update(mutants=len(tried), killed=killed)
    if killed < needed(KILLED, len(tried)):
        raise _NoTests("the tests do not notice planted mistakes")


def _row(run: Run, task: _Task, inputs: int, built: _Built) -> dict[str, Any]:
    return dict(id=task.id(inputs), run_id=run.id, problem_id=task.problem.id, kept=not built.reason,
                reason=built.reason, reference=built.reference, generated=built.generated, created=now(),
                **built.counts)


def made(run: Run, inputs: int) -> list[dict[str, Any]]:
    """The suites of the run's problems as they stand, each with its problem."""
    ids = [task.id(inputs) for task in _tasks(run)]
    return run.lake.rows("""SELECT p.*, s.* EXCLUDE (id) FROM suites s JOIN problems p ON p.id = s.problem_id
        WHERE s.id IN (SELECT unnest($1)) ORDER BY p.id""", [ids])
