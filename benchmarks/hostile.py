"""Every hostile and ordinary program of a folder in the sandbox: does each get a verdict that it must get?

    .venv/bin/python -m benchmarks.hostile [DIR] [--workers N] [--only NAME] [--soak N] [--flakes N]

DIR holds manifest.jsonl (default ../shared/hostile; its README says what the fields mean). While it runs, this process
listens on a TCP port and on the abstract socket @hostile-secret and has SECRET_TOKEN=hunter2 in its environment: what a
program gets hold of is an escape. Outputs are compared here, outside. After each program a plain one must work, and in
the end no process, file, cgroup or descriptor may be left. --soak N: N executions more, 5 % of them hostile: leaks, and
the pace of the last tenth against the first. --flakes N: N honest programs under three times the load that the machine
has cores. Exits 1 on any miss.
"""

import argparse
import base64
import contextlib
import json
import math
import os
import random
import re
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, resource_tracker
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import machine
from benchmarks.sandbox import descendants
from verifiers.cell import level
from verifiers.cell.bwrap import BARE_UID, UID
from verifiers.sandbox import OPAQUE, Call, Limits, Program, Run, Stdin, shared

PROMPT_S = 1.0  # for programs that leave a daemon behind
GROWTH_MB = 64.0  # of a worker, over all programs


class Result(NamedTuple):
    name: str
    category: str
    verdict: str
    expected: list[str]
    seconds: float
    problems: list[str]  # of the extra checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", nargs="?", type=Path, default=Path(__file__).parents[2] / "shared" / "hostile")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only")
    parser.add_argument("--level", choices=("T1", "T2", "none"), help="no better isolation than this")
    parser.add_argument("--soak", type=int, default=0, metavar="N")
    parser.add_argument("--flakes", type=int, default=0, metavar="N")
    args = parser.parse_args()
    print(machine())
    os.environ["SECRET_TOKEN"] = "hunter2"
    resource_tracker.ensure_running()  # of the pools below; it would look like a descriptor left behind
    before = left_behind()
    with listening() as port:
        cases = [case for case in load(args.dir, port) if args.only in (None, case["name"])]
        failures = verdicts(cases, args.workers, args.level)
        if args.soak:
            failures += soak(cases, args.soak, args.workers)
        if args.flakes:
            failures += flakes(args.flakes, args.workers)
    failures += survivors(before)
    print(f"{failures} misses")
    return bool(failures)


@contextlib.contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as hidden:
        hidden.bind("\0hostile-secret")
        hidden.listen()
        yield server.getsockname()[1]


def load(folder: Path, port: int) -> list[dict[str, Any]]:
    cases = []
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        case = json.loads(line)
        case["code"] = (folder / case["file"]).read_text(errors="surrogateescape").replace("{LISTEN_PORT}", str(port))
        for name in ("stdin", "expected_stdout"):
            case[name] = data(case, name, port)
        cases.append(case)
    return cases


def data(case: dict[str, Any], name: str, port: int) -> bytes:
    if f"{name}_b64" in case:
        return base64.b64decode(case[f"{name}_b64"])
    text = re.sub(r"(?s)\{REPEAT:(.*?):(\d+)\}", lambda found: found[1] * int(found[2]), case.get(name) or "")
    return text.replace("{LISTEN_PORT}", str(port)).encode()


# -- one program -----------------------------------------------------------------------------------------------------


def judged(case: dict[str, Any]) -> Result:
    """In a worker: the program, its verdict, and the checks that come with it."""
    begun, problems = time.monotonic(), []
    state = case.get("run_after")
    before = plain(state) if isinstance(state, str) else b""
    verdict = verdict_of(case)
    seconds = time.monotonic() - begun
    if isinstance(state, str) and plain(state) != before:
        problems.append("run_after: it prints something else than before")
    if plain("print(6 * 7)") != b"42\n":
        problems.append("the next program does not work")
    if again := case.get("run_twice_same_output"):
        first = plain(again)
        shared().close()  # a new cell must agree too
        if not first or first != plain(again):
            problems.append("two runs, two outputs")
    limits = Limits.from_json(case["limits"])
    most = PROMPT_S if "within 1 s" in case.get("after", "") else 10 + limits.wall() * 6 * trials(case)  # or it hangs
    if seconds > most:
        problems.append(f"{seconds:.1f} s, more than {most:.1f}")
    return Result(case["name"], case["category"], verdict, case["expected_verdict"], seconds, problems)


