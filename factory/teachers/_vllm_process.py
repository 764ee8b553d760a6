"""One `vllm serve` process: started, probed while it is watched, restarted with pauses when it dies, and stopped.

It runs under a guard (`factory.guard`), so it does not outlive us.
"""

import asyncio
import contextlib
import http.client
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from factory import guard
from factory.protocols import UserError
from factory.teachers._vllm_command import HOST, Options, advice, complaint

POLL = 0.2
"""Seconds between two looks at the process."""

BACK_OFF = 1.0
"""Seconds before the first restart; twice as long before each further one."""


class VllmProcess:
    """See the module. `up`, `down` and `gone` are called when it answers again, has died, and has died for good."""

    def __init__(self, options: Options, port: int, devices: Sequence[str], log: Path | None, start_timeout: float,
                 restarts: int) -> None:
        self.options, self.port, self.devices = options, port or free_port(), devices
        self.start_timeout, self.restarts, self.deaths = start_timeout, restarts, 0
        self.log = log or _temporary_log()
        self.process: subprocess.Popen[bytes] | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}/v1"

    async def start(self) -> None:
        """Start the server and wait until it is healthy. Raises UserError if it ends or takes too long."""
        offset = self.log.stat().st_size if self.log.exists() else 0
        self.process = guard.start(self.options.command(self.port), self.options.environment(self.devices), self.log)
        deadline = time.monotonic() + self.start_timeout
        while not await asyncio.to_thread(_is_healthy, self.port):
            if self.process.poll() is not None:
                said = complaint(self.log, offset)
                raise UserError(f"vLLM did not start: {said}: {advice(said)} (the whole log is in {self.log})")
            if time.monotonic() > deadline:
                await asyncio.to_thread(self._end)
                raise UserError(f"vLLM was not ready after {self.start_timeout:g} seconds: raise "
                                f"teacher.start_timeout, or see in {self.log} what it waits for")
            await asyncio.sleep(POLL)

    def watch(self, up: Callable[[], None], down: Callable[[str], None], gone: Callable[[], None]) -> None:
        self._watcher = asyncio.create_task(self._watch(up, down, gone))

    async def _watch(self, up: Callable[[], None], down: Callable[[str], None], gone: Callable[[], None]) -> None:
        """Restart the server whenever it ends, after longer and longer pauses, until `restarts` is used up."""
        while self.deaths <= self.restarts:
            while self.process and self.process.poll() is None:
                await asyncio.sleep(POLL)
            self.deaths += 1
            down(complaint(self.log, 0))
            await asyncio.to_thread(self._end)  # what it left behind may hold its port
            if self.deaths <= self.restarts:
                await asyncio.sleep(min(60.0, BACK_OFF * 2.0 ** (self.deaths - 1)))
                with contextlib.suppress(UserError):  # a start that failed is one more death
                    await self.start()
                    up()
        gone()

    def obituary(self) -> UserError:
        times, said = "once" if self.deaths == 1 else f"{self.deaths} times", complaint(self.log, 0)
        return UserError(f"vLLM died {times}, at last of: {said}: {advice(said)} and run again, finished rows are kept "
                         f"(the whole log is in {self.log})")

    async def stop(self) -> None:
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await asyncio.shield(asyncio.to_thread(self._end))  # a second Ctrl-C must not leave a server behind

    def _end(self) -> None:
        process, self.process = self.process, None
        if process:
            guard.stop(process)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_healthy(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy on the way to ourselves
    try:
        with opener.open(f"http://{HOST}:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def _temporary_log() -> Path:
    handle, name = tempfile.mkstemp(prefix="vllm-", suffix=".log")
    os.close(handle)
    return Path(name)
