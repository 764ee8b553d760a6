"""An account's limits: requests and tokens per minute and per day, shared by every process and run of this user.

What a day has used is kept in a small file, counted before a request leaves, so that neither a restart nor a `kill -9`
makes room that is not there. Tokens are reserved at their most and corrected by the answer's own count.
"""

import asyncio
import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from factory.protocols import Exhausted, UserError

MINUTE = 60.0


@dataclass(frozen=True)
class Limits:
    """The numbers; 0: no limit. `reset_hour` is the hour (UTC) at which the endpoint's day begins."""

    requests_per_minute: float = 0
    tokens_per_minute: float = 0
    requests_per_day: float = 0
    tokens_per_day: float = 0
    reset_hour: float = 0

    @classmethod
    def read(cls, given: Mapping[str, float]) -> Self:
        """From a recipe's table. Raises UserError for a name that is none and for a number that cannot be."""
        names = [field.name for field in fields(cls)]
        for name, value in given.items():
            if name not in names:
                raise UserError(f"teacher.limits has no '{name}': use one of {', '.join(names)}")
            if value < 0 or (name == "reset_hour" and value >= 24):
                raise UserError(f"teacher.limits.{name} is {value:g}: set 0 (no limit) or more, reset_hour below 24")
        return cls(**given)

    @property
    def daily(self) -> bool:
        return bool(self.requests_per_day or self.tokens_per_day)

    def day(self, now: float) -> str:
        """The endpoint's day at `now` (Unix seconds)."""
        return dt.datetime.fromtimestamp(now - self.reset_hour * 3600, dt.UTC).date().isoformat()

    def next_day(self, now: float) -> str:
        """When the next one begins, for a sentence."""
        begun = dt.datetime.fromisoformat(self.day(now)).replace(tzinfo=dt.UTC)
        return f"{begun + dt.timedelta(days=1, hours=self.reset_hour):%Y-%m-%d %H:%M} UTC"


@dataclass
class Charge:
    """One request: when it was let through (monotonic seconds), its tokens (reserved at first), its day; and, when it
    is over, how many tokens it `used` (None: not known)."""

    at: float
    tokens: int
    day: str = ""
    used: int | None = 0


class Meter:
    """Lets requests through as the limits allow, one after the other. `account` is a name for the day's file."""

    def __init__(self, limits: Limits, account: str) -> None:
        self.limits, self.account = limits, account
        self._recent: deque[Charge] = deque()
        self._line, self._settled, self._open = asyncio.Lock(), asyncio.Event(), 0

    @property
    def counts(self) -> bool:
        """Whether there is any limit."""
        return self.limits != Limits()

    @contextlib.asynccontextmanager
    async def charged(self, tokens: int) -> AsyncIterator[Charge]:
        """Around one request of at most `tokens` (0: it counts as none), which notes what it used."""
        charge = await self.admit(tokens) if tokens and self.counts else Charge(0.0, tokens)
        try:
            yield charge
        finally:
            if tokens and self.counts:
                self.settle(charge)

    async def admit(self, tokens: int) -> Charge:
        """Wait until a request of at most `tokens` may leave. Raises Exhausted when the day's quota has no room."""
        async with self._line:
            while wait := self._wait(tokens):
                await asyncio.sleep(wait)
            charge = Charge(time.monotonic(), tokens)
            if self.limits.daily:
                await self._reserve(charge)
            charge.at = time.monotonic()
            self._recent.append(charge)
            self._open += 1
            return charge

    def settle(self, charge: Charge) -> None:
        """The request is over: what it used takes the place of what was reserved."""
        change, self._open = (0 if charge.used is None else charge.used - charge.tokens), self._open - 1
        charge.tokens += change
        if change and charge.day:
            with self._file(charge.day) as used:
                used["tokens"] += change
        self._settled.set()

    def _wait(self, tokens: int) -> float:
        """Seconds until the last minute has room; 0 if it has. A request larger than a minute's tokens goes alone."""
        now = time.monotonic()
        while self._recent and self._recent[0].at <= now - MINUTE:
            self._recent.popleft()
        requests, most = self.limits.requests_per_minute, self.limits.tokens_per_minute
        full = (requests and len(self._recent) + 1 > requests) or (
            most and self._recent and sum(charge.tokens for charge in self._recent) + tokens > most)
        return max(0.01, self._recent[0].at + MINUTE - now) if full and self._recent else 0.0

    async def _reserve(self, charge: Charge) -> None:
        """Count the request in the day's file. While others of ours are under way, their corrections may make room."""
        while over := self._over(charge):
            if over == "requests" or not self._open:
                raise Exhausted(self._spent())
            self._settled.clear()
            await self._settled.wait()

    def _over(self, charge: Charge) -> str:
        """Count it, or say what there is not enough of."""
        charge.day = self.limits.day(time.time())
        limits = self.limits
        with self._file(charge.day) as used:
            if limits.requests_per_day and used["requests"] + 1 > limits.requests_per_day:
                return "requests"
            if limits.tokens_per_day and used["tokens"] + charge.tokens > limits.tokens_per_day:
                return "tokens"
            used["requests"] += 1
            used["tokens"] += charge.tokens
        return ""

    def _spent(self) -> str:
        now = time.time()
        with self._file(self.limits.day(now)) as used:
            figures = [f"{used[what]:,} of {most:,.0f} {what}" for what, most in (
                ("requests", self.limits.requests_per_day), ("tokens", self.limits.tokens_per_day)) if most]
        return (f"the day's quota of {self.account.split(' ')[0]} is spent ({', '.join(figures)}): what is finished is "
                f"kept, and the same command goes on after {self.limits.next_day(now)}")

    @contextlib.contextmanager
    def _file(self, day: str) -> Iterator[dict[str, int]]:
        """The day's figures, locked against other processes while they are changed."""
        path = folder() / f"{hashlib.sha256(self.account.encode()).hexdigest()[:16]}-{day}.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                used = _figures(os.pread(file.fileno(), 1000, 0))
                before = dict(used)
                yield used
                if used != before:  # in place, of one width and in one call: a `kill -9` cannot leave it half written
                    os.pwrite(file.fileno(), f"{json.dumps(used):<100}\n".encode(), 0)
        except PermissionError as error:
            raise UserError(f"the day's quota cannot be counted in {path}: set XDG_STATE_HOME to a folder that can be "
                            "written, or remove the limits per day") from error


def folder() -> Path:
    """Where quotas are counted: the user's, since two lakes with one account share them."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "cot-factory" / "quotas"


def _figures(text: bytes) -> dict[str, int]:
    try:
        read = json.loads(text)
        return {"requests": int(read["requests"]), "tokens": int(read["tokens"])}
    except (ValueError, KeyError, TypeError):  # new, or torn by a crash of the machine
        return {"requests": 0, "tokens": 0}
