"""A conversation with a process in a cell: messages of bytes, each with its length in front (4 bytes, big-endian)."""

import contextlib
import select
import socket
import time
from collections.abc import Callable

from verifiers.cell.cell import ready
from verifiers.cell.outcome import Run

MOST = 1 << 26  # bytes of one message


class Talker:
    """The supervisor's end. What it receives was written by a hostile process."""

    def __init__(self, end: socket.socket, ended: Callable[[], Run], stop: Callable[[], None]) -> None:
        self._socket, self._ended, self._stop = end, ended, stop
        self._run: Run | None = None
        end.setblocking(False)

    def send(self, message: bytes, seconds: float = 10.0) -> bool:
        """Whether the other side has taken it all in time."""
        data, deadline = memoryview(len(message).to_bytes(4, "big") + message), time.monotonic() + seconds
        while data:
            if not ready(self._socket, deadline - time.monotonic(), select.POLLOUT):
                return False
            try:
                data = data[self._socket.send(data) :]
            except OSError:
                return False
        return True

    def receive(self, timeout: float) -> bytes | None:
        """The next message; None when none came in time, the process has ended, or it sends nonsense."""
        deadline = time.monotonic() + timeout
        head = self._exactly(4, deadline)
        if head is None or int.from_bytes(head, "big") > MOST:
            return None
        return self._exactly(int.from_bytes(head, "big"), deadline)

    def _exactly(self, count: int, deadline: float) -> bytes | None:
        parts = []
        while count:
            if not ready(self._socket, deadline - time.monotonic()):
                return None
            try:
                part = self._socket.recv(min(count, 1 << 20))
            except OSError:
                return None
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def end(self) -> Run:
        """Close our side, wait until the process has ended by itself or at its limits, and what it did."""
        if self._run is None:
            self._socket.close()
            self._run = self._ended()
        return self._run

    def kill(self) -> Run:
        """End the process at once."""
        if self._run is None:
            with contextlib.suppress(OSError):
                self._stop()
        return self.end()
