"""Programs of our own, judged by tests of every kind; nothing here is of a known benchmark."""

import base64
import json
import pickle
import random
import zlib
from pathlib import Path
from typing import Any

import pytest

from verifiers import Case, Pool, Verdict, sandbox
from verifiers.cell import level
from verifiers.code import rpc
from verifiers.code_tests import code_tests, missing, own_answer, planted, time_needed
from verifiers.planted import plant


def judged(program: str, reference: Any, fence: str = "python") -> tuple[Verdict, dict[str, Any]]:
    verdict = code_tests(f"Here:\n```{fence}\n{program}\n```\n", json.dumps(reference))
    return verdict, json.loads(verdict.detail)


def verdict_of(program: str, reference: Any) -> str:
    return str(judged(program, reference)[1]["verdict"])


ADD = "def add(a, b):\n    return a + b"
STDIO = {"kind": "stdio", "tests": [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "5 6\n", "stdout": "11\n"}]}
CALL = {"kind": "call", "entry": "add", "tests": [{"args": [1, 2], "expected": 3}, {"args": [5, 6], "expected": 11}]}
ASSERTS = {"kind": "asserts", "tests": ["assert add(1, 2) == 3", "assert add(5, 6) == 11"]}
UNIT = {"kind": "unittest", "code": """
import unittest
from solution import add
class Adds(unittest.TestCase):
    def test_small(self): self.assertEqual(add(1, 2), 3)
    def test_large(self): self.assertTrue(add(5, 6) == 11)
"""}
PYTEST = {"kind": "unittest", "code": """
import pytest
import solution
@pytest.mark.parametrize("a, b, c", [(1, 2, 3), (5, 6, 11)])
def test_adds(a, b, c):
    assert solution.add(a, b) == c
def test_refuses():
    with pytest.raises(TypeError):
        solution.add(1, "2")
"""}
CHECK = {"kind": "check_function", "entry": "add",
         "code": "def check(f):\n    assert f(1, 2) == 3\n    assert f(5, 6) == 11"}
SCRIPT = {"kind": "script", "code": "for a, b, c in [(1, 2, 3), (5, 6, 11)]:\n    assert add(a, b) == c"}
OF_FUNCTIONS = {"call": CALL, "asserts": ASSERTS, "unittest": UNIT, "pytest": PYTEST, "check": CHECK, "script": SCRIPT}


def test_this_machine_can_run_programs() -> None:
    assert missing() == ""


# -- kinds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OF_FUNCTIONS)
def test_a_function_passes_and_fails_by_each_kind(kind: str) -> None:
    good, detail = judged(ADD, OF_FUNCTIONS[kind])
    assert (good.status, good.grade, detail["verdict"], detail["trust"]) == ("correct", "executed", "passed", "certain")
    assert set(detail["tests"]) == {"passed"}
    bad, detail = judged(ADD.replace("+", "*"), OF_FUNCTIONS[kind])
    assert (bad.status, detail["verdict"]) == ("wrong", "wrong_answer")


@pytest.mark.parametrize("kind", OF_FUNCTIONS)
@pytest.mark.parametrize(("program", "verdict"), [
    ("def add(a, b) return", "compile_error"),
    ("def plus(a, b):\n    return a + b", "runtime_error"),
    ("raise ValueError", "runtime_error"),
    ("import sys\nsys.exit(0)", "runtime_error"),
    ("import os\nos._exit(0)", "runtime_error"),
    ("def add(a, b):\n    raise KeyError", "runtime_error"),
    ("import os\ndef add(a, b):\n    os._exit(0)", "runtime_error"),
    ("class Yes:\n    def __eq__(self, other):\n        return True\ndef add(a, b):\n    return Yes()", "wrong_answer"),
    ("class I(int):\n    def __eq__(self, o):\n        return True\ndef add(a, b):\n    return I(0)", "wrong_answer"),
])
def test_what_does_not_pass_has_the_same_name_whatever_the_kind(kind: str, program: str, verdict: str) -> None:
    assert verdict_of(program, OF_FUNCTIONS[kind]) == verdict


def test_stdin_to_stdout() -> None:
    assert verdict_of("print(sum(map(int, input().split())))", STDIO) == "passed"
    verdict, detail = judged("print(3)", STDIO)
    assert detail["tests"] == ["passed", "wrong_answer"]
    assert verdict.reason == "test 2 of 2: got '3', expected '11'"


def test_what_a_call_computes_is_the_answer_to_be_predicted() -> None:
    reference = {"kind": "output_literal", "code": "def f(xs):\n    return tuple(sorted(xs)), {1}", "input": "[3, 1]"}
    for said, status in (("((1, 3), {1})", "correct"), ("([1, 3], {1})", "wrong"), ("hard to say", "undecided")):
        assert code_tests(rf"So \boxed{{{said}}}", json.dumps(reference)).status == status
    broken = {**reference, "code": "def f(xs):\n    return 1 / 0"}
    assert code_tests("1", json.dumps(broken)).status == "undecided"


