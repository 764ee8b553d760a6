"""Suites of tests in one sandbox, the program in another: calls go over, data and handles come back.

    tests (T) ──call──▶ this process ──▶ program (S)        only T's report counts, and T never runs the program's code

A suite that needs the program's real objects (it patches them, derives from them, hands it functions) is run beside the
program instead. Then the program could forge the report, so the trust is "in_process"; programs that touch what one
would forge it with are refused. The tests are delivered after the program was imported, the report carries a nonce.
"""

import functools
import json
import marshal
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

from verifiers.cell.cell import CellLost
from verifiers.code.report import Report, failure
from verifiers.code.result import SuiteRun, nothing
from verifiers.code.suites import Suite
from verifiers.sandbox import Job, Limits, Program, Run, Talker, shared

OWN_LIMITS = Limits(cpu_s=60.0, wall_s=600.0, memory_mb=1024)
"""Of the tests' own process: what they do besides calling the program."""

FAR_OVER = 1.19
"""A timeout is believed at once when this multiple of the CPU limit was used."""

NEEDS_REAL = re.compile(
    r"\bmock\b|\bmonkeypatch\b|\bsys\.std(?:in|err)\b|builtins\.input|\binspect\.|__code__|__globals__|redirect_stderr"
    r"|\bassert(?:No)?Logs\b|\bassertWarns|\bcatch_warnings\b|(?s:\bcapsys\b.*\berr\b)")
FORGES = re.compile(
    r"\b(?:gc|inspect|ctypes|atexit|unittest|pytest|_pytest|builtins|threading|_thread|marshal|socket|multiprocessing)\b"
    r"|_getframe|__eq__|__ne__|__del__|__code__|__globals__|__builtins__|__main__|sys\s*\.\s*(?:modules|settrace|setprof)"
    r"|\bchannel\b|_cot_|verifiers|os\s*\.\s*(?:write|_exit|dup|fork|kill|exec|posix_spawn)|f_back|tb_frame")
"""What a program has no business with that runs beside its tests."""


def run(suite: Suite, code: str, limits: Limits) -> SuiteRun:
    """Judge a program by a suite, from afar if that can be done."""
    if NEEDS_REAL.search(suite.code):
        return _twice(lambda: _beside(suite, code, limits, "they replace parts of the program"), limits)
    done = _twice(lambda: _apart(suite, code, limits), limits)
    return _twice(lambda: _beside(suite, code, limits, done.real), limits) if done.real else done


def _twice(attempt: Callable[[], SuiteRun], limits: Limits) -> SuiteRun:
    """Again, once, when a cell has failed, or after a timeout of a program that was not far over its CPU time."""
    for last in (False, True):
        try:
            done = attempt()
        except CellLost as error:
            for job in _tests.values():
                job.close()
            done = nothing("sandbox_error", str(error))
            if not last:
                continue
        if done.verdict != "timeout" or done.cpu_s > FAR_OVER * limits.cpu_s:
            break
    return done


# -- apart -----------------------------------------------------------------------------------------------------------


def _apart(suite: Suite, code: str, limits: Limits) -> SuiteRun:
    count = len(suite.tests) or 1
    idle = replace(limits, wall_s=limits.wall() + OWN_LIMITS.wall())  # it waits while the tests compute
    with shared().job(Program("python", code), idle) as job:
        program = _Talk(job.talk(SCRIPT), limits)
        try:
            ready = program.start(_boot("values", "program"), {"module": suite.module})
            if ready is None or ready[0] != "ready":
                return _not_imported(program, ready, count)
            return _Conversation(suite, program, _tests_process(suite)).run(_names(ready[1]))
        finally:
            program.talker.kill()


class _TestsJob:
    """A job whose program is always the same: it is kept for KEEP suites, each with a fresh process of it.

    `program` is nothing but the imports that would take each of them long.
    """

    KEEP = 500

    def __init__(self, role: str, program: str) -> None:
        self._role, self._program = role, program
        self._job: Job | None = None
        self._used = 0

    def process(self) -> Talker:
        if self._job is None or self._used >= self.KEEP:
            self.close()
            self._job = shared(self._role).job(Program("python", self._program), OWN_LIMITS)
        self._used += 1
        return self._job.talk(SCRIPT)

    def close(self) -> None:
        if self._job is not None:
            self._job.close()
        self._job, self._used = None, 0


_tests = {"": _TestsJob("tests", ""), "numpy": _TestsJob("tests with numpy", "import numpy")}


def _tests_process(suite: Suite) -> Talker:
    return _tests["numpy" if "numpy" in suite.setup + suite.code + "".join(suite.tests) else ""].process()


def _not_imported(program: "_Talk", ready: Any, count: int) -> SuiteRun:
    if ready is not None:
        return nothing(failure(str(ready[1])), str(ready[1]), count)
    done = nothing(*program.ended("while it was imported"), count)
    return replace(done, cpu_s=program.cpu_s)


def _names(given: Any) -> dict[str, list[str]]:
    """What the program says that it has, if it is of the form that the tests' side expects."""
    if not isinstance(given, dict):
        return {}
    return {name: origin for name, origin in given.items() if isinstance(origin, list) and len(origin) <= 2
            and all(isinstance(part, str) for part in origin)}


