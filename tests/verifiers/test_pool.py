"""The pool: a bad case costs one `undecided`, and everybody else gets the verdict they deserve."""

import asyncio
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from verifiers import Case, Pool, Verdict, verify_many
from verifiers.pool import AHEAD, load, version

# A private plugin: what it does is the response. The reference is the reason it gives back.
PLUGIN = """
import os, re, sys, time
from verifiers.verdict import Verdict

VERSION = 3

def nasty(response, reference):
    if response == "hang in C":
        re.match(r"(a+)+$", "a" * 64 + "b")
    elif response == "hang in big integers":
        len(str(9 ** 9 ** 9))
    elif response == "bomb":
        block = []
        while True:
            block.append(bytearray(1 << 24))
    elif response == "exit":
        os._exit(3)
    elif response == "exit 0":
        sys.exit(0)
    elif response == "segfault":
        os.kill(os.getpid(), 11)
    elif response == "raise":
        raise RuntimeError("as told")
    elif response == "noise":
        print("[0, \\"correct\\"]", flush=True)
        os.write(1, b"garbage\\n")
        os.system("echo more garbage")
        assert sys.stdin.read() == ""
    elif response == "no verdict":
        return True
    elif response == "nonsense":
        for fd in range(3, 20):
            try:
                os.write(fd, b"nonsense\\n")
            except OSError:
                pass
    elif response == "pid":
        return Verdict("correct", str(os.getpid()))
    elif response.startswith("say so and hang"):
        open(reference, "w").write(str(os.getpid()))
        re.match(r"(a+)+$", "a" * 64 + "b")
    return Verdict("correct", response, reference)
"""
SLOW_IMPORT = """
import time
time.sleep(2.0)
from verifiers.verdict import Verdict
def slow_import(response, reference):
    return Verdict("correct")
"""


@pytest.fixture(scope="module", autouse=True)
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "lab").mkdir()
    (folder / "lab" / "nasty.py").write_text(PLUGIN)
    (folder / "lab" / "slow_import.py").write_text(SLOW_IMPORT)
    (folder / "lab" / "lacking.py").write_text("import no_such_dependency\n")
    (folder / "lab" / "empty.py").write_text("")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def nasty(response: str, reference: str = "") -> Case:
    return Case("lab.nasty", response, reference)


def among_innocents(response: str, **limits: float) -> Verdict:
    """The verdict of one bad case; asserts that its twenty neighbours are unharmed."""
    cases = [nasty(str(i)) for i in range(10)] + [nasty(response)] + [nasty("x")] * 10
    verdicts = list(verify_many(cases, workers=2, **limits))  # type: ignore[arg-type]
    assert [v.status for v in verdicts[:10] + verdicts[11:]] == ["correct"] * 20
    return verdicts[10]


@pytest.mark.parametrize("response", ["hang in C", "hang in big integers"])
def test_a_hanging_case_is_killed_and_undecided(response: str) -> None:
    verdict = among_innocents(response, timeout=1.5)
    assert (verdict.status, verdict.reason) == ("undecided", "over the time limit of 1.5 s")


def test_a_memory_bomb_is_undecided() -> None:
    verdict = among_innocents("bomb", timeout=60.0, memory_mb=300)
    assert (verdict.status, verdict.reason) == ("undecided", "over the memory limit of 300 MiB")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("exit", "the worker exited with status 3"),
        ("segfault", "the worker was killed by SIGSEGV"),
        ("exit 0", "lab.nasty raised SystemExit: 0"),
        ("raise", "lab.nasty raised RuntimeError: as told"),
        ("no verdict", "lab.nasty raised TypeError: it returned a bool instead of a Verdict"),
    ],
)
def test_a_crash_is_undecided_with_its_reason(response: str, reason: str) -> None:
    verdict = among_innocents(response, timeout=60.0)
    assert (verdict.status, verdict.reason) == ("undecided", reason)


def test_noise_on_stdout_does_not_reach_the_protocol() -> None:
    assert among_innocents("noise", timeout=60.0).status == "correct"


