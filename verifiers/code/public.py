"""Which tests of a reference its solver may see: the public ones, which come first.

`"public": n` in a reference of our own kinds says that the first n of its `tests` are public; rows of LiveCodeBench and
CodeContests say it in their own way. Without any of that no test is public: what is hidden stays hidden.
"""

import json
from typing import Any

from verifiers.code import formats

SHOWN = 2000
"""Characters of an input or an output that a text for a model shows."""


def public_part(reference: str) -> str:
    """The reference with its public tests alone and without its solution; '' when there are none."""
    try:
        row = json.loads(reference)
        suite = formats.ours(row)
    except (ValueError, RecursionError):
        return ""
    tests, count = suite.get("tests"), _count(row)
    if not isinstance(tests, list) or not tests[:count]:
        return ""
    hidden = ("solution", "public")
    return json.dumps({**{key: suite[key] for key in suite if key not in hidden}, "tests": tests[:count]})


def _count(row: Any) -> int:
    if not isinstance(row, dict):
        return 0
    given = row.get("public", row.get("public_test_cases", row.get("public_tests")))
    if isinstance(given, str) and "public" not in row:
        given = json.loads(given)
    if isinstance(given, dict):
        given = given.get("input")
    count = len(given) if isinstance(given, list) else given
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


def shown(reference: str, number: int) -> str:
    """Test `number` (from 0) of a reference as a text for whoever may see it."""
    suite = formats.ours(json.loads(reference))
    test = suite["tests"][number]
    if isinstance(test, str):
        return _cut(test)
    if "args" in test or "kwargs" in test or suite["kind"] == "call":
        given = [*map(repr, test.get("args", [])), *(f"{k}={v!r}" for k, v in test.get("kwargs", {}).items())]
        wanted = test.get("any_of", [test.get("expected")])
        return f"{suite.get('entry')}({_cut(', '.join(given))}) has to return {_cut(' or '.join(map(repr, wanted)))}"
    stdin, stdout = test.get("stdin", test.get("input", "")), test.get("stdout", test.get("output", ""))
    return f"Input:\n{_cut(_text(stdin))}\nExpected output:\n{_cut(_text(stdout))}"


def _text(lines: Any) -> str:
    return "\n".join(map(str, lines)) if isinstance(lines, list) else str(lines)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"
