"""What programs do on the inputs of a suite, without a word about what is right: for clustering and for quorums."""

from typing import Any

from verifiers.code import compare, extract
from verifiers.code.suites import CallTest, StdioTest, Suite
from verifiers.sandbox import OPAQUE, Call, Run, Stdin


def program(suite: Suite, response: str) -> str:
    """The program of a response with what belongs before it; '' without one. For suites of stdio and call."""
    found = extract.program(response, suite.language, suite.blocks)
    return f"{suite.prelude}\n{found.code}" if found and suite.prelude else found.code if found else ""


def as_input(suite: Suite, test: StdioTest | CallTest) -> Stdin | Call:
    """What of a test enters the sandbox."""
    return Stdin(test.stdin) if isinstance(test, StdioTest) else Call(suite.entry, test.args, test.kwargs)


def right(suite: Suite, run: Run, test: StdioTest | CallTest) -> bool:
    """Did the program end well, with what the test expects? A suite's special judge is not asked."""
    if run.outcome != "ran":
        return False
    if isinstance(test, StdioTest):
        return compare.same_output(run.stdout, test.stdout, suite.comparison)
    return any(compare.same_value(run.result, value, suite.comparison.tolerance) for value in test.expected)


def given(run: Run) -> str | None:
    """What a run gave, as a text that is equal for equal outputs; None when it did not end well.

    Blanks at the ends of lines do not count, a tuple is a list, 1.0 is 1, sets have no order.
    """
    if run.outcome != "ran":
        return None
    if run.result is not None:
        return "opaque" if run.result is OPAQUE else _plain(run.result)
    lines = [line.rstrip() for line in run.stdout.decode("utf-8", "backslashreplace").rstrip().split("\n")]
    return "\n".join(["printed", *lines])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{_plain(key)}:{_plain(held)}" for key, held in value.items())) + "}"
    if isinstance(value, (set, frozenset)):
        return "<" + ",".join(sorted(map(_plain, value))) + ">"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_plain, value)) + "]"
    return f"{value:.9g}" if isinstance(value, float) else repr(value)
