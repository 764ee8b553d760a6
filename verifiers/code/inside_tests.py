"""Runs inside the tests' sandbox, or beside the program when the tests need its real objects. Runs a suite and reports.

Events, each JSON after the letter e: ["plan", names of the tests], ["test", number, status, message],
["end", how many ran, tainted], ["broken", why the suite cannot be run], ["real", what of the real objects it needs].
A status is passed, wrong_answer (an assertion), runtime_error (anything else) or skipped. All begin with the nonce.
"""

import ast
import functools
import io
import sys
import types
from collections.abc import Callable
from typing import Any

from verifiers.code import inside_module, inside_proxy, inside_stand_ins
from verifiers.code.inside_proxy import Channel, NeedsReal, Unsupported
from verifiers.code.inside_values import dumps, loads

Report = Callable[..., None]

REWRITTEN = 50_000
"""Characters of tests whose comparisons are rewritten, so that they tell what they got; longer ones are run as is."""
SHOWN = 400


def main(channel: Any, _: types.CodeType) -> None:
    """The tests' sandbox: the program is far away."""
    job = loads(channel.receive())
    to_program = Channel(channel)
    module = inside_module.module(job["module"], job["names"], to_program)
    _run(job, module, to_program, _reporter(channel, job["nonce"]))


def main_beside(channel: Any, program: types.CodeType) -> None:
    """The program's own sandbox: it is imported first, and only then are the tests sent for."""
    from verifiers.code.inside_program import load

    module, why = load(program, loads(channel.receive())["module"])
    channel.send(dumps(why or ["ready", {}]))
    if module is not None:
        job = loads(channel.receive())
        _run(job, module, None, _reporter(channel, job["nonce"]))


def _reporter(channel: Any, nonce: str) -> Report:
    return lambda *event: channel.send(b"e" + dumps([nonce, *event]))


def _run(job: dict[str, Any], module: types.ModuleType, channel: Channel | None, report: Report) -> None:
    inside_stand_ins.install(job["setup"] + job["code"] + "".join(job["tests"]))
    sys.modules[job["module"]] = module
    sys.stdout = io.StringIO()
    space = types.ModuleType("tests")
    sys.modules["tests"] = space
    try:
        _collect_and_run(_Suite(job, module, space, channel), report)
    except NeedsReal as error:
        report("real", str(error))
    except BaseException as error:
        theirs = channel is None or channel.asked > 0 or hasattr(error, "from_program")
        report("broken", f"{type(error).__name__}: {error}"[:SHOWN], theirs and not isinstance(error, Unsupported))
    else:
        report("end", bool(channel and channel.tainted))


class _Suite:
    """A job with the module that it is about and the module that its code becomes."""

    def __init__(self, job: dict[str, Any], module: types.ModuleType, space: types.ModuleType,
                 channel: Channel | None) -> None:
        self.job, self.module, self.space, self.channel = job, module, space, channel

    def execute(self, text: str, name: str) -> None:
        """Run code in the suite's module, with the program's names that it uses and does not import."""
        try:
            code, names = self._compiled(text, name)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Unsupported(f"the tests do not compile: {type(error).__name__}: {error}") from error
        wanted = (inside_module.free_names(code) & names) - vars(self.space).keys()
        if self.channel is None:
            found = {n: v for n, v in vars(self.module).items() if n in wanted and not n.startswith("__")}
        else:
            found = inside_module.visible(wanted, self.job["names"], self.module)
        vars(self.space).update(found, **{_SAME: _same})
        exec(code, vars(self.space))

    def _compiled(self, text: str, name: str) -> tuple[types.CodeType, set[str]]:
        """The code, and the names in it that are no attributes."""
        tree = ast.parse(text)
        tree.body = [node for node in tree.body if not self._takes_all(node)]
        if len(text) <= REWRITTEN:
            tree = ast.fix_missing_locations(_Rewriter().visit(tree))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        return compile(tree, name, "exec", dont_inherit=True), names

    def _takes_all(self, node: ast.stmt) -> bool:
        """`from solution import *`: what is used of it is there anyway, and nothing that the tests have is replaced."""
        return isinstance(node, ast.ImportFrom) and node.module == self.job["module"] and node.names[0].name == "*"


def _collect_and_run(suite: _Suite, report: Report) -> None:
    """Asserts are a test each, a script or a check function is one."""
    kind, job = suite.job["kind"], suite.job
    if job["setup"]:
        suite.execute(job["setup"], "setup.py")
    if kind == "asserts":
        tests = [(test, _test(suite, test)) for test in job["tests"]]
    elif kind == "script":
        tests = [("script", _test(suite, job["code"]))]
    elif kind == "check_function":
        tests = [("check", functools.partial(_check, suite))]
    else:
        from verifiers.code import inside_unittest

        suite.execute(job["code"], "tests.py")
        return inside_unittest.run(vars(suite.space), report, outcome, _seen.clear)
    report("plan", [name for name, _ in tests])
    for number, (_, test) in enumerate(tests):
        report("test", number, *outcome(test))


def _test(suite: _Suite, text: str) -> Callable[[], None]:
    return functools.partial(_to_its_end, suite, text)


def _to_its_end(suite: _Suite, text: str) -> None:
    """Tests may end themselves with status 0. From afar only: beside them a program could do it in their place."""
    try:
        suite.execute(text, "tests.py")
    except SystemExit as ended:
        own = suite.channel is not None and not hasattr(ended, "from_program")
        if not own or not (ended.code is None or (type(ended.code) is int and ended.code == 0)):
            raise


def _check(suite: _Suite) -> None:
    suite.execute(suite.job["code"], "tests.py")
    if "check" not in vars(suite.space):
        raise Unsupported("the tests have no function 'check'")
    entry = suite.job["entry"]
    vars(suite.space)["check"](*([getattr(suite.module, entry)] if entry else []))


_seen: list[str] = []
_SAME = "_cot_same"


def outcome(test: Callable[[], Any]) -> tuple[str, str]:
    """(status, message) of one test."""
    _seen.clear()
    try:
        test()
    except (NeedsReal, Unsupported):
        raise
    except BaseException as error:
        return judged(error)
    return "passed", ""


def judged(error: BaseException) -> tuple[str, str]:
    """The program's own AssertionError is an error like any other; a failed one of the tests is a wrong answer."""
    said = f"{type(error).__name__}: {error}"[:SHOWN]
    if hasattr(error, "from_program"):
        return "runtime_error", said
    if type(error).__name__ == "SkipTest":  # unittest is imported only where it is used
        return "skipped", str(error)[:SHOWN]
    if isinstance(error, AssertionError):
        return "wrong_answer", "; ".join(filter(None, [str(error)[:SHOWN], *_seen[-1:]]))
    return "runtime_error", said


class _Rewriter(ast.NodeTransformer):
    """`assert a == b` as `assert same(a, b)`, which notes what the two were."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
            call = ast.Call(ast.Name(_SAME, ast.Load()), [test.left, test.comparators[0]], [])
            node.test = ast.copy_location(call, test)
        return node


def _same(left: Any, right: Any) -> Any:
    equal = left == right
    if not equal:
        _seen.append(f"got {_short(left)}, expected {_short(right)}")
    return equal


def _short(value: Any) -> str:
    """Also of an object of the program's, whose `repr` may raise or be endless."""
    if isinstance(value, inside_proxy.Remote):
        return f"<a {type(value).__name__} of the program>"
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(error).__name__} in repr>"
    return text if len(text) <= SHOWN // 2 else text[: SHOWN // 2] + "…"
