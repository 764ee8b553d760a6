"""What a suite of tests reports while it runs, event by event, and what that comes to.

The report is written in a sandbox, by the tests' own process or, for suites that need real objects, beside the program.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import replace

from verifiers.code.result import SuiteRun, Trust, nothing, whole


def failure(reason: str) -> str:
    """The verdict on an error that the program raised."""
    return "memory_limit" if reason.startswith("MemoryError") else "runtime_error"


class Report:
    """The events of one run. A pass is: it ended, and as many tests have passed as were announced, at least one."""

    def __init__(self, count: int) -> None:
        self.nonce, self.count, self.over = secrets.token_hex(16), count, False
        self.cpu_s = 0.0
        self._names: list[str] | None = None
        self._tests: list[tuple[str, str]] = []
        self._tainted, self._real, self._broken = False, "", ("", "")
        self._events: dict[str, Callable[..., None]] = {
            "plan": self._plan, "test": self._test, "end": self._end, "broken": self.give_up,
            "real": self._needs_real}

    def take(self, message: bytes) -> None:
        """Note one event; what is none, or has another nonce, breaks the run."""
        try:
            nonce, kind, *rest = json.loads(message[1:])
            if nonce != self.nonce:
                raise ValueError("another nonce")
            self._events[kind](*rest)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            self.give_up(f"the report is malformed: {error}")

    def _plan(self, names: list[str]) -> None:
        self._names, self.count = [str(name) for name in names], len(names)

    def _test(self, number: int, status: str, message: str) -> None:
        if number != len(self._tests):
            raise ValueError("a test out of turn")
        self._tests.append((failure(message) if status == "runtime_error" else _VERDICTS[status], message))

    def _end(self, tainted: bool) -> None:
        self._tainted, self.over = tainted, True

    def give_up(self, why: str, theirs: bool = False) -> None:
        self._broken, self.over = ("runtime_error" if theirs else "sandbox_error", why), True

    def _needs_real(self, why: str) -> None:
        self._real, self.over = str(why), True

    def stopped(self, verdict: str, reason: str) -> None:
        """The program has ended in the test that was running."""
        self._tests.append((verdict, reason))
        self.over = True

    def done(self) -> SuiteRun:
        certain = [verdict for verdict, _ in self._tests if verdict not in ("passed", "not_run")]
        if self._real:
            return replace(nothing("sandbox_error", "the tests need the program's real objects"), real=self._real)
        if self._broken[0] and not certain:
            return nothing(*self._broken, max(self.count, 1))
        reasons = {number: self._why(number) for number in range(self.count)}
        trust: Trust = "in_process" if self._tainted else "certain"
        return replace(whole([verdict for verdict, _ in self._tests], reasons, self.count, trust), cpu_s=self.cpu_s)

    def _why(self, number: int) -> str:
        name = self._names[number] if self._names and number < len(self._names) else ""
        message = self._tests[number][1] if number < len(self._tests) else "it was not run"
        return f"{name[:200]}: {message}" if name else message


_VERDICTS = {"passed": "passed", "wrong_answer": "wrong_answer", "skipped": "not_run"}
