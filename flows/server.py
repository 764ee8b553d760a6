"""A Prefect server for one run, where none is configured.

Prefect can start one itself, but as a child in the terminal's process group: Ctrl-C ends it with us, every report of
the interrupted flow then waits for a server that is gone (five minutes were measured), and a `kill -9` leaves it
behind. Ours stands under a guard, so it outlives Ctrl-C and never outlives us.
"""

import atexit
import os
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from factory import guard
from factory.protocols import UserError

PATIENCE = 180.0
"""Seconds until a starting server is given up; 5 to 25 were measured."""


def ensure(log: Path) -> None:
    """After this there is a Prefect server: the configured one, or one of our own until the interpreter's exit (what
    Prefect still reports after the flow has ended has to find it). Raises UserError when it does not start.
    """
    if get_current_settings().api.url:
        return
    port = _free_port()
    address = f"http://127.0.0.1:{port}/api"
    started = guard.start([sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--host", "127.0.0.1",
                           "--port", str(port)], os.environ, log)
    atexit.register(guard.stop, started)
    _wait(address, started, log)
    os.environ["PREFECT_API_URL"] = address  # where a task in a process of its own finds it, too
    refresh_global_settings_context()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(address: str, started: Any, log: Path) -> None:
    given_up = time.monotonic() + PATIENCE
    while not _answers(address):
        if started.poll() is not None or time.monotonic() > given_up:
            raise UserError(f"Prefect's server did not start (its log: {log}): run with --direct, which needs none, or "
                            "start one with `prefect server start` and set PREFECT_API_URL")
        time.sleep(0.1)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=10) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
