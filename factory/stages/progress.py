"""What can be seen of generation: a bar while it goes, and one row of the table `throughput` at its end."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from factory.lake import now
from factory.protocols import Teacher
from factory.records import canonical, content_id
from factory.run import Run
from factory.stages.budget import Meter

if TYPE_CHECKING:
    from factory.stages.writer import Finished


class Progress:
    """Counts of one stage: `traces`, `failures`, `tokens` (written by the teacher), `cancelled` samples."""

    def __init__(self, stage: str, total: int) -> None:
        self.stage = stage
        self.traces = self.failures = self.tokens = self.cancelled = self._judged = self._right = 0
        self._asked = 0.0
        """Seconds that samples were in flight, all together."""
        self._started, self._cpu = time.monotonic(), time.process_time()
        self._starving: float | None = None
        self.bar = tqdm(total=total, desc=stage, unit="trace", mininterval=1.0)

    def bought(self, done: "Sequence[Finished]", meter: Meter) -> None:
        """These are durable."""
        traces = [item.row for item in done if item.table == "traces"]
        self.traces += len(traces)
        self.failures += len(done) - len(traces)
        self.tokens += sum(item.tokens for item in done if item.table == "traces")
        self._asked += sum(row["seconds"] for row in traces)
        self.bar.update(len(done))
        self.bar.set_postfix_str(self._figures(meter), refresh=False)

    def judged(self, status: str) -> None:
        """A verdict has come."""
        self._judged += 1
        self._right += status == "correct"

    def starves(self, complete: bool) -> None:
        """Nothing is left to ask: from here on it is the tail."""
        if complete and self._starving is None:
            self._starving = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def _figures(self, meter: Meter) -> str:
        figures = [f"{self.tokens / self.seconds:.0f} tok/s"]
        figures += [f"{self._right / self._judged:.0%} right"] if self._judged else []
        figures += [f"${meter.usd:.2f}"] if meter.usd else []
        return ", ".join(figures)

    def note(self, run: Run, teacher: Teacher, meter: Meter) -> None:
        """End the bar, and put the row into the lake. `client_cpu` is this process's share of one core."""
        self.bar.close()
        seconds, created, read = self.seconds, now(), getattr(teacher, "figures", dict)
        figures: dict[str, Any] = read()
        run.lake.append("throughput", [dict(
            id=content_id("throughput", run.id, self.stage, created), run_id=run.id, stage=self.stage, seconds=seconds,
            traces=self.traces, failures=self.failures, cancelled=self.cancelled, tokens=self.tokens,
            tokens_per_second=self.tokens / seconds, in_flight=self._asked / seconds, idle=figures.get("idle_share"),
            client_cpu=(time.process_time() - self._cpu) / seconds,
            tail=time.monotonic() - self._starving if self._starving else 0.0,
            gpu_hours=meter.gpus * seconds / 3600, figures=canonical(figures), created=created)])