def trials(case: dict[str, Any]) -> int:
    return len(case["args"]) if case["kind"] == "call" else 2 if case["kind"] == "unittest" else 1


def plain(code: str) -> bytes:
    with shared().job(Program("python", code), Limits()) as job:
        run = job.run(Stdin(b""))
    return run.stdout if run.outcome == "ran" else run.reason.encode()


def verdict_of(case: dict[str, Any]) -> str:
    if case["kind"] == "unittest":
        return by_code_tests(case)
    with shared().job(Program("python", case["code"]), Limits.from_json(case["limits"])) as job:
        if case["kind"] == "stdio":
            run = job.run(Stdin(case["stdin"]))
            return verdict_word(run, tokens(run.stdout) == tokens(case["expected_stdout"]))
        for arguments, expected in zip(case["args"], case["expected"], strict=True):
            run = job.run(Call(case["entry"], tuple(arguments)))
            word = verdict_word(run, same(run.result, expected))
            if word != "passed":
                break
        return word


def verdict_word(run: Run, right: bool) -> str:
    if run.outcome == "ran":
        return "passed" if right else "wrong_answer"
    return run.outcome


def tokens(output: bytes) -> list[bytes]:
    """Lines without white space at their ends, and without empty ones at the end."""
    return [line.rstrip() for line in output.rstrip().split(b"\n")]


def same(got: object, expected: object) -> bool:
    if got is OPAQUE or isinstance(got, bool) != isinstance(expected, bool):
        return False
    if isinstance(expected, float) and isinstance(got, int | float):
        return math.isclose(got, expected, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(expected, list) and isinstance(got, list | tuple):
        return len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, dict) and isinstance(got, dict):
        return got.keys() == expected.keys() and all(same(got[key], expected[key]) for key in expected)
    return type(got) is type(expected) and got == expected


def by_code_tests(case: dict[str, Any]) -> str:
    from verifiers.lookup import load as verifier

    reference = {"language": "python", "kind": "unittest", "tests": case["tests"], "limits": case["limits"]}
    try:
        code_tests = verifier("code_tests")
    except LookupError as error:
        return str(error)[:40]
    verdict = code_tests(f"```python\n{case['code']}\n```", json.dumps(reference))
    return str(json.loads(verdict.detail or "{}").get("verdict", verdict.status))


# -- all of them -----------------------------------------------------------------------------------------------------


def pool(workers: int, weaker: str | None = None) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, get_context("spawn"), weaken, (weaker,))


def weaken(to: str | None) -> None:
    if to:
        level.LEVELS[:] = [] if to == "none" else [to]
        os.environ["COT_UNSAFE_NO_SANDBOX"] = "1"


def verdicts(cases: list[dict[str, Any]], workers: int, weaker: str | None) -> int:
    with pool(workers, weaker) as executor:
        list(executor.map(warm, range(workers * 2)))
        memory = max(executor.map(resident, range(workers * 2)))
        results = list(executor.map(judged, cases))
        grown = max(executor.map(resident, range(workers * 2))) - memory
    wrong = [result for result in results if result.verdict not in result.expected or result.problems]
    print(f"\n{'category':14} programs  as expected  slowest s")
    for category in sorted({result.category for result in results}):
        of_it = [result for result in results if result.category == category]
        right = sum(result not in wrong for result in of_it)
        print(f"{category:14} {len(of_it):8} {right:12} {max(result.seconds for result in of_it):10.2f}")
    for result in wrong:
        print(f"MISS {result.name}: {result.verdict}, expected {result.expected}; {'; '.join(result.problems)}")
    print(f"{len(results) - len(wrong)} of {len(results)} as expected; a worker grew by {grown:.0f} MiB")
    return len(wrong) + (grown > GROWTH_MB)


