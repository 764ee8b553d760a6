"""Many programs side by side: in order, each on its own tests, and nothing stays behind."""

import os
import time
from pathlib import Path

import pytest

from verifiers.code_tests import missing
from verifiers.sandbox import Limits, Program, Stdin
from verifiers.sandbox_pool import SandboxPool, Work

MISSING = missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "a sandbox is here")
QUICK = Limits(cpu_s=0.2)


def work(code: str, *stdin: bytes, limits: Limits = QUICK) -> Work:
    return Work(Program("python", code), [Stdin(text) for text in stdin or (b"",)], limits)


def children() -> set[int]:
    """Our own living children, as the kernel lists them."""
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_runs_come_in_the_order_of_the_work() -> None:
    with SandboxPool(2) as pool:
        found = list(pool.run(work(f"print({n}, input())", b"a", b"b") for n in range(20)))
    assert [[run.stdout for run in runs] for runs in found] == [
        [f"{n} a\n".encode(), f"{n} b\n".encode()] for n in range(20)]


def test_after_two_timeouts_the_rest_are_copies() -> None:
    with SandboxPool(1) as pool:
        [runs] = pool.run([work("while True: pass", *[b""] * 30)])
    assert [run.outcome for run in runs] == ["timeout"] * 30
    assert all(run is runs[1] for run in runs[2:])


def test_one_bad_program_costs_its_neighbours_nothing() -> None:
    bad = ["import os; os.kill(-1, 9)", "import os; os._exit(3)", "x = 'x' * 10**10", "1 / 0", "def", "\0"]
    with SandboxPool(2) as pool:
        found = [runs[0] for runs in pool.run(work(code) for code in [*bad, "print(1)"] * 2)]
    assert [run.stdout for run in found[6::7]] == [b"1\n"] * 2
    assert all(run.outcome != "ran" for n, run in enumerate(found) if n % 7 != 6)


def test_endless_work_is_read_as_it_is_wanted() -> None:
    read = []

    def endless() -> object:
        while True:
            read.append(1)
            yield work("print(1)")

    with SandboxPool(1) as pool:
        runs = pool.run(endless())  # type: ignore[arg-type]
        assert [next(runs)[0].stdout for _ in range(3)] == [b"1\n"] * 3
        assert len(read) < 40
        assert next(pool.run([work("print(2)")]))[0].stdout == b"2\n"


def test_nothing_stays_behind() -> None:
    before, descriptors = children(), len(os.listdir("/proc/self/fd"))
    with SandboxPool(2) as pool:
        list(pool.run(work("print(1)") for _ in range(4)))
        assert children() > before
    for _ in range(100):  # the kernel tells of an end a little later
        if children() <= before:
            break
        time.sleep(0.05)
    assert children() <= before
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_what_cannot_be_run_is_an_error_of_the_sandbox_and_stops_nobody() -> None:
    with SandboxPool(1) as pool:
        strange, good = pool.run([Work(Program("klingon", "x"), [Stdin(b""), Stdin(b"")]), work("print(1)")])
    assert [run.outcome for run in strange] == ["sandbox_error"] * 2 and "klingon" in strange[0].reason
    assert good[0].stdout == b"1\n"


def test_a_pool_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="workers=0"):
        SandboxPool(0)