def test_a_class_solution_is_called_by_the_name_of_its_method() -> None:
    assert verdict_of("class Solution:\n    def add(self, a, b):\n        return a + b", CALL) == "passed"


def test_the_first_failure_ends_a_long_suite_and_what_was_not_run_says_so() -> None:
    tests = [{"stdin": "", "stdout": text} for text in ("1", "2", "1")]
    stopped = judged("print(1)", {"kind": "stdio", "tests": tests, "run": "first_failure"})[1]
    assert stopped["tests"] == ["passed", "wrong_answer", "not_run"]
    assert judged("print(1)", {"kind": "stdio", "tests": tests})[1]["tests"] == ["passed", "wrong_answer", "passed"]
    assert judged("print(1)", {"kind": "stdio", "tests": tests * 20})[1]["tests"][2:4] == ["not_run", "not_run"]


def test_a_program_that_hangs_costs_two_tests_of_many() -> None:
    tests = [{"stdin": "", "stdout": "1"}] * 9
    reference = {"kind": "stdio", "tests": tests, "limits": {"cpu_s": 0.2, "wall_s": 0.6}}
    assert judged("while True: pass", reference)[1]["tests"] == ["timeout"] * 2 + ["not_run"] * 7


@pytest.mark.parametrize("kind", ["asserts", "unittest"])
def test_a_hanging_function_and_a_sleeping_one_are_timeouts(kind: str) -> None:
    limits = {"limits": {"cpu_s": 0.3, "wall_s": 0.6}}
    for body in ("while True: pass", "import time; time.sleep(60)"):
        verdict, detail = judged(f"def add(a, b):\n    {body}", {**OF_FUNCTIONS[kind], **limits})
        assert (verdict.status, detail["verdict"], detail["tests"][1:]) == ("wrong", "timeout", ["not_run"])


def test_memory_is_a_verdict_of_its_own() -> None:
    hog = "def add(a, b):\n    return len(bytearray(10 ** 9))"
    for kind in ("call", "asserts"):
        assert verdict_of(hog, {**OF_FUNCTIONS[kind], "limits": {"memory_mb": 128}}) == "memory_limit"


# -- comparison and judges -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "printed", "passes"), [
    ("exact", "a b\n", True), ("exact", "a b \n", False), ("trailing", "a b \r\n\n", True), ("trailing", "a  b", False),
    ("tokens", "a\n  b", True), ("tokens", "a b b", False)])
def test_blanks_count_by_the_policy(policy: str, printed: str, passes: bool) -> None:
    reference = {"kind": "stdio", "compare": policy, "tests": [{"stdout": "a b\n"}]}
    assert (verdict_of(f"print({printed!r}, end='')", reference) == "passed") is passes


def test_bytes_that_are_no_text_are_compared_as_bytes() -> None:
    data = bytes(range(256))
    reference = {"kind": "stdio", "compare": "exact", "tests": [
        {"stdin_b64": base64.b64encode(data).decode(), "stdout_b64": base64.b64encode(data[::-1]).decode()}]}
    program = "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    assert verdict_of(program, reference) == "passed"
    assert verdict_of(program.replace("[::-1]", ""), reference) == "wrong_answer"


def test_a_special_judge_runs_in_a_sandbox_and_decides() -> None:
    judge = "def judge(stdin, expected, got):\n    return set(got.split()) == set(expected.split()), 'other words'"
    reference = {"kind": "stdio", "judge": judge, "tests": [{"stdout": "b a"}]}
    assert verdict_of("print('a b')", reference) == "passed"
    verdict, detail = judged("print('a')", reference)
    assert (detail["verdict"], verdict.reason) == ("wrong_answer", "test 1 of 1: other words")
    for broken in ("def judge(*args):\n    return 1", "def judge(*args):\n    raise ValueError", "def judge(", "x = 1"):
        assert judged("print('a b')", {**reference, "judge": broken})[0].status == "undecided"


def test_nan_and_infinity_equal_nothing() -> None:
    reference = {"kind": "call", "entry": "f", "tests": [{"args": [], "expected": 1.5}]}
    for value in ("float('nan')", "float('inf')", "[1.5]", "True", "'1.5'", "None"):
        assert verdict_of(f"def f():\n    return {value}", reference) == "wrong_answer"
    assert verdict_of("def f():\n    return 1.5 + 1e-12", reference) == "passed"


# -- benchmarks' rows ------------------------------------------------------------------------------------------------


def packed(cases: list[dict[str, str]]) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


