"""What came of a suite of tests."""

from dataclasses import dataclass, field
from typing import Literal

Trust = Literal["certain", "in_process"]


@dataclass
class SuiteRun:
    """A verdict for each test (`not_run` for those after the end), the whole verdict, and why the first one failed.

    `real` is set when the suite could not be judged from afar: what of the program's real objects it needs.
    """

    verdict: str = ""
    reason: str = ""
    tests: list[str] = field(default_factory=list)
    trust: Trust = "certain"
    cpu_s: float = 0.0
    real: str = ""


def nothing(verdict: str, reason: str, count: int = 1, trust: Trust = "certain") -> SuiteRun:
    """The program did not get to its tests, or nothing could be judged: the first test has the verdict."""
    return SuiteRun(verdict, reason, [verdict] + ["not_run"] * (count - 1), trust)


def whole(tests: list[str], reasons: dict[int, str], count: int, trust: Trust = "certain") -> SuiteRun:
    """Passed if all `count` tests have passed. Of several failures the first that is certain speaks for all."""
    tests = tests[:count] + ["not_run"] * (count - len(tests))
    failed = [n for n, verdict in enumerate(tests) if verdict != "passed"]
    if not tests:
        return nothing("sandbox_error", "there are no tests")
    if not failed:
        return SuiteRun("passed", "", tests, trust)
    first = next((n for n in failed if tests[n] not in ("sandbox_error", "not_run")), failed[0])
    verdict = "sandbox_error" if tests[first] == "not_run" else tests[first]
    return SuiteRun(verdict, reasons.get(first, "a test was not run"), tests, trust)
