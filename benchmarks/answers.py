"""Labelled answer cases: how often we are right, how fast per core beside Math-Verify, and the worst a case can do.

    .venv/bin/python -m benchmarks.answers [CASES.jsonl] [--list]

Core cases have an empty `policy` and no `heavy`. Both checkers run the same light cases in this run, each alone in one
child process that can be killed, timed in CPU seconds; Math-Verify gets the answer that `verifiers.answers` extracted,
both sides boxed, its time-outs as shipped. `--list` adds every wrong verdict; false accepts are always listed.
Exits 1 when a target of the issue is missed.
"""

import argparse
import importlib.util
import json
import logging
import multiprocessing
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import machine
from verifiers.answers import boxes, final_answer
from verifiers.lookup import load
from verifiers.pool import Case, Pool
from verifiers.verdict import Verdict

CASES = Path(__file__).parents[2] / "shared" / "cases" / "answers.jsonl"
LIMIT, MEMORY_MB, HANG = 2.0, 512, 60.0  # seconds and MiB of a case in the pool; seconds until Math-Verify is given up

Row = dict[str, Any]


class Judged(NamedTuple):
    status: str
    seconds: float  # of CPU


class Target(NamedTuple):
    figure: str
    value: float
    bound: float
    least: bool  # the bound is a minimum
    shown: str

    def met(self) -> bool:
        return self.value >= self.bound if self.least else self.value <= self.bound


