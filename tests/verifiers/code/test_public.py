"""Only what is marked as public is public, and a suite that grows keeps what it had."""

import json
from typing import Any

import pytest

from verifiers.code.extension import Extension
from verifiers.code.public import public_part, shown
from verifiers.code.suites import parse
from verifiers.sandbox import OPAQUE, Run

TESTS = [{"stdin": f"{n}\n", "stdout": f"{2 * n}\n"} for n in range(3)]
STDIO = {"kind": "stdio", "tests": TESTS, "limits": {"cpu_s": 1.0}, "solution": "print(2 * int(input()))"}
CALL = {"kind": "call", "entry": "f", "public": 1, "tests": [{"args": [1], "kwargs": {"b": "x"}, "expected": [2]},
                                                             {"args": [5], "expected": 3}]}
LIVE = {"public_test_cases": json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}]),
        "private_test_cases": json.dumps([{"input": "9", "output": "18", "testtype": "stdin"}])}
CONTESTS = {"public_tests": {"input": ["1"], "output": ["2"]}, "private_tests": {"input": ["9"], "output": ["18"]},
            "generated_tests": {"input": ["8"], "output": ["16"]}}


def public(reference: Any) -> list[Any]:
    part = public_part(json.dumps(reference))
    return list(json.loads(part)["tests"]) if part else []


@pytest.mark.parametrize(("count", "tests"), [
    (0, []), (1, TESTS[:1]), (2, TESTS[:2]), (9, TESTS), (-1, []), (True, []), ("2", []), (None, [])])
def test_the_first_so_many_are_public(count: Any, tests: list[Any]) -> None:
    assert public({**STDIO, "public": count}) == tests


def test_without_a_mark_nothing_is_public() -> None:
    assert public_part(json.dumps(STDIO)) == public_part("no JSON") == public_part("[1]") == public_part("{}") == ""
    assert public_part(json.dumps({"kind": "script", "code": "assert f(1)", "public": 1})) == ""


@pytest.mark.parametrize("row", [LIVE, CONTESTS])
def test_rows_of_benchmarks_say_it_in_their_way(row: dict[str, Any]) -> None:
    assert len(public(row)) == 1
    assert "18" not in public_part(json.dumps(row)) and "16" not in public_part(json.dumps(row))
    assert len(parse(public_part(json.dumps(row))).tests) == 1


def test_the_public_part_is_a_reference_without_the_solution() -> None:
    part = public_part(json.dumps({**STDIO, "public": 2}))
    assert len(parse(part).tests) == 2 and parse(part).limits == {"cpu_s": 1.0}
    assert "solution" not in part and "print" not in part


def test_a_test_is_shown_as_a_solver_reads_it() -> None:
    assert shown(json.dumps(STDIO), 1) == "Input:\n1\n\nExpected output:\n2\n"
    assert shown(json.dumps(CALL), 0) == "f(1, b='x') has to return [2]"
    assert shown(json.dumps({"kind": "asserts", "tests": ["assert f(1) == 2"]}), 0) == "assert f(1) == 2"
    long = shown(json.dumps({"kind": "stdio", "tests": [{"stdin": "x" * 9999, "stdout": ""}]}), 0)
    assert len(long) < 2100 and "… (9999 characters)" in long


def test_a_suite_grows_behind_its_public_tests() -> None:
    more = Extension.of(json.dumps({**STDIO, "public": 1}))
    whole = json.loads(more.reference([{"stdin": "7\n", "stdout": "14\n"}], "print(1)"))
    assert whole["tests"] == [TESTS[0], {"stdin": "7\n", "stdout": "14\n"}]
    assert (whole["public"], whole["solution"], whole["limits"]) == (1, "print(1)", {"cpu_s": 1.0})
    assert more.suite([]).tests == ()
    assert (more.as_text(TESTS[0]), more.as_test(b"7\n"), more.as_test(b"\xff")) == (b"0\n", {"stdin": "7\n"}, None)
    assert more.expectation(Run("ran", b"14\n")) == {"stdout": "14\n"}
    assert more.expectation(Run("ran", b"\xff")) is None


def test_inputs_of_functions_are_json() -> None:
    more = Extension.of(json.dumps(CALL))
    assert more.as_text({"args": [1, "a"]}) == b'[1, "a"]\n'
    assert [more.as_test(text) for text in (b"[[1]]", b"{}", b"1", b"nonsense", b"[" * 9999)] == [
        {"args": [[1]]}, None, None, None, None]
    values = [Run("ran", result=value) for value in ([1, (2,)], None, {1, 2}, float("nan"), OPAQUE, b"x")]
    assert [more.expectation(run) for run in values] == [{"expected": [1, (2,)]}, {"expected": None}, *[None] * 4]


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="of the kind asserts, to which none can be added"):
        Extension.of('{"kind": "asserts", "tests": ["assert f(1)"]}')