class _Talk:
    """The program's end of the conversation; its time runs only while it is asked."""

    def __init__(self, talker: Talker, limits: Limits) -> None:
        self.talker, self._limits = talker, limits
        self._left = limits.wall() * 1.2 * _crowding() + 0.5
        self.cpu_s = 0.0

    def start(self, boot: bytes, order: dict[str, Any]) -> Any:
        """Its first answer, which is JSON of a list; None when it does not come."""
        self.talker.send(boot)
        reply = self.ask(json.dumps(order).encode())
        try:
            answer = json.loads(reply) if reply is not None else None
        except (ValueError, RecursionError):
            return None
        return answer if isinstance(answer, list) and len(answer) == 2 else None

    def ask(self, request: bytes) -> bytes | None:
        self.talker.send(request)
        return self.hear()

    def hear(self) -> bytes | None:
        """Its next message, while its time lasts; None when none comes."""
        begun = time.monotonic()
        reply = self.talker.receive(max(0.0, self._left))
        self._left -= time.monotonic() - begun
        return reply

    def ended(self, when: str) -> tuple[str, str]:
        """(verdict, why) of a program that does not answer: it is over its time, or it is gone."""
        late = self._left <= 0
        run: Run = self.talker.kill() if late else self.talker.end()
        self.cpu_s = run.cpu_s
        if run.outcome == "ran":
            return "runtime_error", f"it ended itself {when}"
        if late and run.outcome == "runtime_error":
            return "timeout", f"it was not done after {self._limits.wall():g} s"
        return run.outcome, run.reason


def _crowding() -> float:
    """How many processes want each core, 1 to 5: on a busy machine wall time says little about a program."""
    return min(5.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


class _Conversation:
    """Between a suite and a program that has been imported."""

    def __init__(self, suite: Suite, program: _Talk, tests: Talker) -> None:
        self._suite, self._program, self._tests = suite, program, tests
        self._report = Report(len(suite.tests) or 1)

    def run(self, names: dict[str, list[str]]) -> SuiteRun:
        try:
            self._tests.send(_boot("values", "proxy", "module", "stand_ins", "tests", *_more(self._suite)))
            self._tests.send(_job(self._suite, names, self._report.nonce))
            while not self._report.over:
                message = self._tests.receive(OWN_LIMITS.wall())
                if message is None:
                    ended = self._tests.kill()
                    self._report.give_up(f"the tests ended before their end: {ended.reason or ended.stderr[-200:]}")
                elif message[:1] == b"c":
                    self._pass_on(message[1:])
                else:
                    self._report.take(message)
        finally:
            self._tests.kill()
        return self._report.done()

    def _pass_on(self, request: bytes) -> None:
        """One call. A program that does not answer has ended: that is what became of the test."""
        reply = self._program.ask(request)
        if reply is None:
            ended = self._program.ended("in the middle of a test")
            self._report.cpu_s = self._program.cpu_s
            self._report.stopped(*ended)
        elif not self._tests.send(reply):
            self._report.give_up("the tests do not take an answer")


# -- beside ----------------------------------------------------------------------------------------------------------


def _beside(suite: Suite, code: str, limits: Limits, why: str) -> SuiteRun:
    """In the program's own process; never certain."""
    report = Report(len(suite.tests) or 1)
    if found := FORGES.search(code):
        reason = f"the tests need the program's real objects ({why}), and it uses '{found[0]}': not judged"
        return nothing("sandbox_error", reason, report.count, "in_process")
    with shared().job(Program("python", code), limits) as job:
        program = _Talk(job.talk(SCRIPT), limits)
        try:
            boot = _boot("values", "program", "proxy", "module", "stand_ins", "tests", *_more(suite), beside=True)
            ready = program.start(boot, {"module": suite.module})
            if ready is None or ready[0] != "ready":
                return replace(_not_imported(program, ready, report.count), trust="in_process")
            program.talker.send(_job(suite, {}, report.nonce))
            while not report.over and (message := program.hear()) is not None:
                report.take(message)
            if not report.over:
                report.stopped(*program.ended("before the tests were done"))
        finally:
            program.talker.kill()
    return replace(report.done(), trust="in_process")


# -- what is sent ----------------------------------------------------------------------------------------------------

SCRIPT = """
import marshal, sys, types
from _frozen_importlib_external import MAGIC_NUMBER as magic
theirs, parts, last, function = marshal.loads(channel.receive())
for name in ("verifiers", "verifiers.code"):
    sys.modules[name] = types.ModuleType(name)
for name, code, text in parts:
    module = sys.modules[name] = types.ModuleType(name)
    exec(marshal.loads(code) if theirs == magic else compile(text, name, "exec"), module.__dict__)
getattr(sys.modules[last], function)(channel, program)
"""


@functools.cache
def _boot(*names: str, beside: bool = False) -> bytes:
    """Modules `inside_*`, compiled; their text goes along for a Python that has other byte code."""
    modules = [f"verifiers.code.inside_{name}" for name in names]
    texts = [(Path(__file__).parent / f"inside_{name}.py").read_text(encoding="utf-8") for name in names]
    parts = [(module, marshal.dumps(compile(text, module, "exec", dont_inherit=True)), text)
             for module, text in zip(modules, texts, strict=True)]
    last = "verifiers.code.inside_program" if "tests" not in names else "verifiers.code.inside_tests"
    return marshal.dumps((MAGIC_NUMBER, parts, last, "main_beside" if beside else "main"))


def _more(suite: Suite) -> tuple[str, ...]:
    return ("pytest", "unittest") if suite.kind == "unittest" else ()


def _job(suite: Suite, names: dict[str, list[str]], nonce: str) -> bytes:
    return json.dumps({"kind": suite.kind, "code": suite.code, "setup": suite.setup, "tests": suite.tests,
                       "entry": suite.entry, "module": suite.module, "names": names, "nonce": nonce}).encode()