CASES = [{"input": "1 2", "output": "3", "testtype": "stdin"}]
CALLS = [{"input": "1\n2", "output": "3", "testtype": "functional"}]
ROWS: dict[str, tuple[str, Any]] = {
    "LiveCodeBench": ("print(sum(map(int, input().split())))",
                      {"public_test_cases": json.dumps(CASES), "private_test_cases": packed(CASES)}),
    "LiveCodeBench, functions": ("class Solution:\n    def add(self, a, b):\n        return a + b", {
        "public_test_cases": CALLS, "private_test_cases": [], "metadata": json.dumps({"func_name": "add"})}),
    "HumanEval": (ADD, {"prompt": "import math\n\ndef add(a, b):\n    '''Add.'''\n", "entry_point": "add",
                        "test": "def check(f):\n    assert f(1, 2) == 3", "canonical_solution": "    return a + b\n"}),
    "HumanEval, completed": ("    return a + b", {
        "prompt": "def add(a, b):\n    '''Add.'''\n", "entry_point": "add",
        "test": "def check(f):\n    assert f(1, 2) == 3"}),
    "MBPP": (ADD, {"test_list": ["assert add(1, 2) == 3"], "test_setup_code": "", "code": ADD}),
    "MBPP+": (ADD, {"test": "import numpy as np\nassert np.allclose(add(1, 2), 3)", "code": ADD, "test_list": []}),
    "APPS": ("print(sum(map(int, input().split())))", {
        "input_output": json.dumps({"inputs": ["1 2\n"], "outputs": ["3\n"]})}),
    "APPS, functions": (ADD, {"inputs": [[1, 2]], "outputs": [[3]], "fn_name": "add"}),
    "CodeContests": ("print(sum(map(int, input().split())))", {
        "public_tests": {"input": ["1 2\n"], "output": ["3\n"]}, "private_tests": {"input": [], "output": []},
        "time_limit": {"seconds": 2, "nanos": 500_000_000}, "memory_limit_bytes": 256_000_000}),
    "cases": ("print(3)", [{"input": "1 2", "output": "3"}]), "assert statements": (ADD, ["assert add(1, 2) == 3"]),
    "a row with tests": (ADD, {
        "answer": ADD, "tests": {"kind": "asserts", "setup": "", "asserts": ["assert add(1, 2) == 3"]}}),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_benchmarks_are_references_as_they_are(name: str) -> None:
    program, row = ROWS[name]
    assert verdict_of(program, row) == "passed"
    other = program.replace("+", "-").replace("sum", "min").replace("print(3)", "print(4)")
    assert verdict_of(other, row) == "wrong_answer"


def test_a_pickle_is_read_and_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "touched",)
    row = {"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()}
    assert judged(ADD, row)[0].status == "undecided"
    assert not list(tmp_path.iterdir())


# -- what is no program, and what is no test -------------------------------------------------------------------------


@pytest.mark.parametrize(("reference", "says"), [
    ("", "no JSON"), ("[" * 100_000, "no JSON"), ("7", "no JSON object"), ("{}", 'no "kind"'),
    ('{"kind": "fuzz"}', "no known kind"),
    ('{"kind": "stdio"}', '"tests" is no list'), ('{"kind": "stdio", "tests": []}', "no tests"), ("[]", "no tests"),
    ('{"kind": "stdio", "tests": [3]}', "test 1 is no object"), ('{"kind": "stdio", "tests": [{}]}', 'no "stdout"'),
    ('{"kind": "stdio", "tests": [{"stdout": 3}]}', "no text"),
    ('{"kind": "call", "tests": [{}]}', '"entry" names no function'),
    ('{"kind": "stdio", "tests": [{"stdout_b64": "?"}]}', "no Base64"),
    ('{"kind": "call", "entry": "f", "tests": [{"args": 3, "expected": 3}]}', "is no list"),
    ('{"kind": "call", "entry": "f", "tests": [{"args": []}]}', 'no "expected"'),
    ('{"kind": "asserts", "tests": ["", "x"]}', "no list of assert"), ('{"kind": "unittest", "code": " "}', "no tests"),
    ('{"kind": "stdio", "tests": [{"stdout": ""}], "limits": {"cpu": 3}}', "there is no limit 'cpu'"),
    ('{"kind": "stdio", "tests": [{"stdout": ""}], "limits": {"cpu_s": "3"}}', "must be a number"),
    ('{"kind": "stdio", "tests": [{"stdout": ""}], "compare": "roughly"}', '"compare" is one of'),
    ('{"kind": "stdio", "tests": [{"stdout": ""}], "run": "some"}', '"run" is'),
    ('{"kind": "stdio", "tests": [{"stdout": ""}], "language": "klingon"}', "klingon"),
    ('{"kind": "call", "entry": "f", "tests": [{"expected": 1}], "language": "cpp"}', "for Python"),
    ('{"inputs": [1], "outputs": []}', "no lists of one length"),
    ('{"private_test_cases": "AAAA"}', "cannot be unpacked"),
    ('{"kind": "unittest", "code": "def test(:"}', "SyntaxError"),
    ('{"kind": "unittest", "code": "x = 1"}', "no tests"),
    ('{"kind": "unittest", "code": "import nowhere_to_be_found"}', "nowhere_to_be_found"),
])
def test_a_reference_that_cannot_be_used_is_undecided_with_one_sentence(reference: str, says: str) -> None:
    verdict = code_tests(f"```python\n{ADD}\n```", reference)
    detail = json.loads(verdict.detail)
    assert (verdict.status, detail["verdict"]) == ("undecided", "sandbox_error")
    assert says in verdict.reason and "\n" not in verdict.reason


@pytest.mark.parametrize("response", [
    "", "<think>\n```python\nprint(1)\n```", "```text\nno program\n```", "```python\n\n```"])
def test_a_response_without_a_program_is_undecided(response: str) -> None:
    verdict = code_tests(response, json.dumps(STDIO))
    assert (verdict.status, verdict.answer) == ("undecided", None)


def test_prose_without_a_fence_is_undecided_and_a_bare_program_is_judged() -> None:
    assert code_tests("I cannot solve this, sorry.", json.dumps(STDIO)).status == "undecided"
    assert code_tests("print(sum(map(int, input().split())))", json.dumps(STDIO)).status == "correct"
    assert code_tests("print(1)", json.dumps(STDIO)).status == "wrong"


def test_a_program_of_five_megabytes_is_judged() -> None:
    program = f"text = {'x' * 5_000_000!r}\nprint(len(text))"
    assert verdict_of(program, {"kind": "stdio", "tests": [{"stdout": "5000000"}]}) == "passed"


def test_an_endless_output_is_cut_off_and_a_reason_is_short() -> None:
    flood = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    assert verdict_of(flood, {"kind": "stdio", "tests": [{"stdout": "x"}]}) == "output_limit"
    long = judged("print('x' * 900_000)", {"kind": "stdio", "tests": [{"stdout": "y"}]})[0]
    assert 0 < len(long.reason) < 1_000


@pytest.mark.parametrize("kind", ["call", "unittest"])
def test_without_isolation_it_refuses_or_marks_each_verdict(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level, "LEVELS", [])
    monkeypatch.setattr(sandbox, "_shared", {})
    monkeypatch.setattr(rpc, "_tests", {"": rpc._TestsJob("tests", "")})
    assert "--unsafe-no-sandbox" in missing()
    refused, detail = judged(ADD, OF_FUNCTIONS[kind])
    assert (refused.status, detail["verdict"]) == ("undecided", "sandbox_error") and refused.reason == missing()
    monkeypatch.setattr(sandbox, "_shared", {})
    monkeypatch.setenv("COT_UNSAFE_NO_SANDBOX", "1")
    marked, detail = judged(ADD, OF_FUNCTIONS[kind])
    assert (marked.status, marked.grade, detail["level"]) == ("correct", "unsafe", "none")
    rpc._tests[""].close()
    for made in sandbox._shared.values():
        made.close()


# -- for the factory -------------------------------------------------------------------------------------------------


def test_the_solution_of_a_reference_is_its_own_answer() -> None:
    good = json.dumps({**CALL, "solution": ADD})
    assert code_tests(own_answer(good) or "", good).status == "correct"
    assert own_answer(json.dumps(CALL)) is None
    with pytest.raises(ValueError, match="no JSON"):
        own_answer("{")


@pytest.mark.parametrize("kind", ["call", "asserts", "unittest", "check"])
def test_planted_programs_are_what_they_are_said_to_be(kind: str) -> None:
    reference = json.dumps({**OF_FUNCTIONS[kind], "solution": ADD})
    items = planted(reference, random.Random(1))
    assert [k for k, _ in items].count("right") == 1 and [k for k, _ in items].count("wrong") == 4
    for truth, response in items:
        assert code_tests(response, reference).status == ("correct" if truth == "right" else "wrong")
    assert plant("code_tests", reference, "wrong", random.Random(2)) is not None
    assert planted("{", random.Random(1)) == []


def test_the_pool_waits_as_long_as_the_tests_may_take() -> None:
    reference = json.dumps({"kind": "stdio", "tests": [{"stdout": "1"}], "limits": {"cpu_s": 1, "wall_s": 9}})
    assert time_needed(reference) > 20
    assert time_needed("{") == 0.0
    with Pool(workers=1, timeout=1.0) as pool:
        [verdict] = pool.map([Case("code_tests", "```python\nimport time\ntime.sleep(2)\nprint(1)\n```", reference)])
    assert verdict.status == "correct" and verdict.seconds > 1.9
    assert json.loads(verdict.detail)["tests"] == ["passed"]
