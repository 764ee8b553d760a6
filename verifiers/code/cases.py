"""Tests that are a process each: stdin and stdout, or one call of a function. What was expected stays on our side."""

from collections.abc import Sequence
from typing import Any

from verifiers.code import compare
from verifiers.code.result import SuiteRun, whole
from verifiers.code.suites import CallTest, StdioTest, Suite
from verifiers.sandbox import OPAQUE, Call, Job, Limits, Program, Run, Stdin, shared

TIMEOUTS = 2
"""After so many the rest is not run: a program that hangs would cost its limit for every test."""

JUDGE_LIMITS = Limits(cpu_s=10.0, memory_mb=512)

ENDS = ("compile_error",)
"""Outcomes that are the same for every test."""


def run(suite: Suite, code: str, limits: Limits) -> SuiteRun:
    """Run the tests one after the other, all or up to the first failure."""
    tests: list[str] = []
    reasons: dict[int, str] = {}
    with shared().job(Program(suite.language, code), limits) as job:
        for number, test in enumerate(suite.tests):
            verdict, reason = _one(suite, job, test)
            tests.append(verdict)
            if verdict != "passed":
                reasons[number] = f"test {number + 1} of {len(suite.tests)}: {reason}"
            if _enough(suite, tests):
                break
    return whole(tests, reasons, len(suite.tests))


def _enough(suite: Suite, tests: Sequence[str]) -> bool:
    failed = tests[-1] != "passed" and not suite.run_all
    return failed or tests[-1] in ENDS or tests.count("timeout") >= TIMEOUTS


def _one(suite: Suite, job: Job, test: StdioTest | CallTest) -> tuple[str, str]:
    if isinstance(test, StdioTest):
        run = job.run(Stdin(test.stdin))
        return _judged(suite, run, test) if run.outcome == "ran" else (run.outcome, run.reason)
    try:
        run = job.run(Call(suite.entry, test.args, test.kwargs))
    except ValueError as error:
        return "sandbox_error", f"the arguments cannot be passed on: {error}"
    return _judged(suite, run, test) if run.outcome == "ran" else (run.outcome, run.reason)


def _judged(suite: Suite, run: Run, test: StdioTest | CallTest) -> tuple[str, str]:
    """Of a run that ended well: is it right?"""
    if suite.judge:
        return _by_judge(suite.judge, run, test)
    if isinstance(test, StdioTest):
        right = compare.same_output(run.stdout, test.stdout, suite.comparison)
        return ("passed", "") if right else ("wrong_answer", compare.first_difference(run.stdout, test.stdout))
    if run.result is OPAQUE:
        return "wrong_answer", run.reason
    if any(compare.same_value(run.result, expected, suite.comparison.tolerance) for expected in test.expected):
        return "passed", ""
    got, expected = compare.shown(run.result), compare.shown(test.expected[0])
    return "wrong_answer", f"{suite.entry}{compare.shown(test.args)} gave {got}, expected {expected}"


def _by_judge(judge: str, run: Run, test: StdioTest | CallTest) -> tuple[str, str]:
    """Ask a special judge, in a sandbox of its own: `judge(given, expected, got)`, True or False, perhaps with why."""
    given = _texts(run, test)
    with shared("judge").job(Program("python", judge), JUDGE_LIMITS) as job:
        said = job.run(Call("judge", given))
    answer = said.result if isinstance(said.result, (tuple, list)) and len(said.result) == 2 else (said.result, "")
    if said.outcome != "ran" or type(answer[0]) is not bool:
        said_what = said.reason or compare.shown(said.result)
        return "sandbox_error", f"the special judge did not answer True or False: {said_what}"
    return ("passed", "") if answer[0] else ("wrong_answer", compare.cut(str(answer[1])) or "the judge says no")


def _texts(run: Run, test: StdioTest | CallTest) -> tuple[Any, Any, Any]:
    if isinstance(test, CallTest):
        return list(test.args), test.expected[0], None if run.result is OPAQUE else run.result
    stdin, stdout, got = (part.decode("utf-8", "backslashreplace") for part in (test.stdin, test.stdout, run.stdout))
    return stdin, stdout, got
