"""The parent's end of one worker process: its pipes, the cases it holds, and when it is late.

Nothing here blocks: both pipes are non-blocking and the pool's loop says when to write and read.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from typing import Any, NamedTuple

from verifiers.verdict import Verdict
from verifiers.worker import OUT_OF_MEMORY

START_SECONDS = 120.0  # to say hello, or to import a verifier, on a busy machine
DEPTH = 32  # most cases a worker holds at a time
BATCH_SECONDS = 0.02  # and about how much work those should be


class Case(NamedTuple):
    """A verifier's name, the response it reads and the reference it compares with."""

    verifier: str
    response: str
    reference: str


Job = tuple[int, Case]  # with its number in the stream

_MAIN = """
import json, sys
path, memory_mb, lifeline = json.loads(sys.argv[1])
sys.path[:] = path
from verifiers.worker import main
main(memory_mb, lifeline)
"""


class WorkerProcess:
    """One `verifiers.worker`. `queue` holds the unanswered cases; the first is the one it is at."""

    def __init__(self, timeout: float, memory_mb: int) -> None:
        self._timeout, self._memory_mb = timeout, memory_mb
        self.queue: deque[Job] = deque()
        self._ends: deque[int] = deque()  # where the line of each ends, counted from the first byte
        self._outbox, self._sent = bytearray(), 0
        self._inbox = bytearray()
        self.greeted = self.ended = self._loading = self._garbled = False
        self._pace = BATCH_SECONDS / 8  # seconds a case, smoothed
        self._needed = 0.0  # seconds that the verifier asked for, for the case it is at
        self._deadline = time.monotonic() + START_SECONDS
        self._start()

    def _start(self) -> None:
        theirs, self._lifeline = os.pipe()
        # Absolute, so that a plugin is found even if this process changes its directory later.
        path = [os.path.abspath(entry) for entry in sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, json.dumps([path, self._memory_mb, theirs])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[theirs],
            start_new_session=True,  # killed with all it started; not reached by our Ctrl-C
            bufsize=0,
        )
        os.close(theirs)
        assert self._process.stdin  # for the type checker: both were asked for above
        assert self._process.stdout
        self._requests, self.replies = self._process.stdin, self._process.stdout
        os.set_blocking(self._requests.fileno(), False)
        os.set_blocking(self.replies.fileno(), False)

    def depth(self) -> int:
        """How many cases it should hold: many cheap ones, a single slow one."""
        return max(1, min(DEPTH, int(BATCH_SECONDS / self._pace)))

    def give(self, job: Job) -> None:
        """Queue a case, and send it at once when there is nothing else to do."""
        idle = not self.queue
        self._outbox += json.dumps([job[0], *job[1]]).encode() + b"\n"
        self.queue.append(job)
        self._ends.append(self._sent + len(self._outbox))
        if idle:
            self.send()

    def send(self) -> None:
        """As much of the outbox as the pipe takes. The clock of a case starts when it is sent."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._outbox:
                waiting = not self._first_is_sent()
                written = os.write(self._requests.fileno(), self._outbox)
                del self._outbox[:written]
                self._sent += written
                if waiting:
                    self._restart_clock()

    def read(self, done: dict[int, Verdict]) -> None:
        """Take the verdicts that are there; a sign of life starts the clock anew."""
        if self._receive():
            self.take_answers(done)
            self._restart_clock()

    def take_answers(self, done: dict[int, Verdict]) -> None:
        """Move the verdicts received into `done`, by number. Nonsense ends the worker, and nothing after it counts."""
        if self._garbled:
            return
        *lines, rest = self._inbox.split(b"\n")
        self._inbox = bytearray(rest)
        try:
            for line in lines:
                self._take(json.loads(line), done)
        except (ValueError, TypeError, LookupError):
            self.ended = self._garbled = True

    def patience(self) -> float:
        """Seconds the pool may wait before this worker needs attention."""
        if self._outbox:
            return 0.001  # a full pipe: it makes room as it reads on
        return max(0.0, self._deadline - time.monotonic())

    def is_late(self) -> bool:
        """Over its time, and not for want of a case that we have not managed to send."""
        begun = not self.greeted or self._first_is_sent()
        return begun and time.monotonic() > self._deadline

    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process and everything it started; its last answers stay to be taken."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._receive()
        os.close(self._lifeline)
        self._requests.close()
        self.replies.close()

    def cause_of_death(self, late: bool) -> str:
        """Why it is gone, as a reason for the verdict of the case it was at."""
        status = self._process.returncode
        doing = " while importing the verifier" if self._loading else ""
        if late:
            return f"over the time limit of {self.limit():g} s{doing}"
        if self._garbled:
            return "something else wrote into its pipe"
        if status == OUT_OF_MEMORY:
            return f"over the memory limit of {self._memory_mb} MiB{doing}"
        if status < 0:
            return f"the worker was killed by {signal.Signals(-status).name}{doing}"
        return f"the worker exited with status {status}{doing}"

    def _first_is_sent(self) -> bool:
        return not self._ends or self._sent >= self._ends[0]

    def limit(self) -> float:
        """Seconds for the case it is at: the pool's limit, or longer where its verifier asked for that."""
        return max(self._timeout, self._needed) if self.greeted and not self._loading else START_SECONDS

    def _restart_clock(self) -> None:
        self._deadline = time.monotonic() + self.limit()

    def _receive(self) -> bool:
        before = len(self._inbox)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.replies.fileno(), 1 << 16):
                self._inbox += data
            self.ended = True
        return len(self._inbox) > before

    def _take(self, message: list[Any], done: dict[int, Verdict]) -> None:
        if message[0] == "needs":
            self._needed = float(message[1])
            return
        if isinstance(message[0], str):
            self.greeted, self._loading = True, message[0] == "loading"
            return
        serial, *fields = message
        if serial != self.queue[0][0]:
            raise ValueError("a worker answers in order")
        done[serial] = Verdict(*fields)
        self.queue.popleft()
        self._ends.popleft()
        self._needed = 0.0
        self._pace += 0.2 * (done[serial].seconds - self._pace)
