"""Quotas: per minute in memory, per day in a file that restarts, kills and other processes share."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from factory.protocols import Exhausted, UserError
from factory.teachers import _limits
from factory.teachers._limits import Limits, Meter

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


class Clock:
    """Stands in for the module's `time` and for sleeping: nothing waits, the hands move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, unix: float = 1_800_000_000.0) -> None:
        self.now, self.unix, self.slept = 0.0, unix, list[float]()
        monkeypatch.setattr(_limits, "time", self)

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.now += seconds

        monkeypatch.setattr(_limits.asyncio, "sleep", sleep)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.unix + self.now


def spend(meter: Meter, requests: int, tokens: int = 10, used: int | None = None) -> None:
    async def run() -> None:
        for _ in range(requests):
            async with meter.charged(tokens) as charge:
                charge.used = used
    asyncio.run(run())


def test_never_more_requests_than_allowed_in_any_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, passed = Clock(monkeypatch), list[float]()
    meter = Meter(Limits(requests_per_minute=5), "host")

    async def run() -> None:
        for _ in range(23):
            async with meter.charged(1) as charge:
                charge.used = 1
            passed.append(clock.now)
            clock.now += 1.0
    asyncio.run(run())
    assert max(sum(1 for other in passed if t <= other < t + 60) for t in passed) == 5
    assert passed[-1] < 60 * 23 / 5, "and not slower than that"


def test_tokens_are_reserved_at_their_most_and_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    meter = Meter(Limits(tokens_per_minute=1000), "host")
    spend(meter, 6, tokens=500, used=100)
    assert clock.slept == [], "500 used and 500 reserved fit into a minute of 1,000"
    spend(meter, 1, tokens=500, used=100)
    assert len(clock.slept) == 1
    spend(Meter(Limits(tokens_per_minute=10), "host"), 2, tokens=500)
    assert len(clock.slept) == 2, "a request that is larger than a minute goes alone, not never"


def test_a_day_survives_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    limits = Limits(requests_per_day=5)
    spend(Meter(limits, "api.example m"), 3)
    with pytest.raises(Exhausted, match=r"api\.example is spent \(5 of 5 requests\).*after 2027-01-16 00:00 UTC"):
        spend(Meter(limits, "api.example m"), 3)
    spend(Meter(limits, "api.example other"), 1)


def test_the_next_day_has_its_own_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    meter = Meter(Limits(requests_per_day=2, reset_hour=8), "host")
    spend(meter, 2)
    with pytest.raises(Exhausted, match="08:00 UTC"):
        spend(meter, 1)
    clock.unix += 24 * 3600
    spend(meter, 2)


def test_the_days_tokens_wait_for_corrections_before_they_are_called_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    meter = Meter(Limits(tokens_per_day=1000), "host")

    async def run() -> list[str]:
        first = await meter.admit(900)
        waiting = asyncio.ensure_future(meter.admit(500))
        for _ in range(3):
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        said = ["waits" if not waiting.done() else "went"]
        first.used = 100
        meter.settle(first)
        second = await waiting
        second.used = 500
        meter.settle(second)
        with pytest.raises(Exhausted, match="600 of 1,000 tokens"):
            await meter.admit(500)
        return said
    assert asyncio.run(run()) == ["waits"]


def test_a_kill_in_the_middle_makes_no_room(home: Path) -> None:
    """A process is killed between its requests, again and again: together they never pass the quota."""
    script = """
import asyncio, os, signal, sys
from factory.teachers._limits import Limits, Meter
async def run():
    meter = Meter(Limits(requests_per_day=40), "host")
    for _ in range(7):
        await meter.admit(1)
        os.write(1, b"x")
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(run())
"""
    sent = sum(len(subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True).stdout)
               for _ in range(7))
    assert sent == 40


def test_a_torn_file_is_begun_anew_and_a_folder_without_rights_is_said(home: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    meter = Meter(Limits(requests_per_day=2), "host")
    spend(meter, 1)
    next(_limits.folder().glob("*.json")).write_text('{"requests": 1, "tok')
    spend(meter, 2)

    def refuse(*_: Any) -> int:
        raise PermissionError
    monkeypatch.setattr(_limits.os, "open", refuse)
    with pytest.raises(UserError, match="set XDG_STATE_HOME"):
        spend(meter, 1)


@pytest.mark.parametrize(("given", "said"), [
    ({"rpm": 3}, "teacher.limits has no 'rpm': use one of requests_per_minute"),
    ({"requests_per_day": -1}, "teacher.limits.requests_per_day is -1"), ({"reset_hour": 24}, "reset_hour is 24")])
def test_limits_that_cannot_be_are_refused(given: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Limits.read(given)
