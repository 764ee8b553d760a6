"""The tests in a reference: JSON of our own kinds, or a row of a known benchmark (`verifiers.code.formats`).

    {"language": "python", "kind": "stdio", "tests": [{"stdin": "1 2\\n", "stdout": "3\\n"}], "limits": {"cpu_s": 2}}
    {"kind": "call", "entry": "add", "tests": [{"args": [1, 2], "expected": 3}]}
    {"kind": "asserts", "setup": "import math", "tests": ["assert add(1, 2) == 3"]}
    {"kind": "check_function", "entry": "add", "code": "def check(candidate): ..."}
    {"kind": "script", "code": "assert add(1, 2) == 3"}                 one test: it runs to its end
    {"kind": "unittest", "code": "from solution import add\\n..."}       unittest or pytest, by what is in it
    {"kind": "output_literal", "code": "def f(x): ...", "input": "3"}   the response is the value of f(3), not code

Further keys: `limits` (of `verifiers.sandbox.Limits`), `compare` ("exact", "trailing", "tokens"), `tolerance` (a number
or {"absolute", "relative"}), `run` ("all" or "first_failure"; left out: all of up to ALL tests), `judge` (Python code
with `judge(stdin, expected, got) -> bool`, run in a sandbox of its own), `blocks` (which fence of several counts),
`prelude` (code that is put before the program), `solution` (code that has to pass: `load` checks it).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from verifiers.cell.languages import key_of
from verifiers.code import compare, extract, formats
from verifiers.code.compare import Comparison, Tolerance

ALL = 32
"""Up to so many tests all are run; of more, those up to the first failure."""

CHARACTERS = 200_000_000
"""The longest reference that is read."""

Kind = Literal["stdio", "call", "asserts", "check_function", "script", "unittest", "output_literal"]


@dataclass(frozen=True, slots=True)
class StdioTest:
    """What is read from stdin, and what has to be written to stdout."""

    stdin: bytes
    stdout: bytes


@dataclass(frozen=True, slots=True)
class CallTest:
    """Arguments, and the values of which one has to be returned."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    expected: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """What a reference asks for. `tests` are those of stdio, call and asserts; `code` that of the other kinds."""

    kind: Kind
    language: str = "python"
    tests: tuple[Any, ...] = ()
    entry: str = ""
    code: str = ""
    setup: str = ""
    module: str = "solution"
    comparison: Comparison = field(default_factory=Comparison)
    limits: Mapping[str, Any] = field(default_factory=dict)
    run_all: bool = True
    judge: str = ""
    blocks: extract.Policy = "last"
    prelude: str = ""
    completes: str = ""
    solution: str = ""


class NoTests(ValueError):
    """A reference that can be read and has nothing to run."""


def parse(reference: str) -> Suite:
    """The suite of a reference. ValueError with one sentence for what is malformed, NoTests for an empty one."""
    row = formats.ours(_object(reference))
    kind: Any = row.get("kind")
    if kind not in get_args(Kind):
        raise ValueError(f"the tests are of no known kind ({compare.cut(repr(kind))}): use {', '.join(get_args(Kind))}")
    suite = _READERS[kind](row, _common(row, kind))
    if not suite.tests and not suite.code.strip():
        raise NoTests("the reference has no tests")
    run = row.get("run")
    if run not in (None, "all", "first_failure"):
        raise ValueError('"run" is "all" or "first_failure"')
    return replace(suite, run_all=run == "all" or (run is None and len(suite.tests) <= ALL))


def _object(reference: str) -> Any:
    if len(reference) > CHARACTERS:
        raise ValueError(f"the reference is longer than {CHARACTERS} characters")
    try:
        row = json.loads(reference)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the reference is no JSON: {error}") from error
    if not isinstance(row, (dict, list)):
        raise ValueError("the reference is no JSON object")
    return row


def _common(row: Mapping[str, Any], kind: Kind) -> Suite:
    limits = row.get("limits") or {}
    if not isinstance(limits, dict):
        raise ValueError('"limits" is no object')
    language = key_of(text(row, "language", "python"))
    if kind not in ("stdio",) and language != "python":
        raise ValueError(f'tests of the kind "{kind}" are for Python; "{language}" is judged with "stdio"')
    return Suite(
        kind, language, limits=limits, comparison=_comparison(row), judge=text(row, "judge"),
        blocks=_one_of(row, "blocks", get_args(extract.Policy), "last"), prelude=text(row, "prelude"),
        completes=text(row, "completes"), solution=text(row, "solution"), setup=text(row, "setup"),
        module=_module(row))


def _module(row: Mapping[str, Any]) -> str:
    name = text(row, "module", "solution")
    if not name.isidentifier():
        raise ValueError('"module" is no name of a module')
    return name


def text(row: Mapping[str, Any], key: str, default: str = "") -> str:
    """A text of the row; ValueError for anything else."""
    value = row.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ValueError(f'"{key}" is no text')
    return value


def _one_of(row: Mapping[str, Any], key: str, choices: tuple[str, ...], default: str) -> Any:
    value = row.get(key, default)
    if value not in choices:
        raise ValueError(f'"{key}" is one of {", ".join(choices)}')
    return value


def _comparison(row: Mapping[str, Any]) -> Comparison:
    policy = _one_of(row, "compare", get_args(compare.Policy), "trailing")
    given = row.get("tolerance")
    if given is None:
        return Comparison(policy)
    if isinstance(given, dict) and given.keys() <= {"absolute", "relative"} and all(map(_is_size, given.values())):
        return Comparison(policy, Tolerance(given.get("absolute", 0.0), given.get("relative", 0.0)))
    if not _is_size(given):
        raise ValueError('"tolerance" is a number, or {"absolute": …, "relative": …}')
    return Comparison(policy, Tolerance(given, given))


def _is_size(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


# -- the kinds -------------------------------------------------------------------------------------------------------


def _stdio(row: Mapping[str, Any], suite: Suite) -> Suite:
    return replace(suite, tests=tuple(_stdio_test(test, n) for n, test in enumerate(_tests(row), 1)))


def _stdio_test(test: Any, number: int) -> StdioTest:
    if not isinstance(test, dict):
        raise ValueError(f"test {number} is no object")
    stdout = _bytes(test, number, "stdout", "output")
    if stdout is None:
        raise ValueError(f'test {number} has no "stdout"')
    return StdioTest(_bytes(test, number, "stdin", "input") or b"", stdout)


def _bytes(test: Mapping[str, Any], number: int, *keys: str) -> bytes | None:
    """The text under the first key that is there, or the Base64 under it with `_b64`."""
    for key in keys:
        if (coded := test.get(f"{key}_b64")) is not None:
            try:
                return base64.b64decode(coded, validate=True)
            except (binascii.Error, TypeError, ValueError) as error:
                raise ValueError(f'"{key}_b64" of test {number} is no Base64') from error
        if (value := test.get(key)) is not None:
            return _joined(value, number, key).encode("utf-8", "surrogatepass")
    return None


def _joined(value: Any, number: int, key: str) -> str:
    """Some data sets give lists of lines."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise ValueError(f'"{key}" of test {number} is no text')
    return value


