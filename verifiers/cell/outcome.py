"""What one test did, read from the kernel's account of it; what was expected plays no part here."""

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

Outcome = Literal["ran", "compile_error", "timeout", "output_limit", "memory_limit", "runtime_error", "sandbox_error"]

TAIL = 2_000  # bytes of stderr that are kept
MOST_SECONDS = 86_400.0
NO_MEMORY = re.compile(
    r"^(?:[\w.]+\._Array)?MemoryError\b|std::bad_alloc|^java\.lang\.OutOfMemoryError|out of memory", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one test. Seconds of CPU decide; `wall_s` is a guard (None: twice `cpu_s` and 2 s more).

    `memory_mb` and `tmp_mb` in MiB, `output_bytes` for each of stdout, stderr and any file; `processes` counts threads
    too, and more than one process needs `allow_fork`.
    """

    cpu_s: float = 2.0
    wall_s: float | None = None
    memory_mb: int = 256
    output_bytes: int = 1 << 20
    processes: int = 1
    tmp_mb: int = 16
    allow_fork: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "wall_s" and value is None:
                continue
            wanted = (bool,) if field.name == "allow_fork" else (int, float) if field.name[-2:] == "_s" else (int,)
            if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
                raise ValueError(f"the limit {field.name} is {value!r}: it must be {_NAMES[wanted[-1]]}")
            most = MOST_SECONDS if field.name[-2:] == "_s" else 1 << 40
            if not (0 if field.name == "allow_fork" else _LEAST.get(field.name, 1)) <= value <= most:
                raise ValueError(f"the limit {field.name} is {value!r}: that is out of range")

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> Self:
        """Limits from the keys of a reference; ValueError, in one sentence, for a key or a value that is none."""
        known = [field.name for field in fields(cls)]
        if unknown := [key for key in mapping if key not in known]:
            raise ValueError(f"there is no limit {unknown[0]!r}; there are {', '.join(known)}")
        return cls(**mapping)

    def wall(self) -> float:
        return 2 * self.cpu_s + 2 if self.wall_s is None else self.wall_s

    def message(self) -> dict[str, Any]:
        return {**asdict(self), "wall_s": self.wall()}


_NAMES: dict[type, str] = {bool: "true or false", float: "a number", int: "a whole number"}
_LEAST = {"cpu_s": 0.01, "wall_s": 0.01}


@dataclass(frozen=True, slots=True)
class Run:
    """What one test did. `result` is what a call returned, as plain data, or OPAQUE; `stderr` is its escaped tail.

    Seconds of CPU and of wall time; `max_rss_mb` in MiB, with the ~15 MiB of the interpreter.
    """

    outcome: Outcome
    stdout: bytes = b""
    result: object = None
    stderr: str = ""
    exit_status: int | None = None
    signal: int | None = None
    cpu_s: float = 0.0
    wall_s: float = 0.0
    max_rss_mb: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The account that the job gives of a test, with every field checked: it comes from inside."""

    begun: bool
    status: int
    cpu_s: float
    wall_s: float
    killed: str
    rss_kb: int
    grown_kb: int

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Self:
        """ValueError when a field is missing or of another type."""
        try:
            return cls(bool(message["begun"]), int(message["status"]), float(message["cpu_s"]),
                       float(message["wall_s"]), str(message["killed"] or ""), int(message["rss_kb"]),
                       int(message["grown_kb"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"a report without {error}") from error

    def signal(self) -> int | None:
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else None

    def exit_status(self) -> int | None:
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None


def judge(report: Report, limits: Limits, largest: int, stderr: str, out_of_memory: bool) -> tuple[Outcome, str]:
    """The outcome and a sentence, the first rule that holds. `largest`: bytes of the longer of stdout and stderr."""
    if not report.begun and not report.killed and not out_of_memory:
        return "sandbox_error", f"the program could not be started: {stderr[-200:]}"
    if report.killed == "starved":
        return "sandbox_error", "the machine is too busy: the program waited for a processor all the time"
    if sentence := _over_time(report, limits):
        return "timeout", sentence
    if report.signal() == signal.SIGXFSZ or largest > limits.output_bytes:
        return "output_limit", f"it wrote more than {limits.output_bytes} bytes"
    if _out_of_memory(report, limits, stderr, out_of_memory):
        return "memory_limit", f"it needed more than {limits.memory_mb} MiB"
    if (number := report.signal()) is not None:
        return "runtime_error", f"it was ended by {_signal_name(number)}"
    if status := report.exit_status():
        return "runtime_error", f"it ended with status {status}{_last_line(stderr)}"
    return "ran", ""


def _over_time(report: Report, limits: Limits) -> str:
    if report.killed == "wall":
        return f"it was not done after {limits.wall():g} s, of which it computed {report.cpu_s:.1f} s"
    if report.killed == "cpu" or report.signal() == signal.SIGXCPU or report.cpu_s > limits.cpu_s:
        return f"it computed longer than {limits.cpu_s:g} s"
    return ""


def _out_of_memory(report: Report, limits: Limits, stderr: str, killed_for_it: bool) -> bool:
    if report.killed == "memory" or killed_for_it:
        return True
    last = stderr.rstrip().rpartition("\n")[2]
    return bool(report.status) and (bool(NO_MEMORY.search(last)) or report.grown_kb > limits.memory_mb * 1024 * 0.95)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(stderr: str) -> str:
    line = stderr.rstrip().rpartition("\n")[2]
    return f": {line[:200]}" if line else ""


def readable(data: bytes) -> str:
    """Text for people: what is no printable character is escaped."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)