def warm(_: int) -> None:
    plain("pass")


def resident(_: int) -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- many of them ----------------------------------------------------------------------------------------------------

HONEST = (
    ("print(sum(map(int, input().split())))", b"3 4\n", b"7\n"),
    ("import sys\nprint(len(sys.stdin.read()))", b"x" * 10_000, b"10000\n"),
    ("from collections import Counter\nprint(sorted(Counter(input()).items())[0])", b"banana", b"('a', 3)\n"),
    ("s = [1] * 300000\nprint(sum(s))", b"", b"300000\n"),
    ("import re, json, heapq, decimal\nprint(decimal.Decimal('0.1') * 3)", b"", b"0.3\n"),
    ("def f(n): return n and 1 + f(n - 1)\nprint(f(900))", b"", b"900\n"),
    ("import threading\nt = threading.Thread(target=print, args=(5,)); t.start(); t.join()", b"", b"5\n"),
)
SLOW = ("import time\nwhile time.process_time() < 0.8: pass\nprint(1)", b"", b"1\n")  # of a limit of 1 s
TESTS = 10  # of a program
HOSTILE_SHARE = 0.05
PACE = 0.95
BLOCK, BLOCKS = 40, 3  # honest programs whose CPU time is taken together, and how often in a tenth


class Tenth(NamedTuple):
    wrong: list[str]
    seconds_a_test: float  # CPU time of supervisor and cell for an honest test, in the best of some blocks