def _call(row: Mapping[str, Any], suite: Suite) -> Suite:
    entry = text(row, "entry") or text(row, "entry_point")
    if not entry or not all(part.isidentifier() for part in entry.split(".")):
        raise ValueError('"entry" names no function')
    tests = tuple(_call_test(test, n) for n, test in enumerate(_tests(row), 1))
    return replace(suite, entry=entry, tests=tests)


def _call_test(test: Any, number: int) -> CallTest:
    if not isinstance(test, dict):
        raise ValueError(f"test {number} is no object")
    args, kwargs = test.get("args", []), test.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise ValueError(f'"args" of test {number} is no list, or "kwargs" no object')
    if "expected" not in test and "any_of" not in test:
        raise ValueError(f'test {number} has no "expected"')
    any_of = test["any_of"] if "any_of" in test else [test["expected"]]
    if not isinstance(any_of, list) or not any_of:
        raise ValueError(f'"any_of" of test {number} is no list of values')
    return CallTest(tuple(args), kwargs, tuple(any_of))


def _tests(row: Mapping[str, Any]) -> list[Any]:
    tests = row.get("tests")
    if not isinstance(tests, list):
        raise ValueError('"tests" is no list')
    return tests


def _asserts(row: Mapping[str, Any], suite: Suite) -> Suite:
    tests = _tests(row)
    if not all(isinstance(test, str) and test.strip() for test in tests):
        raise ValueError('"tests" is no list of assert statements')
    return replace(suite, tests=tuple(tests))


def _check_function(row: Mapping[str, Any], suite: Suite) -> Suite:
    entry = text(row, "entry") or text(row, "entry_point")
    if not all(part.isidentifier() for part in entry.split(".")):
        raise ValueError('"entry" names no function')
    return replace(_script(row, suite), entry=entry)


def _script(row: Mapping[str, Any], suite: Suite) -> Suite:
    code = row.get("code", row.get("tests"))
    if isinstance(code, list) and all(isinstance(part, str) for part in code):
        code = "\n".join(code)
    if not isinstance(code, str):
        raise ValueError('"code" is no text')
    return replace(suite, code=code)


def _output_literal(row: Mapping[str, Any], suite: Suite) -> Suite:
    code, given, entry = text(row, "code"), row.get("input"), text(row, "entry", "f")
    if not isinstance(given, str) or not entry.isidentifier():
        raise ValueError('"input" is no text, or "entry" no name of a function')
    return replace(suite, code=code, setup=given, entry=entry)


_READERS = {"stdio": _stdio, "call": _call, "asserts": _asserts, "check_function": _check_function, "script": _script,
            "unittest": _script, "output_literal": _output_literal}