def test_a_verifier_that_writes_into_the_protocol_is_undecided() -> None:
    verdict = among_innocents("nonsense", timeout=60.0)
    assert (verdict.status, verdict.reason) == ("undecided", "something else wrote into its pipe")


def test_many_bad_cases_in_a_row_are_each_their_own() -> None:
    cases = [nasty("exit"), nasty("good")] * 8
    verdicts = list(verify_many(cases, workers=2, timeout=60.0))
    assert [v.status for v in verdicts] == ["undecided", "correct"] * 8


def test_the_order_is_that_of_the_cases() -> None:
    cases = [nasty(str(i), "é\ud800\n" * (i % 7)) for i in range(2_000)]
    verdicts = list(verify_many(cases, workers=3))
    assert [(v.answer, v.reason) for v in verdicts] == [(c.response, c.reference) for c in cases]


def test_a_case_larger_than_a_pipe_goes_through() -> None:
    cases = [nasty("x" * 3_000_000), nasty("y" * 3_000_000), nasty("z")]
    verdicts = list(verify_many(cases, workers=1))
    assert [len(v.answer or "") for v in verdicts] == [3_000_000, 3_000_000, 1]


def test_an_endless_stream_is_read_only_a_little_ahead() -> None:
    taken = 0

    def endless() -> Iterator[Case]:
        nonlocal taken
        for taken in itertools.count(1):
            yield nasty(str(taken))

    with Pool(2) as pool:
        verdicts = pool.map(endless())
        for number, verdict in enumerate(itertools.islice(verdicts, 3_000), start=1):
            assert verdict.answer == str(number)
            assert taken - number <= 2 * AHEAD


def test_a_pause_of_the_consumer_is_not_held_against_the_cases() -> None:
    with Pool(1, timeout=1.5) as pool:
        verdicts = pool.map(nasty(str(i)) for i in range(200))
        first = next(verdicts)
        time.sleep(2.0)
        assert [first.status, *(v.status for v in verdicts)] == ["correct"] * 200


def test_a_slow_source_is_not_held_against_the_cases() -> None:
    def source() -> Iterator[Case]:
        yield nasty("a")
        time.sleep(2.0)
        yield nasty("b")

    assert [v.status for v in verify_many(source(), 1, timeout=1.5)] == ["correct"] * 2


def test_a_slow_import_is_not_held_against_the_case() -> None:
    verdicts = verify_many([Case("lab.slow_import", "", "")] * 3, workers=1, timeout=1.5)
    assert [v.status for v in verdicts] == ["correct"] * 3


def test_an_abandoned_map_leaves_the_pool_usable() -> None:
    with Pool(2) as pool:
        verdicts = pool.map(nasty(str(i)) for i in itertools.count())
        next(verdicts)
        with pytest.raises(RuntimeError, match="one pool for each stream"):
            next(pool.map([nasty("x")]))
        verdicts.close()  # type: ignore[attr-defined]
        assert [v.answer for v in pool.map([nasty("a"), nasty("b")])] == ["a", "b"]


def test_a_worker_stays_for_the_next_map_and_an_idle_death_harms_nobody() -> None:
    with Pool(1) as pool:
        first = next(iter(list(pool.map([nasty("pid")])))).answer
        assert [v.answer for v in pool.map([nasty("pid")])] == [first]
        os.kill(int(first or 0), signal.SIGKILL)
        while Path(f"/proc/{first}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)
        (after,) = pool.map([nasty("pid")])
        assert after.status == "correct"
        assert after.answer != first


def test_an_error_of_the_source_reaches_the_caller() -> None:
    def source() -> Iterator[Case]:
        yield nasty("a")
        raise OSError("the lake is dry")

    with pytest.raises(OSError, match="the lake is dry"):
        list(verify_many(source()))


def verified() -> list[str]:
    return [v.status for v in verify_many([nasty("a"), nasty("exit")], timeout=60.0)]


def test_it_works_in_a_thread() -> None:
    results: list[list[str]] = []
    thread = threading.Thread(target=lambda: results.append(verified()))
    thread.start()
    thread.join()
    assert results == [["correct", "undecided"]]


def test_a_pool_outlives_the_thread_that_started_it() -> None:
    with Pool(1, timeout=60.0) as pool:
        thread = threading.Thread(target=lambda: list(pool.map([nasty("a")])))
        thread.start()
        thread.join()
        assert [v.status for v in pool.map([nasty("a")])] == ["correct"]


def test_it_works_inside_asyncio() -> None:
    async def both() -> tuple[list[str], list[str]]:
        return verified(), await asyncio.to_thread(verified)

    assert asyncio.run(both()) == (["correct", "undecided"], ["correct", "undecided"])


def _report(pipe: "multiprocessing.connection.Connection") -> None:
    pipe.send(verified())


def test_it_works_inside_a_daemonic_process() -> None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_report, args=(theirs,), daemon=True)
    process.start()
    assert ours.recv() == ["correct", "undecided"]
    process.join()


