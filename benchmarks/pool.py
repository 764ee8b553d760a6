"""A million verifications through the pool: memory, order, losses, start and rate, and a hostile mix.

    .venv/bin/python -m benchmarks.pool [COUNT]

Beside it the same cases through `concurrent.futures.ProcessPoolExecutor`, as anybody would write it: without limits, in
chunks of 32. The hostile mix has 1 % of cases that hang, eat memory or die. Rates are per core: cases / (seconds x
workers), wall time. Exits 1 when a case is lost or out of order, memory grows, or the start takes over 0.5 s.
"""

import argparse
import itertools
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import machine
from verifiers import Case, Pool, Verdict
from verifiers.lookup import load

WORKERS, MEMORY_MB, TIMEOUT = 2, 512, 2.0
START, GROWTH_MB = 0.5, 32.0
SAMPLES = 50  # of memory, over a run

# A private verifier that does what the response says; its neighbours must not notice.
HOSTILE = """
import os, re
from verifiers.verdict import Verdict
VERSION = 1
def hostile(response, reference):
    if response == "hang":
        re.match(r"(a+)+$", "a" * 64 + "b")
    elif response == "eat":
        block = []
        while True:
            block.append(bytearray(1 << 24))
    elif response == "die":
        os._exit(3)
    return Verdict("correct", response)
"""


def cheap(count: int) -> Iterator[Case]:
    """Answers as models write them, wrong and right in turn; the number in each tells whether the order was kept."""
    for n in range(count):
        yield Case("math_equal", f"So the answer is $\\boxed{{{n}}}$.", str(n if n % 2 else n + 1))


def is_right(number: int, verdict: Verdict) -> bool:
    return verdict.answer == str(number) and verdict.status == ("correct" if number % 2 else "wrong")


class Memory(NamedTuple):
    parent: float  # MiB, resident
    workers: float  # the largest one


def memory() -> Memory:
    children = Path("/proc/self/task").glob("*/children")
    pids = [pid for file in children for pid in file.read_text().split()]
    return Memory(resident("self"), max(map(resident, pids), default=0.0))


def resident(pid: str) -> float:
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:  # ended in the meantime
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


class Run(NamedTuple):
    seconds: float
    handed_out: int
    out_of_order: int
    memory: list[Memory]

    def rate(self) -> float:
        return self.handed_out / self.seconds / WORKERS


def through(verdicts: Iterable[Verdict], count: int) -> Run:
    """Take all verdicts, checking each and sampling memory."""
    started, wrong, samples, number = time.perf_counter(), 0, [], -1
    for number, verdict in enumerate(verdicts):
        wrong += not is_right(number, verdict)
        if number % max(1, count // SAMPLES) == 0:
            samples.append(memory())
    return Run(time.perf_counter() - started, number + 1, wrong, samples)


def ours(count: int) -> Run:
    with Pool(WORKERS, TIMEOUT, MEMORY_MB) as pool:
        return through(pool.map(cheap(count)), count)


def judge(case: Case) -> Verdict:
    return load(case.verifier)(case.response, case.reference)


def executor(count: int) -> Run:
    """In slices, since `Executor.map` reads its whole source before it starts."""
    cases = cheap(count)
    with ProcessPoolExecutor(WORKERS) as pool:
        slices = iter(lambda: list(itertools.islice(cases, 20_000)), [])
        return through((verdict for part in slices for verdict in pool.map(judge, part, chunksize=32)), count)


def start_seconds() -> float:
    """From nothing to the first verdict: two processes started, the verifier imported."""
    started = time.perf_counter()
    with Pool(WORKERS, TIMEOUT, MEMORY_MB) as pool:
        next(iter(pool.map(cheap(1))))
        return time.perf_counter() - started


def hostile(count: int) -> tuple[Counter[str], int, float]:
    """1 % bad cases of three kinds among good ones: (what became of the bad, good ones harmed, seconds)."""
    chance = random.Random(7)
    says = [chance.choice(["hang", "eat", "die"]) if chance.random() < 0.01 else str(n) for n in range(count)]
    fates, harmed, started = Counter[str](), count, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "benchmark_plugin").mkdir()
        (Path(folder) / "benchmark_plugin" / "hostile.py").write_text(HOSTILE)
        sys.path.insert(0, folder)
        with Pool(WORKERS, TIMEOUT, MEMORY_MB) as pool:
            cases = (Case("benchmark_plugin.hostile", response, "") for response in says)
            for response, verdict in zip(says, pool.map(cases), strict=True):
                fates[verdict.reason] += not response.isdigit()
                harmed -= verdict == Verdict("correct", response, seconds=verdict.seconds) or not response.isdigit()
        sys.path.remove(folder)
    return fates, harmed, time.perf_counter() - started


def growth(samples: list[float]) -> float:
    """MiB by which the highest of the second half tops the highest of the first."""
    half = len(samples) // 2
    return max(samples[half:]) - max(samples[:half])


def line(name: str, run: Run, count: int) -> str:
    parent, workers = [m.parent for m in run.memory], [m.workers for m in run.memory]
    return (f"| {name} | {run.rate():,.0f} | {count - run.handed_out} | {run.out_of_order} | {max(parent):.0f}, "
            f"{growth(parent):+.1f} | {max(workers):.0f}, {growth(workers):+.1f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description="The pool over many verifications, and over hostile ones.")
    parser.add_argument("count", type=int, nargs="?", default=1_000_000, help="verifications (default: a million)")
    count = max(100, parser.parse_args().count)
    print(machine(), flush=True)
    start = min(start_seconds() for _ in range(3))
    mine, peer = ours(count), executor(min(count, 100_000))
    fates, harmed, seconds = hostile(3_000)
    print(f"\n{count:,} verifications, {WORKERS} workers, {MEMORY_MB} MiB and {TIMEOUT:g} s for a case\n"
          "\n| | cases/s per core | lost | out of order or wrong | parent MiB, growth | worker MiB, growth |"
          f"\n|---|---|---|---|---|---|\n{line('verifiers.pool', mine, count)}"
          f"\n{line('ProcessPoolExecutor, no limits', peer, min(count, 100_000))}")
    print(f"\n3,000 cases with 1 % hostile: {seconds:.1f} s, {harmed} neighbours harmed")
    for reason, number in fates.items():
        if number:
            print(f"- {number}: {reason}")
    return judge_all(start, mine, count, harmed)


def judge_all(start: float, run: Run, count: int, harmed: int) -> int:
    grown = max(growth([m.parent for m in run.memory]), growth([m.workers for m in run.memory]))
    lost = count - run.handed_out
    met = start < START and not lost and not run.out_of_order and grown <= GROWTH_MB and not harmed
    print(f"\n{count:,} verifications at {run.rate():,.0f}/s per core, {lost} lost, {run.out_of_order} out of order, "
          f"memory {grown:+.1f} MiB, start {start:.2f} s, {harmed} harmed: {'met' if met else 'MISSED'} "
          f"(0 lost, 0 out of order, <= {GROWTH_MB:.0f} MiB, < {START} s, 0 harmed)")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