def read(path: Path) -> tuple[list[Row], int]:
    """The rows that a verifier is there for, and how many are left out for want of one."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    there = [row for row in rows if importlib.util.find_spec(f"verifiers.{verifier(row)}")]
    return there, len(rows) - len(there)


def verifier(row: Row) -> str:
    return "number_game" if row["task"] == "countdown" else "math_equal"


def is_core(row: Row) -> bool:
    return not row["policy"] and not row.get("heavy")


# -- the two checkers, each in a child


def ours(row: Row) -> str:
    return load(verifier(row))(row["prediction"], row["gold"]).status


def math_verify(row: Row) -> str:
    from math_verify import parse, verify  # type: ignore[import-untyped]

    answer = final_answer(row["prediction"])
    gold = (boxes(row["gold"]) or [row["gold"]])[-1]
    if answer is None:
        return "undecided"
    return "correct" if verify(parse(rf"\boxed{{{gold}}}"), parse(rf"\boxed{{{answer.text}}}")) else "wrong"


CHECKERS = {"ours": ours, "Math-Verify": math_verify}


def child(name: str, rows: list[Row], pipe: Connection) -> None:
    """Judge the rows in order; the first one is done twice, so that no import is on the clock."""
    logging.disable(logging.CRITICAL)
    check = CHECKERS[name]
    check(rows[0])
    for row in rows:
        started = time.process_time()
        try:
            status = check(row)
        except Exception as error:  # an exception is no verdict, and what it is called tells whose it is
            status = f"raised {type(error).__name__}"
        pipe.send(Judged(status, time.process_time() - started))


def judge(name: str, rows: list[Row]) -> list[Judged]:
    """All rows through one checker. Whoever hangs for a minute is killed, and the next child goes on behind it."""
    done: list[Judged] = []
    while len(done) < len(rows):
        pipe, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=child, args=(name, rows[len(done) :], theirs))
        process.start()
        theirs.close()
        try:
            while len(done) < len(rows) and pipe.poll(HANG):
                done.append(pipe.recv())
        except EOFError:
            pass
        if len(done) < len(rows):
            done.append(Judged("hung or died", HANG))
        process.kill()
        process.join()
    return done


# -- tables


def score(pairs: Iterable[tuple[Row, Judged]]) -> tuple[int, int, int, int, int, int]:
    """(cases, right, to be rejected, of those accepted, to be accepted, of those not accepted)."""
    found = [(row["expected"], judged.status == "correct") for row, judged in pairs]
    wrong, right = [a for e, a in found if not e], [a for e, a in found if e]
    return (len(found), sum(e == a for e, a in found), len(wrong), sum(wrong), len(right), len(right) - sum(right))


def line(name: str, pairs: list[tuple[Row, Judged]]) -> str:
    cases, good, wrong, accepted, right, rejected = score(pairs)
    open_ = sum(judged.status == "undecided" for _, judged in pairs)
    return f"| {name} | {cases} | {good / cases:.4f} | {accepted} of {wrong} | {rejected} of {right} | {open_} |"


def by(pairs: list[tuple[Row, Judged]], key: str) -> dict[str, list[tuple[Row, Judged]]]:
    groups: dict[str, list[tuple[Row, Judged]]] = defaultdict(list)
    for row, judged in pairs:
        groups[row[key] if key == "kind" else ", ".join(row[key])].append((row, judged))
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def tables(core: list[tuple[Row, Judged]], policy: list[tuple[Row, Judged]], peer: list[tuple[Row, Judged]]) -> None:
    head = " | cases | accuracy | false accepts | false rejects | undecided |\n|---|---|---|---|---|---|"
    print(f"\n| core cases by kind{head}")
    for kind, pairs in by(core, "kind").items():
        print(line(kind, pairs))
    print(line("**all core cases**", core))
    print(line("Math-Verify, core cases", peer))
    if policy:
        print(f"\n| policy cases, on which good checkers differ{head}")
        for name, pairs in by(policy, "policy").items():
            print(line(name, pairs))
        print(line("all policy cases", policy))


def mistakes(pairs: list[tuple[Row, Judged]], everything: bool) -> None:
    for row, judged in pairs:
        accepted = judged.status == "correct"
        if accepted != row["expected"] and (accepted or everything):
            name = "false accept" if accepted else f"false reject ({judged.status})"
            says = f"gold {row['gold'][:120]!r}, prediction {row['prediction'][-160:]!r}"
            print(f"{name}: {row['id']} {row['kind']}: {says}")


# -- speed and the worst case


def rate(judged: Iterable[Judged]) -> float:
    """Cases a second of CPU, on one core."""
    seconds = [one.seconds for one in judged]
    return len(seconds) / sum(seconds) if seconds else 0.0


def worst(rows: list[Row]) -> tuple[float, str, dict[str, int], float]:
    """Each case alone through a pool: (longest wall time, whose, what became of bombs, speed afterwards : before)."""
    cheap = [Case("math_equal", r"\boxed{0.5}", r"\frac{1}{2}")] * 10_000
    longest, whose, fates = 0.0, "", defaultdict[str, int](int)
    with Pool(1, LIMIT, MEMORY_MB) as pool:
        list(pool.map(cheap[:200]))  # starts and imports
        before = pace(pool, cheap)
        for row in rows:
            started = time.perf_counter()
            (verdict,) = pool.map([Case(verifier(row), row["prediction"], row["gold"])])
            seconds = time.perf_counter() - started
            if row.get("heavy"):
                fates[fate(verdict, row["expected"])] += 1
            longest, whose = max((longest, whose), (seconds, row["id"]))
        return longest, whose, fates, pace(pool, cheap) / before


def fate(verdict: Verdict, expected: bool) -> str:
    if verdict.status == "undecided":
        return "killed" if verdict.reason.startswith(("over the time", "over the memory", "the worker")) else "refused"
    return "judged rightly" if (verdict.status == "correct") == expected else "JUDGED WRONGLY"


def pace(pool: Pool, cases: list[Case]) -> float:
    """Cases a second of wall time; the best of three, since the machine is shared."""
    return max(pool_rate(pool, cases) for _ in range(3))


def pool_rate(pool: Pool, cases: list[Case]) -> float:
    started = time.perf_counter()
    count = sum(1 for _ in pool.map(cases))
    return count / (time.perf_counter() - started)


def import_seconds() -> float:
    """The best of five fresh interpreters that import one verifier; an error when it brings sympy along."""
    code = ("import sys, time; t = time.perf_counter(); import verifiers.math_equal; print(time.perf_counter() - t);"
            "sys.exit('sympy' in sys.modules)")
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True) for _ in range(5)]
    return min(float(run.stdout) for run in runs)


# -- all of it


def main() -> int:
    parser = argparse.ArgumentParser(description="Accuracy, speed and worst case of the verifiers on labelled cases.")
    parser.add_argument("cases", type=Path, nargs="?", default=CASES)
    parser.add_argument("--list", action="store_true", help="print every wrong verdict")
    chosen = parser.parse_args()
    if not chosen.cases.is_file():
        parser.error(f"there is no file {chosen.cases}: name a JSON lines file of labelled cases")
    rows, left_out = read(chosen.cases)
    print(machine())
    print(f"\n{len(rows)} cases of {chosen.cases.name}, {left_out} left out for want of their verifier")
    targets = accuracy([row for row in rows if not row.get("heavy")], chosen.list)
    return judge_all(targets + extremes(rows))


def accuracy(light: list[Row], everything: bool) -> list[Target]:
    answers = [row for row in light if row["task"] == "answer"]
    peer = list(zip(answers, judge("Math-Verify", answers), strict=True))
    pairs = list(zip(light, judge("ours", light), strict=True))
    core = [pair for pair in pairs if is_core(pair[0])]
    policy = [pair for pair in pairs if not is_core(pair[0])]
    tables(core, policy, [pair for pair in peer if is_core(pair[0])])
    mistakes(core, everything)
    cases, good, wrong, accepted, _, _ = score(core)
    return [
        Target("accuracy on the core cases", good / cases, 0.995, True, f"{good / cases:.4f}"),
        Target("false accepts among the wrong ones", accepted / wrong, 0.003, False, f"{accepted / wrong:.2%}"),
        *speeds([pair for pair in pairs if pair[0]["task"] == "answer"], peer),
    ]


def speeds(pairs: list[tuple[Row, Judged]], peer: list[tuple[Row, Judged]]) -> list[Target]:
    def of(rows: list[tuple[Row, Judged]], origin: str = "") -> float:
        return rate(judged for row, judged in rows if origin in ("", row["origin"]))

    mine, theirs, real = of(pairs), of(peer), of(pairs, "real-machine")
    slowest = max(judged.seconds for _, judged in pairs)
    print(f"\n| per core, light cases | cases/s | real-machine | slowest, ms |\n|---|---|---|---|"
          f"\n| ours | {mine:,.0f} | {real:,.0f} | {1000 * slowest:.0f} |\n| Math-Verify | {theirs:,.0f} | "
          f"{of(peer, 'real-machine'):,.0f} | {1000 * max(judged.seconds for _, judged in peer):.0f} |")
    return [
        Target("times Math-Verify, per core", mine / theirs, 8, True, f"{mine / theirs:.1f}"),
        Target("cases/s per core", mine, 500, True, f"{mine:,.0f}"),
        Target("cases/s per core, real model answers", real, 1_500, True, f"{real:,.0f}"),
    ]


def extremes(rows: list[Row]) -> list[Target]:
    longest, whose, fates, after = worst(rows)
    seconds = import_seconds()
    print("\nresource bombs: " + ", ".join(f"{count} {name}" for name, count in sorted(fates.items())))
    return [
        Target(f"worst time of any case ({whose}), s", longest, LIMIT + 0.2, False, f"{longest:.2f}"),
        Target("the pool's speed afterwards : before", after, 0.8, True, f"{after:.2f}"),
        Target("import of one verifier, s", seconds, 0.1, False, f"{seconds:.3f}"),
    ]


def judge_all(targets: list[Target]) -> int:
    print("\n| figure | reached | must reach | |\n|---|---|---|---|")
    for target in targets:
        bound = f"{'>=' if target.least else '<='} {target.bound:,}"
        print(f"| {target.figure} | {target.shown} | {bound} | {'met' if target.met() else '**MISSED**'} |")
    met = sum(target.met() for target in targets)
    print(f"\n{met} of {len(targets)} targets met")
    return 0 if met == len(targets) else 1


if __name__ == "__main__":
    sys.exit(main())