@pytest.mark.parametrize("killed_by", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_parent(killed_by: int, plugins: Path, tmp_path: Path) -> None:
    """Not even one inside a long C call, which never reads the end of its stdin."""
    pid_file = tmp_path / "pid"
    code = (
        f"import sys; sys.path[:0] = [{str(plugins)!r}]\n"
        "from verifiers import Case, verify_many\n"
        f"case = Case('lab.nasty', 'say so and hang', {str(pid_file)!r})\n"
        "list(verify_many([case], 1, timeout=9e4))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not (pid_file.exists() and pid_file.read_text()):
        assert parent.poll() is None
        time.sleep(0.01)
    parent.send_signal(killed_by)
    parent.wait()
    worker = Path("/proc") / pid_file.read_text()
    while worker.exists() and (worker / "stat").read_text().split()[2] != "Z":
        time.sleep(0.01)  # a worker that stays makes this test hang, which is its failure


def test_a_verifier_of_ours_and_a_private_one_are_found_by_name() -> None:
    assert load("math_equal").__name__ == "math_equal"
    assert version("math_equal") == 2
    assert version("lab.nasty") == 3


@pytest.mark.parametrize(
    "name", ["mth_equal", "pool", "answers", "lab.nsty", "lab.empty", "no.such", "", "../x", ".x"]
)
def test_a_misspelt_name_is_answered_with_the_right_ones(name: str) -> None:
    with pytest.raises(LookupError, match="exact_match, float_close, ifeval, json_equal"):
        load(name)
    (verdict,) = verify_many([Case(name, "5", "5")], workers=1)
    assert verdict.status == "undecided"
    assert "exact_match, float_close, ifeval, json_equal" in verdict.reason


def test_a_missing_dependency_is_reported_as_itself() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        load("lab.lacking")
    (verdict,) = verify_many([Case("lab.lacking", "5", "5")], workers=1)
    assert "No module named 'no_such_dependency'" in verdict.reason


def test_a_verifier_without_a_version_is_told_so() -> None:
    with pytest.raises(LookupError, match="has no `VERSION: int`"):
        version("lab.slow_import")


def test_a_pool_without_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="workers=0"):
        Pool(0)


CASES = Path(__file__).parents[3] / "shared" / "cases" / "answers.jsonl"


@pytest.mark.slow
@pytest.mark.skipif(not CASES.exists(), reason="the labelled answer cases are not on this machine")
def test_math_equal_agrees_with_the_labelled_answer_cases() -> None:
    rows = [json.loads(line) for line in CASES.read_text().splitlines()]
    core = [r for r in rows if r["task"] == "answer" and not r["policy"] and not r.get("heavy")]
    cases = [Case("math_equal", row["prediction"], row["gold"]) for row in core]
    accepted = [v.status == "correct" for v in verify_many(cases, workers=2, timeout=30.0)]
    labels = [row["expected"] for row in core]
    agreed = sum(a == label for a, label in zip(accepted, labels, strict=True))
    false = sum(a and not label for a, label in zip(accepted, labels, strict=True))
    assert agreed / len(core) >= 0.94
    assert false / labels.count(False) <= 0.02
