"""The inside of one worker process of `verifiers.pool`: read a case, write its verdict, again.

One JSON array a line each way: `[serial, verifier, response, reference]` in, and out one of
`["hello"]`, `["loading"]`, `["loaded"]`, `["needs", seconds]`,
`[serial, status, answer, reason, grade, seconds, detail]`. A verdict is written before the next
case begins, so the first unanswered case is the one at fault when the process hangs or dies, and
the parent can tell a slow import from a slow case, and a case that may be slow from one that hangs.

What is covered: memory (RLIMIT_AS), noise on stdout, a parent that was killed. What is not: time
(the parent's business), files and network. A verifier that runs a model's code brings its own
sandbox.
"""

import fcntl
import json
import os
import resource
import select
import sys
import time
from collections.abc import Sequence
from typing import BinaryIO

from verifiers.lookup import load, load_module
from verifiers.verdict import Verdict

OUT_OF_MEMORY = 77  # exit status


def main(memory_mb: int, lifeline: int) -> None:
    """Serve cases until stdin ends."""
    die_with(lifeline)
    _limit_memory(memory_mb)
    cases, verdicts = _private_pipes()
    loaded: set[str] = set()
    _write(verdicts, ["hello"])
    for line in cases:
        serial, *case = json.loads(line)
        _write(verdicts, [serial, *_answer(case, loaded, verdicts)])


def die_with(lifeline: int) -> None:
    """Have the kernel end this process (SIGIO) when the other end of the pipe `lifeline` closes.

    The end of stdin is not enough: a worker inside a long C call never reads it, and no thread or
    handler of ours would run. PR_SET_PDEATHSIG is no good: it follows the parent's *thread*.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # closed before the line above was reached
        sys.exit()


def _limit_memory(memory_mb: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory_mb << 20
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))  # a sandbox started here has limits of its own


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes on descriptors of their own, so that a verifier's `print` goes to stderr."""
    cases, verdicts = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return cases, verdicts


def _answer(case: Sequence[str], loaded: set[str], verdicts: BinaryIO) -> list[object]:
    """The fields of a verdict, whatever happens; running out of memory ends the process instead."""
    name, response, reference = case
    started = time.perf_counter()
    try:
        if name not in loaded:
            _load(name, verdicts)
            loaded.add(name)
            started = time.perf_counter()
        _announce(name, reference, verdicts)
        verdict = load(name)(response, reference)
        if not isinstance(verdict, Verdict):
            raise TypeError(f"it returned a {type(verdict).__name__} instead of a Verdict")
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BaseException as error:  # sys.exit in a verifier is one more way to fail
        verdict = Verdict("undecided", reason=_sentence(name, error))
    seconds = time.perf_counter() - started
    return [verdict.status, verdict.answer, verdict.reason, verdict.grade, round(seconds, 6), verdict.detail]


def _announce(name: str, reference: str, verdicts: BinaryIO) -> None:
    """Say how long this case may take, if the verifier knows: tests with limits of their own."""
    needed = getattr(load_module(name), "time_needed", None)
    if needed:
        _write(verdicts, ["needs", float(needed(reference))])


def _load(name: str, verdicts: BinaryIO) -> None:
    """Import a verifier and let it `warm_up()`, if it has that, before a case's clock starts."""
    _write(verdicts, ["loading"])
    try:
        load(name)
        getattr(load_module(name), "warm_up", lambda: None)()
    finally:
        _write(verdicts, ["loaded"])


def _sentence(name: str, error: BaseException) -> str:
    text = str(error) if len(str(error)) < 1_000 else f"{str(error)[:1_000]}…"
    return text if type(error) is LookupError else f"{name} raised {type(error).__name__}: {text}"


def _write(verdicts: BinaryIO, message: list[object]) -> None:
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        data = data[verdicts.write(data) :]
