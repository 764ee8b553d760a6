"""Programs are known by what they do: behaviour, failed public tests, failed generated tests."""

import json
from typing import Any

import pytest

from factory.measures import execution as module
from factory.measures.execution import execution
from factory.records import Completion, Problem, Request, Trace
from verifiers.code_tests import missing

MISSING = missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "a sandbox is here")

DOUBLE = {"kind": "stdio", "public": 2, "limits": {"cpu_s": 0.5}, "tests": [
    {"stdin": "0\n", "stdout": "0\n"}, {"stdin": "2\n", "stdout": "4\n"}, {"stdin": "5\n", "stdout": "10\n"}]}
CALLED = {"kind": "call", "entry": "f", "public": 1, "tests": [{"args": [2], "expected": 4}]}
GENERATED = [{"stdin": "0\n"}, {"stdin": "2\n"}, {"stdin": "7\n", "stdout": "14\n"}]


def problem(reference: Any = DOUBLE, generated: Any = GENERATED, verifier: str = "code_tests") -> Problem:
    return Problem("Double it.", json.dumps(reference), verifier, meta=json.dumps({"generated": generated}))


def trace(code: str, of: Problem | None = None, fence: str = "```python\n{}\n```") -> Trace:
    response = fence.format(code)
    return Trace(Request((of or problem()).id, "t", "s", 0), Completion("", response, response, "stop"))


def behaviour(code: str, of: Problem | None = None) -> float:
    return execution(of or problem(), trace(code, of))


DOUBLED, SQUARED, PLUS = "print(int(input()) * 2)", "print(int(input()) ** 2)", "print(int(input()) + 2)"


def test_programs_that_give_the_same_outputs_have_the_same_behaviour() -> None:
    assert behaviour(DOUBLED) == behaviour("n = int(input())\nprint(n + n, end='')") >= 0
    assert len({behaviour(DOUBLED), behaviour(SQUARED), behaviour(PLUS), behaviour("print(1 / 0)")}) == 4
    assert behaviour(DOUBLED) == int(behaviour(DOUBLED)) < 2**52


def test_without_generated_inputs_the_public_ones_are_run_and_never_the_hidden_ones() -> None:
    bare = problem(generated=[])
    assert behaviour(DOUBLED, bare) == behaviour(SQUARED, bare) != behaviour(PLUS, bare)
    assert behaviour(DOUBLED) != behaviour(SQUARED)


def test_failed_public_tests_are_a_share_of_them() -> None:
    shares = [execution(problem(), trace(code), of="public_failed") for code in (DOUBLED, SQUARED, PLUS, "1 / 0")]
    assert shares == [0.0, 0.0, 0.5, 1.0]


def test_a_generated_test_fails_by_another_output_or_by_not_ending_well() -> None:
    shares = [execution(problem(), trace(code), of="generated_failed") for code in (DOUBLED, SQUARED, "1 / 0")]
    assert shares == [0.0, pytest.approx(1 / 3), 1.0]


def test_a_program_that_hangs_is_not_run_on_everything() -> None:
    many = problem(generated=[{"stdin": f"{n}\n"} for n in range(50)])
    assert execution(many, trace("while True: pass", many), of="generated_failed") == 1.0


def test_functions_are_called_and_values_are_compared_as_values() -> None:
    of = problem(CALLED, [{"args": [[3, 1]]}, {"args": [2], "expected": 4.0}])
    same = [execution(of, trace(f"def f(x): return {value}", of)) for value in ("[x, {1, 2}]", "(x, {2, 1})")]
    assert same[0] == same[1]
    assert behaviour("def f(x): return x", of) != same[0]
    assert execution(of, trace("def f(x): return 2 * x", of), of="generated_failed") == 0.0
    assert execution(of, trace("def f(x): return lambda: 1", of), of="generated_failed") == 0.5


@pytest.mark.parametrize(("of", "text"), [
    (problem(), ""), (problem(verifier="math_equal"), f"```python\n{DOUBLED}\n```"),
    (Problem("x", "no JSON", "code_tests"), f"```python\n{DOUBLED}\n```"), (problem(), "```java\nclass A {}\n```")])
def test_where_there_is_nothing_to_run_there_is_no_behaviour(of: Problem, text: str) -> None:
    assert execution(of, trace(text, of, "{}")) == -1.0


def test_a_shard_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    of = problem(generated=[{"stdin": "123\n"}])
    pairs = [(of, trace(code, of)) for code in (DOUBLED, SQUARED, DOUBLED)]
    module.run_ahead(pairs)
    monkeypatch.setattr(module, "sandboxes", None)
    assert execution(*pairs[0]) == execution(*pairs[2]) != execution(*pairs[1])
    assert execution(*pairs[1], of="generated_failed") == 0.0
