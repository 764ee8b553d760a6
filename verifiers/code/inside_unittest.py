"""Runs inside the tests' sandbox. Collects and runs unittest and pytest tests; each is reported when it has stopped."""

import unittest
from collections.abc import Callable
from typing import Any

from verifiers.code import inside_pytest
from verifiers.code.inside_proxy import NeedsReal, Unsupported
from verifiers.code.inside_tests import SHOWN, judged

Report = Callable[..., None]

vars(unittest)["main"] = lambda *_, **__: None  # at the end of many suites; the tests are run from here


def run(made: dict[str, Any], report: Report, outcome: Callable[[Any], tuple[str, str]], fresh: Callable[[], None]
        ) -> None:
    """Run the tests that a module has made: `report` is told of them, `outcome` runs one function."""
    cases = [value for value in made.values() if isinstance(value, type) and issubclass(value, unittest.TestCase)
             and not value.__module__.startswith("unittest.")]
    suites = [unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in dict.fromkeys(cases)]
    names = [test.id() for one in suites for test in one]  # type: ignore[union-attr]
    functions = list(inside_pytest.tests_of(made))
    report("plan", names + [name for name, _ in functions])
    result = _Result(report, fresh)
    for one in suites:
        result.run_suite(one)
    for number, (_, test) in enumerate(functions, len(names)):
        report("test", number, *outcome(test))


class _Result(unittest.TestResult):
    """Reports each test when it has stopped; a test is passed only if `addSuccess` said so and nothing else did."""

    def __init__(self, report: Report, fresh: Callable[[], None]) -> None:
        super().__init__()
        self._report, self._fresh, self._number = report, fresh, 0
        self._status: tuple[str, str] = "runtime_error", "it has not finished"
        self._over: BaseException | None = None

    def run_suite(self, suite: unittest.TestSuite) -> None:
        before, size = self._number, suite.countTestCases()
        failed = len(self.errors)
        suite.run(self)
        if self._over:
            raise self._over
        if self._number < before + size:  # setUpClass failed
            why = self.errors[-1][1].strip().splitlines()[-1] if len(self.errors) > failed else "it did not run"
            skipped = len(self.errors) == failed and bool(self.skipped)
            for number in range(self._number, before + size):
                self._report("test", number, "skipped" if skipped else "runtime_error", why[:SHOWN])
            self._number = before + size

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._fresh()
        self._status = "runtime_error", "it has not finished"

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._report("test", self._number, *self._status)
        self._number += 1

    def addSuccess(self, test: unittest.TestCase) -> None:
        if self._status[1] == "it has not finished":
            self._status = "passed", ""

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._status = judged(err[1])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        if isinstance(err[1], (NeedsReal, Unsupported)):
            self._over = err[1]
            self.stop()
        super().addError(test, err)
        self._status = judged(err[1])

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None and self._status[1] == "it has not finished":
            self._status = judged(err[1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._status = "skipped", reason[:SHOWN]

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._status = "passed", ""

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._status = "wrong_answer", "it was expected to fail and did not"
