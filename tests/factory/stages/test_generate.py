"""traces: what is bought is bought once and kept, whatever fails beside it."""

import asyncio
import errno
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from factory import lake as lakes
from factory.lake import Lake
from factory.protocols import UserError
from factory.run import Run
from factory.stages import buyer, generate, load, writer
from factory.stages import owed as owing

Make = Callable[..., Run]
Private = Callable[[str, str], str]

TEACHER = '''
import asyncio
from pathlib import Path
from factory.protocols import AskFailed, UserError
from factory.records import Completion

class Teacher:
    def __init__(self, log, fails, concurrency):
        self.log, self.fails, self.concurrency = Path(log), fails, concurrency
        self.identity = {"plugin": "mine"}
    def check(self): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass
    async def ask(self, messages, seed):
        await asyncio.sleep(0)
        with self.log.open("a") as log:
            log.write(f"{messages[-1]['content']} {seed}\\n")
        if self.fails in ("always", "for good") or self.fails and self.fails in messages[-1]["content"]:
            raise AskFailed("no luck", retry=self.fails != "for good")
        return Completion("so", "\\\\boxed{1}", "<think>so</think>\\\\boxed{1}", "stop", 1, 3)

def mine(*, log: str, fails: str = "", concurrency: int = 2):
    return Teacher(log, fails, concurrency)
'''


def job_of(run: Run) -> generate.Job:
    return generate.Job(run, "train", generate.make_teacher(run.recipe.teacher), run.recipe.generate)


