"""One program in a cell, from outside: a fresh process for every test, and what each did.

A test whose cell fails is repeated once on a fresh cell. A program that costs two cells gets no third.
"""

import contextlib
import json
import os
import select
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from verifiers.cell import bwrap
from verifiers.cell.cell import Cell, CellLost, close, memory_file, read_message
from verifiers.cell.outcome import TAIL, Limits, Report, Run, judge, readable
from verifiers.cell.talk import Talker
from verifiers.cell.wire import OPAQUE, Malformed, pack, unpack

THREADS = 16
STRIKES = 2  # cells that a program may cost
PATIENCE = 3.0  # seconds beyond what a job may take before its cell is given up
COMPILE_SECONDS = 20.0  # of a Python program; most take a millisecond
SLACK = 48 << 20  # bytes of a cell that are not the program's: the job, page tables, the kernel's own
STARVED = 5.0  # as in verifiers.cell.job


@dataclass(frozen=True, slots=True)
class Stdin:
    """Run the program as a script with `data` as its standard input."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Call:
    """Import the program and call `entry` (`f`, `Class.method`, or a method of a class Solution) with plain data."""

    entry: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Executable:
    """How to run a program that is ready: Python source (no command), a binary (no file), or a script for a command."""

    data: bytes
    command: tuple[str, ...] = ()
    file: str = ""
    execute: bool = False  # whether programs of the system may be executed; so they may with `allow_fork`
    limit_addresses: bool = True  # not for runtimes that reserve gigabytes and use megabytes
    stack_mb: int = 64  # 0: all of the memory
    threads: bool = False  # whether it may want some; then it gets THREADS of them whatever its limits say


class Job:
    """Tests of one program, one after the other. A context manager, made by `Sandbox.job`."""

    def __init__(self, cell: Callable[[], Cell], lost: Callable[[], None], program: Executable | Run, limits: Limits,
                 banned: Callable[[], bool] = bool) -> None:
        self._cell, self._lost, self._limits, self._banned = cell, lost, limits, banned
        self._program = program if isinstance(program, Executable) else Executable(b"")
        self._failed = program if isinstance(program, Run) else None  # it does not compile: so does every test
        self._at: Cell | None = None
        self._talker: Talker | None = None
        self._socket: socket.socket | None = None
        self._kills = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    # -- tests -------------------------------------------------------------------------------------------------------

    def run(self, test: Stdin | Call) -> Run:
        """One test. A time-out within a fifth of the limit is believed only when it comes twice."""
        run = self._surely(test)
        close_to = run.outcome == "timeout" and run.signal is None and run.cpu_s <= self._limits.cpu_s * 1.2
        if not close_to:
            return run
        again = self._surely(test)
        return again if again.outcome != "timeout" else replace(again, reason=f"{again.reason}, twice")

    def _surely(self, test: Stdin | Call) -> Run:
        run = self._attempt(test)
        return self._attempt(test) if run.outcome == "sandbox_error" else run

    def _attempt(self, test: Stdin | Call) -> Run:
        if self._failed:
            return self._failed
        if self._banned():
            return Run("sandbox_error", reason=f"this program has cost {STRIKES} cells and gets no third")
        try:
            return self._once(test)
        except CellLost as error:
            self._forget()
            self._lost()
            return Run("sandbox_error", reason=str(error))

    def _once(self, test: Stdin | Call) -> Run:
        kind = "script" if isinstance(test, Stdin) else "call"
        files = _Files(_input(test), result=kind == "call")
        try:
            message = self._exchange({"kind": kind, "limit": self._limits.output_bytes}, files.all)
            return self._read(message, files)
        finally:
            close(*files.all)

    def _exchange(self, test: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """Hand a test over and wait for the report on it; a job that ends without one has been tampered with."""
        at, end = self._ready()
        try:
            socket.send_fds(end, [_json(test)], descriptors)
        except OSError:
            return self._gone(at)
        most = self._limits.wall() * STARVED + COMPILE_SECONDS + PATIENCE
        spoken = _speaking(end, at, most)
        if not spoken:
            at.send({"do": "kill"})
            self._gone(at)
            return {"late": most}
        try:
            return read_message(end, 0) if end.fileno() in spoken else self._gone(at)
        except CellLost:
            return self._gone(at)

    def _gone(self, at: Cell) -> dict[str, Any]:
        """The job is dead and its cell says so. CellLost when it does not: then the cell is at fault."""
        ended = at.receive(PATIENCE)
        ended["out_of_memory"] = self._was_killed()
        at.busy = False
        self._forget()
        return ended

    def _read(self, message: dict[str, Any], files: "_Files", result: bool = True) -> Run:
        if "compile_error" in message:
            text = str(message["compile_error"])
            return Run("compile_error", stderr=text, reason=f"it does not compile: {text.splitlines()[0][:200]}")
        if "late" in message:
            return Run("timeout", reason=f"it was not done after {message['late']:.0f} s, compiling included")
        if "ended" in message:
            if message.get("out_of_memory"):
                return Run("memory_limit", reason=f"it needed more than {self._limits.memory_mb} MiB")
            return Run("runtime_error", reason="it ended the process that watches it")
        try:
            report = Report.read(message)
        except ValueError as error:
            raise CellLost(f"the sandbox's cell answers nonsense: {error}") from error
        run = self._judged(report, files)
        return _with_result(run, files, self._limits.output_bytes) if files.has_result and result else run

    def _judged(self, report: Report, files: "_Files") -> Run:
        stderr = readable(files.tail(2))
        killed = bool(report.status or self._limits.allow_fork) and self._was_killed()
        largest = max(files.size(1), files.size(2))
        outcome, reason = judge(report, self._limits, largest, stderr, killed)
        return Run(outcome, files.whole(1, self._limits.output_bytes), None, stderr, report.exit_status(),
                   report.signal(), report.cpu_s, report.wall_s, report.rss_kb / 1024, reason)

    def _was_killed(self) -> bool:
        """Whether the kernel has killed in this cell for want of memory since the last time."""
        if not self._at or not self._at.memory:
            return False
        before, self._kills = self._kills, self._at.memory.kills()
        return self._kills > before

    def build(self, path: str) -> tuple[Run, bytes]:
        """Run a compiler and take what it wrote to `path`, with at most `output_bytes` of it."""
        try:
            return self._built(path)
        except CellLost as error:
            self._forget()
            self._lost()
            return Run("sandbox_error", reason=str(error)), b""

    def _built(self, path: str) -> tuple[Run, bytes]:
        files = _Files(b"", result=True)
        try:
            run = self._read(self._exchange({"kind": "build", "collect": path}, files.all), files, result=False)
            made = files.whole(3, self._limits.output_bytes) if run.outcome == "ran" else b""
            return run, made
        finally:
            close(*files.all)

    # -- a conversation ----------------------------------------------------------------------------------------------

    def talk(self, script: str) -> Talker:
        """Run `script` in a process of the program, with `program` (its code) and `channel` at hand.

        CellLost when the cell fails; nothing is repeated, since a conversation cannot be.
        """
        _, end = self._ready()
        ours, theirs = socket.socketpair()
        files = _Files(script.encode(), result=False)
        with theirs:
            try:
                socket.send_fds(end, [_json({"kind": "talk"})], [*files.all, theirs.fileno()])
            except OSError as error:
                raise CellLost(f"the job has ended: {error}") from error
        self._talker = Talker(ours, lambda: self._heard(files), lambda: self._stop(end))
        return self._talker

    def _heard(self, files: "_Files") -> Run:
        at, end = self._ready()
        spoken = _speaking(end, at, self._limits.wall() * STARVED + PATIENCE)
        try:
            message = read_message(end, 0) if end.fileno() in spoken else self._gone(at)
            return self._read(message, files)
        except CellLost as error:
            self._forget()
            self._lost()
            return Run("sandbox_error", reason=str(error))
        finally:
            close(*files.all)

    def _stop(self, end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.send(_json({"stop": True}))

    # -- its place in a cell -----------------------------------------------------------------------------------------

    def _ready(self) -> tuple[Cell, socket.socket]:
        if self._at and self._socket:
            return self._at, self._socket
        at = self._cell()
        if at.busy:
            raise RuntimeError("this sandbox has a job already: end that one first, or use a second Sandbox")
        self._limit_memory(at)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = memory_file(self._program.data)
        try:
            at.send(self._request(at), [theirs.fileno(), program])
        finally:
            theirs.close()
            close(program)
        self._at, at.busy = at, True
        at.jobs += 1
        return at, self._socket

    def _limit_memory(self, at: Cell) -> None:
        if not at.memory:
            return
        own = (self._limits.memory_mb + self._limits.tmp_mb << 20) + 3 * self._limits.output_bytes
        try:
            at.memory.limit(own + SLACK)
        except OSError as error:  # what the cell holds already is more: it is not as it was when it started
            raise CellLost(f"the memory of the sandbox's cell cannot be limited: {error}") from error
        self._kills = at.memory.kills()

    def _request(self, at: Cell) -> dict[str, Any]:
        program, limits = self._program, self._limits.message()
        limits["processes"] = max(self._limits.processes, THREADS if program.threads else 1)
        return {"do": "job", "mode": at.level, "limits": limits, "command": list(program.command), "file": program.file,
                "execute": program.execute or self._limits.allow_fork, "limit_addresses": program.limit_addresses,
                "stack_mb": program.stack_mb or self._limits.memory_mb, "own_uid": bwrap.own_uid() is not None}

    def close(self) -> None:
        """End the job and wait until all its processes are gone."""
        if self._talker:
            self._talker.kill()
        if not self._at:
            return
        at = self._at
        self._forget()
        try:
            at.receive(PATIENCE)
            at.busy = False
        except CellLost:
            self._lost()

    def _forget(self) -> None:
        if self._socket:
            self._socket.close()
        self._at = self._socket = None


class _Files:
    """The files in memory of one test: stdin, stdout, stderr, and the result of a call."""

    def __init__(self, given: bytes, result: bool) -> None:
        self.has_result = result
        self.all = [memory_file(given), *(memory_file(b"", sealed=False) for _ in range(3 if result else 2))]

    def size(self, number: int) -> int:
        return os.fstat(self.all[number]).st_size

    def whole(self, number: int, most: int) -> bytes:
        return _read(self.all[number], 0, min(self.size(number), most))

    def tail(self, number: int) -> bytes:
        size = self.size(number)
        return _read(self.all[number], max(0, size - TAIL), min(size, TAIL))


def _read(descriptor: int, start: int, count: int) -> bytes:
    parts = []
    while count and (part := os.pread(descriptor, count, start)):
        parts.append(part)
        start, count = start + len(part), count - len(part)
    return b"".join(parts)


def _speaking(end: socket.socket, at: Cell, seconds: float) -> list[int]:
    """Which of the two have something to say, within that time; poll, since descriptors may be above 1023."""
    poller = select.poll()
    poller.register(end, select.POLLIN)
    poller.register(at, select.POLLIN)
    return [number for number, _ in poller.poll(seconds * 1000)]


def _json(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def _input(test: Stdin | Call) -> bytes:
    if isinstance(test, Stdin):
        return test.data
    return pack([test.entry, tuple(test.args), dict(test.kwargs)], 1 << 30, strict=True)


def _with_result(run: Run, files: _Files, most: int) -> Run:
    if run.outcome != "ran":
        return run
    data = files.whole(3, most)
    if not data:
        return replace(run, outcome="runtime_error", reason="it ended before the function returned")
    try:
        value = unpack(data)
    except Malformed as error:
        return replace(run, outcome="runtime_error", reason=str(error))
    reason = "it returned something that is no plain data, or too much of it" if value is OPAQUE else ""
    return replace(run, result=value, reason=reason)
