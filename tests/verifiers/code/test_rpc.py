"""Unit tests of a program that is in another process: what crosses, what is believed, and what is not."""

import json
from typing import Any

import pytest

from verifiers.code_tests import code_tests

SHOP = """
import enum, math, unittest
from collections import Counter, namedtuple

class Empty(Exception):
    pass

class Stack:
    def __init__(self, items=()):
        self.items = list(items)
    def push(self, item):
        self.items.append(item)
    def pop(self):
        if not self.items:
            raise Empty("nothing there")
        return self.items.pop()
    def __len__(self):
        return len(self.items)
    def __iter__(self):
        return iter(self.items)
    def __eq__(self, other):
        return isinstance(other, Stack) and self.items == other.items

class Color(enum.Enum):
    RED = 1
    BLUE = 2

Point = namedtuple("Point", "x y")

def make():
    return Stack([1])

def numbers():
    yield 1
    yield 2

def mutate(xs):
    xs.sort()
    xs.append(9)

def hello():
    print("hello")

def apply(function, value):
    return function(value)
"""

HEAD = "import unittest, solution\nfrom solution import *\nclass T(unittest.TestCase):\n"


def run(program: str, tests: str, **more: Any) -> tuple[str, str, list[str], str]:
    """(verdict, trust, verdict of each test, reason)."""
    reference = json.dumps({"kind": "unittest", "code": tests, **more})
    verdict = code_tests(f"```python\n{program}\n```", reference)
    detail = json.loads(verdict.detail)
    return detail["verdict"], detail["trust"], detail["tests"], verdict.reason


@pytest.mark.parametrize("body", [
    "s = Stack([3]); s.push(4); self.assertEqual((len(s), s.pop(), list(s), s.items), (2, 4, [3], [3]))",
    "s = Stack()\n        with self.assertRaises(Empty) as caught: s.pop()\n"
    "        self.assertIn('nothing', str(caught.exception))",
    "self.assertIsInstance(make(), Stack); self.assertNotIsInstance(make(), Color)",
    "self.assertEqual(list(numbers()), [1, 2]); self.assertEqual((apply(len, [2]), apply(str, 2)), (1, '2'))",
    "xs = [3, 1]; mutate(xs); self.assertEqual(xs, [1, 3, 9])",
    "self.assertEqual([c.name for c in Color], ['RED', 'BLUE']); self.assertIs(Color(1), Color.RED)",
    "self.assertNotEqual(make(), [1]); self.assertEqual(Point(1, 2), (1, 2)); self.assertEqual(Point(1, 2).y, 2)",
    "self.assertEqual(math.floor(2.5), 2); self.assertEqual(Counter('aab'), {'a': 2, 'b': 1})",
    "s = make(); s.items = [5]; self.assertIs(s.items == [5], True)",
    "import contextlib, io; out = io.StringIO()\n        with contextlib.redirect_stdout(out): hello()\n"
    "        self.assertEqual(out.getvalue(), 'hello\\n')",
])
def test_classes_errors_iterators_and_output_work_from_afar(body: str) -> None:
    assert run(SHOP, f"{HEAD}    def test(self):\n        {body}\n") == ("passed", "certain", ["passed"], "")


@pytest.mark.parametrize(("body", "verdict"), [
    ("self.assertEqual(make(), Stack([1]))", "passed"), ("self.assertEqual(make(), Stack([2]))", "wrong_answer"),
    ("self.assertEqual(apply(lambda v: v + 1, 2), 3)", "passed"),
    ("self.assertEqual(apply(lambda v: v, 2), 3)", "wrong_answer"),
    ("class Mine(solution.Stack): pass\n        self.assertEqual(len(Mine([1])), 1)", "passed"),
])
def test_what_only_the_program_can_tell_is_not_certain(body: str, verdict: str) -> None:
    program = SHOP.replace(", unittest", "") if "Stack" in body else "def apply(f, x): return f(x)"
    if "Mine" in body:
        program = program.replace("__eq__", "same")  # a program with that is not run beside its tests
    assert run(program, f"{HEAD}    def test(self):\n        {body}\n")[:2] == (verdict, "in_process")


@pytest.mark.parametrize("trick", [
    "import gc", "import sys\nsys._getframe()", "import unittest", "class A:\n    __eq__ = None"])
def test_beside_its_tests_a_program_may_not_touch_what_one_forges_with(trick: str) -> None:
    tests = f"{HEAD}    def test(self):\n        self.assertEqual(apply(lambda v: v, 2), 2)\n"
    verdict, trust, _, reason = run(f"{trick}\ndef apply(f, x): return f(x)", tests)
    assert (verdict, trust) == ("sandbox_error", "in_process") and "not judged" in reason


