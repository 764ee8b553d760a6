"""The endpoints of one teacher together: who gets the next request, who is out, and when nobody is left.

Power of two choices: of two endpoints drawn at random the one with fewer tokens in flight for its size. One that cannot
be reached is out until a probe finds it back; one that only fails is out while another is left. What was asked of it
is asked again, elsewhere.
"""

import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections import deque

from factory.protocols import Exhausted, UserError
from factory.teachers._endpoint import EJECT, REFUSALS, Endpoint

POLL = 1.0
"""Seconds between two looks at an engine, and before the first probe of an endpoint that is out."""

LONGEST_PROBE = 30.0
LONGEST_WAIT = 3600.0
"""Seconds of a Retry-After above which it is not waited for: a quota is spent, and the run goes on another time."""

log = logging.getLogger("factory.teachers")


class Fleet:
    """See the module. `patience`: seconds that all of them may be out (None: for ever; somebody else decides)."""

    def __init__(self, endpoints: list[Endpoint], limit: int, patience: float | None) -> None:
        self.endpoints, self.limit, self.patience = endpoints, limit, patience
        self.end: UserError | None = None
        self.looks = self.idle_looks = self.running = 0
        self.kv = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._watchers: list[asyncio.Task[None]] = []

    @property
    def concurrency(self) -> int:
        """How many requests are wanted in flight now; never 0, for somebody has to be told of the end."""
        return max(1, min(self.limit, sum(e.pace.cap for e in self.endpoints if e.up and not e.held)))

    def start(self, expected: int) -> None:
        """Begin to watch; `expected` is the most tokens that a request may come to (0: unknown)."""
        self._watchers = [asyncio.create_task(self._watch(endpoint, expected)) for endpoint in self.endpoints]

    async def close(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await asyncio.gather(*(endpoint.client.close() for endpoint in self.endpoints))

    # -- who gets the next request -----------------------------------------------------------------------------------

    async def take(self, session: str = "") -> Endpoint:
        """An endpoint with room, as soon as there is one. Raises UserError when none will be."""
        while True:
            if self.end:
                raise self.end
            if (found := self._choose(session)) is not None:
                return found
            self._look_at_the_clock()
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self.wake()  # it may have been our turn
                raise

    def _choose(self, session: str) -> Endpoint | None:
        open_ones = [endpoint for endpoint in self.endpoints if endpoint.open]
        if session and open_ones:  # always the same one while it is there: it holds the beginning of the text
            return max(open_ones, key=lambda e: hashlib.blake2b(f"{session} {e.url}".encode(), digest_size=8).digest())
        return min(random.sample(open_ones, min(2, len(open_ones))), key=lambda e: e.load, default=None)

    def wake(self) -> None:
        """Let as many look again as there is room for; all of them at the end."""
        room = len(self._waiting) if self.end else sum(
            max(0, e.pace.cap - e.in_flight) for e in self.endpoints if e.up and not e.held)
        while room > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1

    def _look_at_the_clock(self) -> None:
        """Come back when the first of those that asked us to wait is open again; a wait of hours ends the run."""
        alive = [endpoint for endpoint in self.endpoints if endpoint.up]
        if not alive or any(not endpoint.held for endpoint in alive):
            return
        first = min(alive, key=lambda endpoint: endpoint.hold_until)
        wait = first.hold_until - time.monotonic()
        if wait > LONGEST_WAIT:
            when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time.time() + wait))
            self.finish(Exhausted(f"{first.url} takes no requests before {when} ({first.why}): what is finished is "
                                  "kept, and the same command goes on after that"))
        asyncio.get_running_loop().call_later(wait + 0.01, self.wake)

    # -- who is out --------------------------------------------------------------------------------------------------

    def failed(self, endpoint: Endpoint, reached: bool) -> None:
        """A request failed there. Whoever cannot be reached is out, whoever only fails is while another is left."""
        others = any(other.up for other in self.endpoints if other is not endpoint)
        if endpoint.failures >= EJECT and (others or not reached):
            self.eject(endpoint, endpoint.why)
        up = [other for other in self.endpoints if other.up]
        if up and all(other.refusals >= REFUSALS for other in up):
            self.finish(UserError(f"{endpoint.url} refuses every request ({endpoint.why}): see to the limits of the "
                                  "account and run the same command again, what is finished is kept"))

    def eject(self, endpoint: Endpoint, why: str) -> None:
        if endpoint.up:
            endpoint.eject(why)
            if len(self.endpoints) > 1:
                log.warning("%s is out (%s): its work goes to the others", endpoint.url, why)

    def dismiss(self, endpoint: Endpoint, why: UserError) -> bool:
        """Put one that refuses every request out for good; returns whether another is left."""
        endpoint.dismissed = True
        endpoint.eject(str(why))
        if any(not other.dismissed for other in self.endpoints):
            log.warning("%s: going on without it", why)
            return True
        return False

    def finish(self, error: UserError) -> UserError:
        """No request can work any more: whoever asks is told why, by what is returned."""
        self.end = self.end or error
        self.wake()
        return self.end

    # -- what the watchers do ----------------------------------------------------------------------------------------

    async def _watch(self, endpoint: Endpoint, expected: int) -> None:
        while True:
            if endpoint.up:
                with contextlib.suppress(ValueError):  # figures that are none: the next look may be better
                    await endpoint.look(expected)
                self._note(endpoint)
                self.wake()
                await asyncio.sleep(POLL)
            else:
                await asyncio.sleep(min(LONGEST_PROBE, POLL * 2 ** min(10, endpoint.strikes - 1)))
                await self._probe(endpoint)

    async def _probe(self, endpoint: Endpoint) -> None:
        if endpoint.up or endpoint.dismissed:  # up: whoever started the server has said so
            return
        if await endpoint.probe():
            self.come_back(endpoint)
        else:
            endpoint.strikes += 1
            self._lose_patience()

    def come_back(self, endpoint: Endpoint) -> None:
        endpoint.come_back()
        self.wake()

    def _note(self, endpoint: Endpoint) -> None:
        if endpoint.gauges:
            self.looks += 1
            self.idle_looks += not (endpoint.gauges.running or endpoint.gauges.waiting)
            self.running += endpoint.gauges.running
            self.kv += endpoint.gauges.kv

    def _lose_patience(self) -> None:
        since = [endpoint.since for endpoint in self.endpoints]
        if self.patience is None or None in since:
            return
        if time.monotonic() - max(s for s in since if s is not None) >= self.patience:
            last = max(self.endpoints, key=lambda endpoint: endpoint.since or 0.0)
            names = ", ".join(endpoint.url for endpoint in self.endpoints)
            self.finish(UserError(
                f"no answer from {names} any more ({last.why}): see to the server and run the same command again, what "
                "is finished is kept"))

    def figures(self) -> dict[str, float]:
        """What the throughput report tells of the engines; shares and means are over the looks at them."""
        looks = max(1, self.looks)
        gauged = [endpoint.gauges for endpoint in self.endpoints if endpoint.gauges]
        engine = dict(looks=float(self.looks), idle_share=self.idle_looks / looks, mean_running=self.running / looks,
                      mean_kv=self.kv / looks, preemptions=float(sum(g.preemptions for g in gauged)),
                      generation_tokens=float(sum(g.tokens for g in gauged))) if self.looks else {}
        return {**engine, "cap": float(self.concurrency), "refusals": float(sum(e.refused for e in self.endpoints)),
                "ejections": float(sum(e.ejections for e in self.endpoints))}