class Bench:
    """A private teacher that notes every question in a file."""

    def __init__(self, make_run: Make, private: Private, folder: Path) -> None:
        self.make_run, self.name, self.log = make_run, private("mine", TEACHER), folder / "asked.txt"

    def run(self, fails: str = "", concurrency: int = 2, on: Lake | None = None, **options: Any) -> Run:
        teacher = {"plugin": self.name, "log": str(self.log), "fails": fails, "concurrency": concurrency}
        made = self.make_run(on=on, teacher=teacher, generate={"samples": 2, **options})
        load.load(made)
        return made

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def bench(make_run: Make, private: Private, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    really = asyncio.sleep
    monkeypatch.setattr(generate.asyncio, "sleep", lambda seconds: really(0))  # no test waits for a second attempt
    return Bench(make_run, private, tmp_path)


def samples(lake: Lake) -> list[int]:
    return [row["sample"] for row in lake.rows("SELECT sample FROM traces ORDER BY problem_id, sample")]


def failures(lake: Lake) -> list[dict[str, Any]]:
    return lake.rows("SELECT reason, retry, attempts FROM failures")


def test_every_sample_of_every_problem_is_asked_once(bench: Bench) -> None:
    run = bench.run()
    assert generate.generate(run) == 8
    assert samples(run.lake) == [0, 1] * 4
    assert len(set(bench.asked())) == 8


def test_asking_again_asks_nothing(bench: Bench) -> None:
    run = bench.run()
    generate.generate(run)
    assert generate.generate(run) == 0
    assert len(bench.asked()) == 8


def test_raising_the_samples_buys_only_the_new_ones(bench: Bench) -> None:
    generate.generate(bench.run(samples=2))
    more = bench.run(samples=3)
    assert generate.generate(more) == 4
    assert samples(more.lake) == [0, 1, 2] * 4
    assert len(set(bench.asked())) == len(bench.asked()) == 12


def test_only_what_lacks_is_asked_after_an_interruption(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.run()
    (todo,) = generate.owed(job_of(run))
    with monkeypatch.context() as half:
        half.setattr(buyer, "owed", lambda job: iter([todo[:2]]))
        assert generate.generate(run) == 4
    assert generate.generate(run) == 4
    assert len(set(bench.asked())) == len(bench.asked()) == 8


def test_another_teacher_owes_everything(bench: Bench) -> None:
    generate.generate(bench.run())
    other = bench.make_run(generate={"samples": 1})
    load.load(other)
    assert generate.generate(other) == 4


def test_a_failure_is_a_tombstone_and_its_neighbours_are_bought(bench: Bench) -> None:
    run = bench.run(fails="3 + 4", attempts=2)
    assert generate.generate(run) == 6
    assert failures(run.lake) == [{"reason": "no luck", "retry": True, "attempts": 2}] * 2
    assert len(bench.asked()) == 6 + 2 * 2


def test_what_failed_is_asked_again_by_the_next_run(bench: Bench) -> None:
    run = bench.run(fails="3 + 4", attempts=1)
    generate.generate(run)
    bench.log.unlink()
    assert generate.generate(run) == 0
    assert len(bench.asked()) == 2


def test_what_failed_for_good_is_not_asked_again(bench: Bench) -> None:
    run = bench.run(fails="for good", attempts=3)
    generate.generate(run)
    assert generate.generate(run) == 0
    assert len(bench.asked()) == 8


def test_too_many_failures_in_a_row_end_the_run_in_one_sentence(bench: Bench) -> None:
    run = bench.run(fails="always", attempts=1, abort_after=3, concurrency=1)
    with pytest.raises(UserError, match="3 requests in a row failed, the last with: no luck; what is finished is kept"):
        generate.generate(run)
    assert len(failures(run.lake)) == 3


def test_a_success_in_between_starts_the_count_anew(bench: Bench) -> None:
    run = bench.run(fails="3 + 4", attempts=1, abort_after=3, concurrency=1)
    assert generate.generate(run) == 6


@pytest.mark.parametrize(("code", "reason"), [
    ("raise RuntimeError('a bug')", "RuntimeError: a bug"),
    ("return 'a text'", "TypeError: the strategy returned a str instead of a Completion"),
])
def test_a_strategy_that_breaks_is_the_failure_of_its_row(bench: Bench, private: Private, code: str,
                                                          reason: str) -> None:
    name = private("broken", f"async def broken(problem, ask):\n    if '1 + 2' in problem.prompt: {code}\n"
                             "    return await ask([{'role': 'user', 'content': problem.prompt}])")
    run = bench.run(strategy=name)
    assert generate.generate(run) == 6
    assert failures(run.lake) == [{"reason": reason, "retry": False, "attempts": 1}] * 2


def test_each_sample_and_each_question_of_a_sample_has_its_own_seed(bench: Bench, private: Private) -> None:
    name = private("twice", "async def twice(problem, ask):\n    m = [{'role': 'user', 'content': problem.prompt}]\n"
                            "    await ask(m)\n    return await ask(m)")
    generate.generate(bench.run(strategy=name))
    assert len(set(bench.asked())) == 16


def test_the_steps_of_a_trace_are_kept_with_it(bench: Bench, private: Private) -> None:
    name = private("tree", "from dataclasses import replace\nfrom factory.records import Step\n"
                           "async def tree(problem, ask):\n    c = await ask([{'role': 'user', 'content': 'x'}])\n"
                           "    return replace(c, steps=(Step(0, 'node', 'a'), Step(1, 'node', 'b', parent=0)))")
    run = bench.run(strategy=name)
    generate.generate(run)
    found = run.lake.rows('SELECT trace_id, "index", parent FROM steps')
    assert len(found) == 16
    assert {row["trace_id"] for row in found} == run.lake.ids("traces")


def full(lake: Lake, table: str, rows: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_the_asking_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.run(samples=2500)
    monkeypatch.setattr(Lake, "journal", full)
    with pytest.raises(OSError, match="No space left"):
        generate.generate(run)
    assert len(bench.asked()) < 2 * writer.BACKLOG + 100 < 10_000  # what the writer had in hand, and what then waited


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB; only root can have one."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("may not mount a disk here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_loses_nothing_that_was_finished(bench: Bench, private: Private, small_disk: Path) -> None:
    wordy = private("wordy", "from dataclasses import replace\nasync def wordy(problem, ask):\n"
                             "    c = await ask([{'role': 'user', 'content': problem.prompt}])\n"
                             "    return replace(c, raw=c.raw + 'x' * 20000)")
    run = bench.run(on=Lake(small_disk / "lake"), samples=200, strategy=wordy)
    with pytest.raises(OSError, match="No space left") as fault, run.lake.writing():
        generate.generate(run)
    assert fault.value.errno == errno.ENOSPC
    kept = Lake(small_disk / "lake", create=False).ids("traces")
    assert 0 <= len(bench.asked()) - len(kept) <= 2  # of each worker, the question that was on its way
    assert len(kept) > 50
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    again = bench.run(on=Lake(small_disk / "lake"), samples=200, strategy=wordy)
    with again.lake.writing():
        assert again.lake.ids("traces") == kept
        assert generate.generate(again) == 800 - len(kept)
    assert len(bench.asked()) - 800 <= 2


def test_a_file_that_must_not_grow_loses_nothing_that_was_finished(bench: Bench) -> None:
    run = bench.run(samples=200)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            generate.generate(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert 0 <= len(bench.asked()) - len(run.lake.ids("traces")) <= 2


def test_a_clock_that_jumps_back_buys_nothing_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    generate.generate(bench.run(samples=2))
    monkeypatch.setattr(lakes, "now", lambda: "1970-01-01T00:00:00.000Z")
    assert generate.generate(bench.run(samples=3)) == 4
    assert len(set(bench.asked())) == len(bench.asked()) == 12


def test_the_asking_follows_a_concurrency_that_moves(bench: Bench, private: Private) -> None:
    name = private("moving", """
import asyncio
from factory.records import Completion
class Teacher:
    identity = {"plugin": "moving"}
    def __init__(self): self.now = self.most = self.asked = 0
    @property
    def concurrency(self): return 2 if self.asked < 20 else 5
    def check(self): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass
    async def ask(self, messages, seed):
        self.asked += 1
        self.now += 1
        assert self.now <= self.concurrency, self.now
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.now -= 1
        return Completion("", "", str(self.most), "stop")
def moving(): return Teacher()
""")
    run = bench.make_run(teacher=name, generate={"samples": 20})
    load.load(run)
    assert generate.generate(run) == 80
    assert run.lake.value("SELECT count(*) FROM failures") == 0
    assert run.lake.value("SELECT max(raw::INT) FROM traces") == 5


def test_the_throughput_is_a_row(bench: Bench) -> None:
    run = bench.run(fails="3 + 4", attempts=1)
    generate.generate(run)
    (row,) = run.lake.rows("SELECT stage, traces, failures, cancelled, tokens, idle FROM throughput")
    assert row == dict(stage="generate", traces=6, failures=2, cancelled=0, tokens=18, idle=None)
    assert run.lake.value("SELECT client_cpu > 0 AND seconds > 0 AND in_flight > 0 FROM throughput")


def test_owed_problems_come_in_ranges_that_hold_each_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.run()
    whole = [asked.problem.id for found in generate.owed(job_of(run)) for asked in found]
    monkeypatch.setattr(owing, "AT_ONCE", 1)
    ranges = list(generate.owed(job_of(run)))
    assert len(ranges) > 1
    assert [asked.problem.id for found in ranges for asked in found] == whole == sorted(whole)


def test_what_is_finished_is_kept_when_the_asking_is_interrupted(bench: Bench) -> None:
    run = bench.run(samples=500)

    async def interrupted() -> None:
        buying = asyncio.ensure_future(generate._buy({"generate": job_of(run)}, {"generate": 2000}))
        while len(bench.asked()) < 50:
            await asyncio.wait([buying], timeout=0)
        buying.cancel()
        await asyncio.wait([buying])
    asyncio.run(interrupted())
    lost = len(bench.asked()) - len(samples(run.lake))
    assert 0 <= lost <= 2  # of each worker, the question that was on its way


def test_what_is_finished_is_kept_of_a_second_interruption(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.run(samples=500)

    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    async def again(_: Any) -> None:
        raise asyncio.CancelledError

    async def interrupted() -> None:
        buying = asyncio.ensure_future(generate._buy({"generate": job_of(run)}, {"generate": 2000}))
        while len(bench.asked()) < 50:
            await asyncio.wait([buying], timeout=0)
        monkeypatch.setattr(buyer.Buyer, "_land_all", again)
        buying.cancel()
        await asyncio.wait([buying])
    monkeypatch.setattr(writer.Writer, "work", never)  # a disk so slow that all of it still waits
    asyncio.run(interrupted())
    assert len(samples(run.lake)) >= 48


def test_an_owed_prompt_is_read_back_as_it_was(bench: Bench) -> None:
    run = bench.run()
    assert {asked.problem.id for found in generate.owed(job_of(run)) for asked in found} == run.lake.ids("problems")