@pytest.mark.parametrize("program", [
    "class A:\n    def __bool__(self): return True\n    def __eq__(self, o): return True\n",
    "class A(list):\n    def __contains__(self, o): return True\n    def __len__(self): return 1\n",
    "class A:\n    def __lt__(self, o): return True\n    __gt__ = __le__ = __ge__ = __lt__\n"
    "    def __sub__(self, o): return 0\n    __rsub__ = __sub__\n"
    "    def __round__(self, n=0): return 0\n    def __abs__(self): return 0\n",
    "class A(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\n"
    "    def __contains__(self, o): return True\n",
    "class A(Exception):\n    def __eq__(self, o): return True\n    __hash__ = None\n",
    "class A:\n    @property\n    def __class__(self): return int\n    def __eq__(self, o): return True\n",
])
@pytest.mark.parametrize("check", [
    "self.assertEqual(f(), 7)", "self.assertTrue(f() == 7)", "self.assertIn(7, f())", "self.assertLess(f(), 7)",
    "self.assertAlmostEqual(f(), 7)", "assert abs(f() - 7) < 1e-6", "assert 7 == f()", "assert f() in (7,)",
    "assert f() in {7: 1}", "assert [7] == [f()]", "self.assertCountEqual(f(), [7])",
    "assert isinstance(f(), int) and f() == 7", "self.assertGreaterEqual(f(), 6); self.assertLessEqual(f(), 8)",
])
def test_no_object_of_the_programs_equals_or_is_near_what_is_expected(program: str, check: str) -> None:
    tests = f"{HEAD}    def test(self):\n        {check}\n"
    assert run(f"{program}def f():\n    return A()\n", tests)[0] in ("wrong_answer", "runtime_error")


@pytest.mark.parametrize("program", [
    "import unittest\ndef f(): raise unittest.SkipTest('no')", "def f(): raise AssertionError",
    "import sys\ndef f(): sys.exit(0)", "def f(): raise KeyboardInterrupt", "def f(): raise StopIteration",
    "def f(): raise GeneratorExit", "def f(): raise type('E', (BaseException,), {})",
    "def f():\n    import os\n    os.write(3, b'\\0' * 100)\n    return 7",
    "def f():\n    import os\n    os.close(3)\n    return 7", "def f(): return f", "f = 7", "def f(): return [[[f]]]",
    "def f():\n    x = []\n    x.append(x)\n    return x",
    "def f():\n    x = 7\n    for _ in range(100000): x = [x]\n    return x",
    "import json, builtins\njson.dumps = json.loads = None\nbuiltins.type = lambda o: int\ndef f(): return 0",
    "def f(): return 'x' * (1 << 27)",
])
def test_whatever_the_program_does_the_tests_do_not_pass(program: str) -> None:
    tests = f"{HEAD}    def test(self):\n        self.assertEqual(f(), 7)\n"
    assert run(program, tests, limits={"memory_mb": 512})[0] in ("runtime_error", "wrong_answer", "memory_limit")


def test_a_program_cannot_replace_what_the_tests_use() -> None:
    program = "import unittest\nclass TestCase: pass\nisclose = len = abs = set = lambda *a: 0\ndef f(): return 8"
    for check in ("assert len(f()) == 0", "assert set([f()]) == set([7])", "assert abs(f() - 7) == 0",
                  "assert isclose(f(), 7)"):
        tests = f"from math import isclose\nfrom solution import *\ndef test():\n    {check}\n"
        assert run(program, tests)[0] in ("wrong_answer", "runtime_error")


def test_a_skipped_or_missing_test_is_not_a_passed_one() -> None:
    skipped = f"{HEAD}    def test_a(self): self.skipTest('later')\n    def test_b(self): self.assertEqual(x, 1)\n"
    assert run("x = 1", skipped)[::2] == ("sandbox_error", ["not_run", "passed"])
    wrong = skipped.replace("(x, 1)", "(x, 2)")
    assert run("x = 1", wrong)[0] == "wrong_answer"


def test_fixtures_of_classes_count() -> None:
    fails = f"{HEAD}    @classmethod\n    def setUpClass(cls): solution.missing()\n"
    fails += "    def test_a(self): pass\n    def test_b(self): pass\n"
    assert run("x = 1", fails)[::2] == ("runtime_error", ["runtime_error", "runtime_error"])


def test_pytest_suites_use_the_stand_in_or_say_what_it_lacks() -> None:
    tests = """
import pytest
from solution import f
@pytest.fixture
def seven():
    yield 7
@pytest.mark.parametrize("n", [1, 2])
def test_values(seven, n, capsys):
    assert f() == seven == pytest.approx(7 + 1e-9)
    print(n)
    assert capsys.readouterr().out == f"{n}\\n"
class TestMore:
    def setup_method(self):
        self.n = 7
    def test_method(self):
        assert f() == self.n
        with pytest.raises(TypeError, match="argument"):
            f(1)
"""
    assert run("def f(): return 7", tests)[:3] == ("passed", "certain", ["passed"] * 3)
    assert run("def f(): return 8", tests)[0] == "wrong_answer"
    verdict, _, _, reason = run("def f(): return 7", tests.replace("@pytest.fixture", "@pytest.fixture(params=[7])"))
    assert verdict == "sandbox_error" and "stand-in" in reason


