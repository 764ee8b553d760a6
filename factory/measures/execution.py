"""What a trace's program does when it is run: how it behaves, and how much it fails of what its solver may see.

The three signals of o1-ioi's test-time strategy (OpenAI 2025, arXiv 2502.06807) that need no truth. Generated tests are
those of the problem's `meta.generated`, as `cot tests` writes them: inputs, some with the output that a model or a
quorum expects. Hidden tests are never run here. Programs run in sandboxes side by side, a whole shard at a time.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from factory.protocols import UserError
from factory.records import Problem, Trace, content_id
from factory.sandboxes import sandboxes
from verifiers.code import behaviour, formats, suites
from verifiers.code.public import public_part
from verifiers.code_tests import missing
from verifiers.pool import Case, verify_many
from verifiers.sandbox import Limits, Program, Run
from verifiers.sandbox_pool import Work
from verifiers.verdict import Verdict

VERSION = 1

Of = Literal["behaviour", "public_failed", "generated_failed"]
KNOWN = 100_000
"""So many results are kept in the process."""

_known: dict[str, float | None] = {}


def execution(problem: Problem, trace: Trace, *, of: Of = "behaviour") -> float:
    """`behaviour`: a number that is equal for programs of one problem with equal outputs on the generated inputs (the
    public ones without any), -1 without a program. `public_failed` and `generated_failed`: shares of those tests, 0 to
    1; a generated one without an expected output fails when the program does not run to its end.
    """
    if _key(problem, trace, of) not in _known:
        run_ahead([(problem, trace)], of=of)
    value = _known[_key(problem, trace, of)]
    if value is None:
        raise ValueError("the sandbox failed")
    return value


def run_ahead(pairs: Sequence[tuple[Problem, Trace]], *, of: Of = "behaviour") -> None:
    """Run the programs of a shard, side by side, that have not been run."""
    if len(_known) > KNOWN:
        _known.clear()
    owed = list({_key(*pair, of): pair for pair in pairs if _key(*pair, of) not in _known}.values())
    if of == "public_failed":
        _known.update(zip((_key(*pair, of) for pair in owed), _public(owed), strict=True))
        return
    for pair, (does, failed) in zip(owed, _generated(owed), strict=True):
        _known[_key(*pair, "behaviour")], _known[_key(*pair, "generated_failed")] = does, failed


def _key(problem: Problem, trace: Trace, of: Of) -> str:
    return content_id(of, problem.id, problem.meta, trace.completion.response)


# -- public tests: verdicts of the verifier --------------------------------------------------------------------------


def _public(owed: Sequence[tuple[Problem, Trace]]) -> list[float | None]:
    references = [public_part(p.reference) if p.verifier == "code_tests" else "" for p, _ in owed]
    verdicts = verify_many((Case("code_tests", trace.completion.response, reference)
                            for (_, trace), reference in zip(owed, references, strict=True) if reference), _cores())
    found = [_failed(next(verdicts), reference, trace.completion.response) if reference else 0.0
             for reference, (_, trace) in zip(references, owed, strict=True)]
    if None in found and (sentence := missing()):
        raise UserError(sentence)
    return found


def _failed(verdict: Verdict, reference: str, response: str) -> float | None:
    """The share of failed tests, all of them without a program; None where the sandbox failed."""
    words: list[str] = json.loads(verdict.detail)["tests"] if verdict.detail else []
    if not words and not behaviour.program(suites.parse(reference), response):
        return 1.0
    if not words or "sandbox_error" in words:
        return None
    return sum(word != "passed" for word in words) / len(words)


# -- generated tests: what the program does --------------------------------------------------------------------------


class _Inputs(NamedTuple):
    """The generated tests of a problem; `expected[i]` says whether test i has an output to be compared with."""

    suite: suites.Suite
    limits: Limits
    expected: list[bool]


def _generated(owed: Sequence[tuple[Problem, Trace]]) -> list[tuple[float | None, float | None]]:
    given = [_inputs(p.reference, p.meta) if p.verifier == "code_tests" else None for p, _ in owed]
    programs = [behaviour.program(inputs.suite, trace.completion.response) if inputs else ""
                for inputs, (_, trace) in zip(given, owed, strict=True)]
    work = [Work(Program(inputs.suite.language, code),
                 [behaviour.as_input(inputs.suite, test) for test in inputs.suite.tests], inputs.limits)
            for inputs, code in zip(given, programs, strict=True) if inputs and code]
    with sandboxes(_cores()) as pool:
        done = pool.run(work)
        return [_result(inputs, next(done)) if inputs and code else (-1.0, float(bool(inputs)))
                for inputs, code in zip(given, programs, strict=True)]


@lru_cache(maxsize=1024)  # the traces of one problem
def _inputs(reference: str, meta: str) -> _Inputs | None:
    """None where there is nothing to run: no inputs, or tests that are neither of stdin nor of calls."""
    try:
        row = formats.ours(json.loads(reference))
        tests = json.loads(meta).get("generated") or json.loads(public_part(reference) or '{"tests": []}')["tests"]
        tests = [{"stdin": test} if isinstance(test, str) else test for test in tests]
        answers = ("stdout", "stdout_b64", "output", "expected", "any_of")
        whole = [{"stdout": "", "expected": None, **test} for test in tests]
        suite = suites.parse(json.dumps({**row, "tests": whole}))
        if suite.kind not in ("stdio", "call"):
            return None
        return _Inputs(suite, Limits.from_json(suite.limits), [any(a in test for a in answers) for test in tests])
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _result(inputs: _Inputs, runs: Sequence[Run]) -> tuple[float | None, float | None]:
    """(behaviour, share of failed tests) of the runs of one program."""
    if any(run.outcome == "sandbox_error" for run in runs):
        return None, None
    said = json.dumps([behaviour.given(run) or [run.outcome] for run in runs])
    bad = [run.outcome != "ran" or (compared and not behaviour.right(inputs.suite, run, test))
           for run, test, compared in zip(runs, inputs.suite.tests, inputs.expected, strict=True)]
    digest = hashlib.blake2b(said.encode(), digest_size=8).digest()
    return float(int.from_bytes(digest) >> 12), sum(bad) / len(bad)  # 52 bits: a float holds them


def _cores() -> int:
    return len(os.sched_getaffinity(0))
