"""Does the program in a response pass the tests of the reference? Run in `verifiers.sandbox`, compared outside of it.

    code_tests("```python\\nprint(int(input()) + 1)\\n```",
               '{"kind": "stdio", "tests": [{"stdin": "1", "stdout": "2"}]}').status  # "correct"

References are described in `verifiers.code.suites`, where the program is looked for in `verifiers.code.extract`. The
detail is JSON: `verdict` (passed, wrong_answer, runtime_error, compile_error, timeout, memory_limit, output_limit,
sandbox_error), `trust` (certain; in_process when the program took part in its own judgement), `level` of the sandbox,
and `tests`, a verdict for each (not_run after the end). What could not be run at all is sandbox_error and undecided.

Without isolation it refuses, or judges with grade `unsafe` when COT_UNSAFE_NO_SANDBOX=1 (`--unsafe-no-sandbox`).
"""

import json
import random
import textwrap
from collections.abc import Iterator

from verifiers.code import cases, compare, extract, rpc, suites
from verifiers.code.extract import Found
from verifiers.code.result import SuiteRun, nothing
from verifiers.code.suites import NoTests, Suite
from verifiers.python_literal import python_literal
from verifiers.sandbox import Call, Limits, Program, SandboxMissing, run_all, shared
from verifiers.verdict import Grade, Status, Verdict

VERSION = 1

SHOWN = 10_000
"""Characters of the program that are kept as the verdict's answer."""

REASON = 1_000
"""Characters of a reason."""

COMPILING = 60.0
"""Seconds that a compiler may need, and the start of a cell."""

MOST = 3600.0
"""Seconds that no case needs."""


def code_tests(response: str, reference: str) -> Verdict:
    """Run the tests; undecided when there are none, they cannot be read, or the sandbox fails."""
    try:
        suite = suites.parse(reference)
        limits = Limits.from_json(suite.limits)
    except (ValueError, TypeError) as error:
        return _undecided(f"the tests cannot be read: {error}" if not isinstance(error, NoTests) else str(error))
    if suite.kind == "output_literal":
        return _output(response, suite, limits)
    found = extract.program(response, suite.language, suite.blocks)
    if found is None:
        return _undecided(f"there is no {suite.language} program in the response")
    try:
        done = _run(suite, _whole(suite, found.code), limits)
        return _verdict(done, found)
    except (SandboxMissing, RecursionError) as error:
        return _undecided(str(error), found.code)


def _run(suite: Suite, code: str, limits: Limits) -> SuiteRun:
    return cases.run(suite, code, limits) if suite.kind in ("stdio", "call") else rpc.run(suite, code, limits)


def _whole(suite: Suite, code: str) -> str:
    """The program with what belongs before it: imports, or the prompt that it completes."""
    if suite.completes and f"def {suite.entry}" not in code:
        return suite.completes + textwrap.indent(textwrap.dedent(code), "    ")
    before = suite.prelude and "from __future__" not in code  # which has to stand first
    return f"{suite.prelude}\n{code}" if before else code


_STATUS: dict[str, Status] = {"passed": "correct", "sandbox_error": "undecided"}


def _verdict(done: SuiteRun, found: Found) -> Verdict:
    status = _STATUS.get(done.verdict, "wrong")
    if done.verdict == "compile_error" and not found.fenced:
        status = "undecided"  # perhaps it is no program at all
    level = shared().level
    detail = {"verdict": done.verdict, "trust": done.trust, "level": level, "tests": done.tests}
    return Verdict(status, found.code[:SHOWN], _sentence(done.reason), _grade(done, level), detail=json.dumps(detail))


def _sentence(reason: str) -> str:
    """On one line, and harmless: errors of a program's own are in it."""
    line = " ".join(reason[:REASON].split()).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)


def _grade(done: SuiteRun, level: str) -> Grade:
    if level == "none":
        return "unsafe"
    return "in_process" if done.trust == "in_process" else "executed"


def _undecided(reason: str, answer: str | None = None) -> Verdict:
    detail = {"verdict": "sandbox_error", "trust": "certain", "level": "", "tests": []}
    return Verdict("undecided", answer and answer[:SHOWN], _sentence(reason), "executed", detail=json.dumps(detail))


# -- what does a program return? -------------------------------------------------------------------------------------


def _output(response: str, suite: Suite, limits: Limits) -> Verdict:
    """The response names the value of a call: the call is made, and the literal is compared with what it returned."""
    code = f"{suite.code}\n\ndef _cot_output():\n    return {suite.entry}({suite.setup}\n)\n"
    try:
        [run] = run_all(Program("python", code), [Call("_cot_output")], limits)
    except SandboxMissing as error:
        return _undecided(str(error))
    if run.outcome != "ran" or run.reason:
        return _undecided(f"the program of the reference cannot say: {run.reason}")
    said = python_literal(response, repr(run.result))
    if said.status == "undecided":
        return _undecided(said.reason, said.answer)
    done = SuiteRun("passed", "", ["passed"]) if said.status == "correct" else nothing(
        "wrong_answer", f"it returns {compare.shown(run.result)}")
    return _verdict(done, Found(said.answer or "", fenced=True))


# -- what the rest of the factory asks -------------------------------------------------------------------------------


def missing() -> str:
    """What this machine lacks to run programs, as a sentence with the fix; empty when it lacks nothing."""
    probe = shared("probe")
    try:
        return "" if probe.level else "the sandbox does not say what it offers"
    except SandboxMissing as error:
        return str(error)
    finally:
        probe.close()


def time_needed(reference: str) -> float:
    """Seconds that a case may take: every test up to its wall limit, twice, and compiling. The pool waits so long."""
    try:
        suite = suites.parse(reference)
        wall = Limits.from_json(suite.limits).wall()
    except (ValueError, TypeError):
        return 0.0
    return min(MOST, COMPILING + 12 * wall * max(1, len(suite.tests)))


def own_answer(reference: str) -> str | None:
    """A response that is right by the reference itself: its solution. None without; ValueError when it is malformed."""
    suite = suites.parse(reference)
    Limits.from_json(suite.limits)
    return f"```{suite.language}\n{suite.solution}\n```" if suite.solution else None


def planted(reference: str, rng: random.Random) -> list[tuple[str, str]]:
    """(kind, response) of known truth: the solution, and programs that do nothing or try to pass by other means."""
    try:
        suite, right = suites.parse(reference), own_answer(reference)
    except (ValueError, TypeError):
        return []
    if suite.language != "python" or suite.kind == "output_literal":
        return [("right", right)] if right else []
    token = f"planted-{rng.getrandbits(64):016x}"  # no test expects it
    names = [suite.entry.rpartition(".")[2]] if suite.entry else []
    wrong = [f"```python\n{program}\n```" for program in _wrong_programs(token, names)]
    return [*([("right", right)] if right else []), *(("wrong", response) for response in wrong)]


def _wrong_programs(token: str, names: list[str]) -> Iterator[str]:
    """Each defines the function that is asked for, if its name is known, and prints what nothing expects."""
    define = "".join(f"def {name}(*args, **kwargs):\n    return {{value}}\n" for name in names)
    equal = "class Yes:\n    def __eq__(self, other):\n        return True\n"
    yield f"{define.format(value=repr(token))}print({token!r})"
    yield f"{equal}{define.format(value='Yes()')}print({token!r})"
    yield f"import os, sys\nprint({token!r})\nsys.stdout.flush()\nos._exit(0)"
    yield f"import sys\nprint({token!r})\nsys.exit(0)"