def test_a_reason_is_one_harmless_line_whatever_the_program_raises() -> None:
    program = "def f():\n    raise ValueError('\\x1b[31m red\\n\\ud800 ' + 'x' * 10000)"
    reason = run(program, f"{HEAD}    def test(self):\n        self.assertEqual(f(), 7)\n")[3]
    assert reason.isprintable() and len(reason) < 1_500 and r"\x1b[31m red \ud800" in reason


def test_the_first_failed_comparison_is_told() -> None:
    reference = json.dumps({"kind": "asserts", "tests": ["assert f(2) == 4", "assert f(3) == [9]"]})
    verdict = code_tests("```python\ndef f(x):\n    return x * 2\n```", reference)
    assert verdict.reason == "assert f(3) == [9]: got 6, expected [9]"


KEEPER = """
import logging, sys, warnings
seen = {}
order = []
def f(key):
    order.append(key)
    seen[key] = seen.get(key, 0) + 1
    return seen[key]
def warn(): warnings.warn("old", DeprecationWarning)
def log(): logging.getLogger("x").warning("hi")
def complain(): print("bad", file=sys.stderr)
class Within:
    def __init__(self, kind): self.kind = kind
    def __enter__(self): return 5
    def __exit__(self, kind, error, trace): return kind is not None and issubclass(kind, self.kind)
def fail(): raise KeyError("k")
"""


@pytest.mark.parametrize(("body", "trust"), [
    ("f(1); self.assertEqual(solution.order, [1]); f(2); self.assertEqual(solution.order, [1, 2])", "certain"),
    ("solution.seen['a'] = 5; self.assertEqual(f('a'), 6)", "in_process"),
    ("order = solution.order; f('a'); self.assertEqual(order, ['a'])", "in_process"),
    ("with Within(KeyError): fail()", "certain"),
    ("with Within(KeyError): raise KeyError", "in_process"),
    ("with self.assertRaises(KeyError):\n            with Within(ValueError): fail()", "certain"),
    ("with self.assertWarns(DeprecationWarning): warn()", "in_process"),
    ("with self.assertLogs('x'): log()", "in_process"),
])
def test_what_a_program_keeps_swallows_or_logs_is_seen(body: str, trust: str) -> None:
    assert run(KEEPER, f"{HEAD}    def test(self):\n        {body}\n")[:2] == ("passed", trust)


def test_no_context_manager_of_a_program_swallows_a_failed_assertion() -> None:
    program = "class C:\n    def __enter__(self): return 1\n    def __exit__(self, *_): return True\n"
    tests = f"{HEAD}    def test(self):\n        with C() as x: self.assertEqual(x, 2)\n"
    assert run(program, tests)[:2] == ("wrong_answer", "certain")


def test_capsys_gives_a_pair_of_what_was_printed() -> None:
    tests = "from solution import complain\ndef test(capsys):\n    complain()\n    out, err = capsys.readouterr()\n"
    assert run(KEEPER, f"{tests}    assert (out, err) == ('', 'bad\\n')\n")[:2] == ("passed", "in_process")


def test_a_suite_that_ends_with_main_is_judged() -> None:
    tests = f"{HEAD}    def test(self): self.assertEqual(f('a'), 1)\nunittest.main()\n"
    assert run(KEEPER, tests)[:2] == ("passed", "certain")
    assert run("def f(key): return 0", tests)[0] == "wrong_answer"


@pytest.mark.parametrize("reference", [
    {"kind": "asserts", "tests": ["assert ("]}, {"kind": "asserts", "tests": ["return"]},
    {"kind": "script", "code": "def ("}, {"kind": "check_function", "entry": "f", "code": "x = 1"}])
def test_tests_that_are_no_tests_are_no_fault_of_the_program(reference: dict[str, Any]) -> None:
    verdict = code_tests("```python\ndef f(): pass\n```", json.dumps(reference))
    assert verdict.status == "undecided" and verdict.reason.count("the tests") == 1


@pytest.mark.parametrize(("tests", "program", "verdict"), [
    ("import sys\nassert f() == 7\nsys.exit(0)", "def f(): return 7", "passed"),
    ("import sys\nassert f() == 7\nsys.exit(0)", "def f(): return 8", "wrong_answer"),
    ("import sys\nsys.exit(0 if f() == 7 else 1)", "def f(): return 8", "runtime_error"),
    ("assert f() == 7", "import sys\ndef f(): sys.exit(0)", "runtime_error"),
    ("import inspect\nassert inspect.isfunction(f)\nassert f() == 7", "def f(): raise SystemExit", "runtime_error"),
])
def test_tests_may_end_themselves_a_program_may_not_end_them(tests: str, program: str, verdict: str) -> None:
    assert run(program, tests, kind="script")[0] == verdict
