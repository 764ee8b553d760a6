"""One endpoint of a teacher: how much is in flight there, how much may be, and whether it is up."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from factory.protocols import AskFailed
from factory.teachers import _control as control
from factory.teachers._client import Broken, Client, Refused, Wire
from factory.teachers._control import Gauges, Pace

T = TypeVar("T")

EJECT = 5
"""Failures in a row after which an endpoint is left out, while there is another."""

REFUSALS = 8
"""Refusals in a row, each waited out, after which an endpoint counts as one that does not answer."""

LONGEST = 60.0
"""Seconds of the longest pause that we choose ourselves; a Retry-After may ask for more, and gets it."""


class Endpoint:
    """See the module. `hold_until` and `since` are monotonic seconds; `since`: when it went out (None: it is up)."""

    def __init__(self, wire: Wire, limit: int, idle_timeout: float) -> None:
        self.wire, self.client, self.idle_timeout = wire, Client(wire), idle_timeout
        self.pace = Pace(limit, limit)
        self.gauges: Gauges | None = None
        self.since: float | None = None
        self.in_flight = self.tokens = self.failures = self.refusals = self.strikes = self.ejections = self.refused = 0
        self.hold_until = 0.0
        self.why, self.dismissed = "", False
        self._moved = time.monotonic()
        self._asking: dict[asyncio.Timeout, float] = {}

    @property
    def url(self) -> str:
        return self.wire.url

    @property
    def up(self) -> bool:
        return self.since is None

    @property
    def held(self) -> bool:
        return time.monotonic() < self.hold_until

    @property
    def open(self) -> bool:
        """Whether a request may go here now."""
        return self.up and not self.held and self.in_flight < self.pace.cap

    @property
    def load(self) -> float:
        """Tokens in flight for each that may be: what the choice between two endpoints looks at."""
        return self.tokens / self.pace.cap

    async def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], tokens: int,
                   read: Callable[[bytes], T]) -> T:
        """What `read` makes of the reply, with the books kept. Raises as `Client.post` and `read` do."""
        self.in_flight, self.tokens = self.in_flight + 1, self.tokens + tokens
        try:
            reply = read(await self._unless_silent(self.client.post(path, body, headers)))
        except Refused as refusal:
            self._refused(refusal)
            raise
        except AskFailed as failure:
            self.failures += failure.retry
            self.why = failure.reason
            raise
        else:
            self.failures = self.refusals = self.strikes = 0
            self.pace = control.answered(self.pace, self.in_flight, gauged=self.gauges is not None)
            return reply
        finally:
            self.in_flight, self.tokens = self.in_flight - 1, self.tokens - tokens

    async def _unless_silent(self, reply: Any) -> bytes:
        """Without gauges the socket's silence is what counts (`Wire.silence`); with them, a silent engine."""
        if self.gauges is None:
            return bytes(await reply)
        try:
            async with asyncio.timeout(None) as limit:
                self._asking[limit] = time.monotonic()
                return bytes(await reply)
        except TimeoutError:
            raise AskFailed(f"{self.url} made no token for {self.idle_timeout:g} seconds", retry=True) from None
        finally:
            self._asking.pop(limit, None)

    def _refused(self, refusal: Refused) -> None:
        """Fewer at once; and nobody before the time is over, which doubles where the server names none."""
        self.refused += 1
        self.why = refusal.reason
        if not self.held:  # those under way with the first one are refused for the same reason
            self.refusals += 1
            pause = min(LONGEST, 2.0 ** (self.refusals - 1)) * random.uniform(0.75, 1.0)
            self.hold_until = time.monotonic() + (refusal.wait or pause)
        elif refusal.wait:
            self.hold_until = max(self.hold_until, time.monotonic() + refusal.wait)
        self.pace = control.refused(self.pace, self.in_flight)

    def eject(self, why: str) -> None:
        """Out until it comes back; `strikes` in a row make the pauses longer."""
        self.since, self.why, self.ejections, self.strikes = time.monotonic(), why, self.ejections + 1, self.strikes + 1

    def come_back(self) -> None:
        """On trial: the next failure puts it out again, the next answer makes it one like the others."""
        self.since, self.failures, self._moved = None, EJECT - 1, time.monotonic()

    async def look(self, expected: int) -> None:
        """Read the engine's gauges and move the pace; where there are none, the cap is fixed (but for refusals).

        `expected`: the most tokens that a request may come to (0: unknown).
        """
        try:
            text = (await self.client.get(f"{self.client.root}/metrics", timeout=5.0)).decode("utf-8", "replace")
        except Exception:  # a page that is not there, or is busy: the requests themselves say what is wrong
            return
        gauges = control.read_gauges(text)
        if gauges is None:
            return
        if self.gauges is None or gauges.tokens != self.gauges.tokens:
            self._moved = time.monotonic()
        if self.gauges is None:
            self.pace = control.begin(self.pace.limit, gauges.room, expected)
            self.client.patient = True
        self.gauges = gauges
        self.pace = control.observe(self.pace, gauges, self.in_flight)
        self._end_the_silent()

    def _end_the_silent(self) -> None:
        """Give up requests that an engine without any progress holds; one that writes tokens may take its time."""
        long_ago = time.monotonic() - self.idle_timeout
        if self._moved < long_ago:
            for limit, asked in list(self._asking.items()):
                if asked < long_ago:
                    limit.reschedule(asyncio.get_running_loop().time())

    async def probe(self) -> bool:
        """Whether it answers at all: a refusal is an answer."""
        try:
            await self.client.get("/models", timeout=5.0)
        except Broken:
            return False
        except Exception:
            return True
        return True