def soak(cases: list[dict[str, Any]], count: int, workers: int) -> int:
    """`count` executions in all; the pace of the last tenth against that of the first.

    The pace is in CPU time, of which a shared machine takes less away than of wall time, in the best of some blocks.
    """
    quick = [shortened(case) for case in cases if case["kind"] == "stdio" and case["category"] != "legit"]
    with pool(workers) as executor:
        list(executor.map(warm, range(workers * 2)))
        before = list(executor.map(descriptors, range(workers * 4)))
        tenths = []
        for tenth in range(10):
            parts = executor.map(soaked, [(quick, count // 10 // workers, tenth * workers + n) for n in range(workers)])
            tenths.append(list(parts))
        after = list(executor.map(descriptors, range(workers * 4)))
    wrong = [name for tenth in tenths for part in tenth for name in part.wrong]
    paces = [statistics.mean(part.seconds_a_test for part in tenth) for tenth in tenths]
    first, last = paces[0], paces[-1]
    print(f"\nsoak: {count} executions, {len(wrong)} unexpected {wrong[:5]}; descriptors of a worker {max(before)} -> "
          f"{max(after)}; {1 / first:.0f} -> {1 / last:.0f} tests in a second of CPU time, {first / last:.3f} of the "
          f"start; each tenth: {', '.join(f'{1 / pace:.0f}' for pace in paces)}")
    return bool(wrong) + (max(after) > max(before)) + (first / last < PACE)


def shortened(case: dict[str, Any]) -> dict[str, Any]:
    """With less time, where it would use all that it has: what it does is no other."""
    if case["category"] not in ("time", "crash"):
        return case
    return {**case, "limits": {**case["limits"], "cpu_s": 0.2, "wall_s": 1.0}}


def soaked(job: tuple[list[dict[str, Any]], int, int]) -> Tenth:
    quick, count, seed = job
    chance, wrong = random.Random(seed), []
    hostile = int(count * HOSTILE_SHARE)
    rest = (count - hostile) // TESTS - BLOCK * BLOCKS
    order = [True] * hostile + [False] * max(0, rest)
    chance.shuffle(order)
    for is_hostile in order:
        if is_hostile:
            case = chance.choice(quick)
            verdict = verdict_of(case)
            wrong += [] if verdict in case["expected_verdict"] else [f"{case['name']}: {verdict}"]
        else:
            wrong += honest(*HONEST[0])
    times = []
    for _ in range(BLOCKS):
        begun = cpu_seconds()
        wrong += [each for _ in range(BLOCK) for each in honest(*HONEST[0])]
        times.append((cpu_seconds() - begun) / (BLOCK * TESTS))
    return Tenth(wrong, min(times))


def cpu_seconds() -> float:
    """Of this process, of all that it has waited for, and of what lives below it."""
    done = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ticks = sum(map(spent, descendants(os.getpid())))
    return sum(used.ru_utime + used.ru_stime for used in done) + ticks / os.sysconf("SC_CLK_TCK")


def spent(pid: int) -> int:
    """Ticks of a process and of the children that it has waited for (proc(5): stat, fields 14 to 17)."""
    try:
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    except OSError:
        return 0


def honest(code: str, stdin: bytes, stdout: bytes, cpu_s: float = 2.0, tests: int = TESTS) -> list[str]:
    with shared().job(Program("python", code), Limits(cpu_s=cpu_s)) as job:
        runs = [job.run(Stdin(stdin)) for _ in range(tests)]
    wrong = [run for run in runs if (run.outcome, run.stdout) != ("ran", stdout)]
    return [f"{run.outcome}: {run.reason} {code[:40]!r}" for run in wrong]


def descriptors(_: int) -> int:
    time.sleep(0.05)  # so that every worker gets one
    return len(os.listdir("/proc/self/fd"))


def flakes(count: int, workers: int) -> int:
    """Honest programs while three processes a core compute besides; one in 500 uses four fifths of its time."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * (os.cpu_count() or 1))]
    try:
        with pool(workers) as executor:
            wrong = [name for part in executor.map(flaky, range(count // 100)) for name in part]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    print(f"flakes: {count} honest executions under load, {len(wrong)} unexpected {wrong[:5]}")
    return bool(wrong)


def flaky(number: int) -> list[str]:
    wrong = [each for n in range(100 // TESTS) for each in honest(*HONEST[(number + n) % len(HONEST)])]
    return wrong + (honest(*SLOW, cpu_s=1.0, tests=1) if number % 5 == 0 else [])


# -- what is left ----------------------------------------------------------------------------------------------------


class Left(NamedTuple):
    processes: set[int]
    files: set[str]
    descriptors: int


def left_behind() -> Left:
    processes = {int(path.name) for path in Path("/proc").glob("[0-9]*")
                 if (owner(path) in (UID, BARE_UID) or is_bwrap(path)) and not somebody_elses(path)}
    folders = [Path(name) for name in ("/tmp", "/var/tmp", "/dev/shm", "/run") if os.path.isdir(name)]
    files = {str(path) for folder in folders for path in folder.glob("*") if owner(path) == UID}
    groups = Path("/sys/fs/cgroup").rglob("cot-cell-*")
    files |= {str(path) for path in groups if not Path("/proc", path.name.split("-")[2]).exists()}
    return Left(processes, files, len(os.listdir("/proc/self/fd")))


def owner(path: Path) -> int:
    try:
        return path.lstat().st_uid
    except OSError:
        return -1


def is_bwrap(path: Path) -> bool:
    try:
        return (path / "comm").read_text() == "bwrap\n"
    except OSError:
        return False


def somebody_elses(path: Path) -> bool:
    """Whether it hangs below a living process that is no ancestor or child of ours: another session's sandbox."""
    try:
        while (pid := int((path / "stat").read_text().rpartition(")")[2].split()[1])) > 1:
            path = Path("/proc", str(pid))
            if pid == os.getpid():
                return False
            if not is_bwrap(path) and owner(path) not in (UID, BARE_UID):
                return True
    except OSError:
        return True  # it has just ended
    return False


def survivors(before: Left) -> int:
    shared().close()
    for _ in range(50):
        now = left_behind()
        processes, files = now.processes - before.processes, now.files - before.files
        if not processes and not files:
            break
        time.sleep(0.1)
    print(f"left: {len(processes)} processes, {len(files)} files and cgroups, "
          f"{max(0, now.descriptors - before.descriptors)} descriptors {sorted(files)[:3]}")
    return bool(processes) + bool(files) + (now.descriptors > before.descriptors)


if __name__ == "__main__":
    sys.exit(main())
