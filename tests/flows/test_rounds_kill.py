"""`kill -9` anywhere in a round: the rounds end where undisturbed ones end, and nothing is asked twice."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from factory.lake import Lake
from flows import rounds_report
from tests.flows.test_rounds import LAB

ROOT = Path(__file__).parents[2]

RECIPE = """
name = "loop"
problems = [{ plugin = "lab.sums", split = "train", count = 30, seed = 1 }]
teacher = { plugin = "lab.pupil", model = "base" }
verify = { workers = 1, beside = false }
audit = { share = 0 }
tasks = { shard = 240 }

[[datasets]]
name = "sft"
selector = "shortest"
emitter = "sft"

[[datasets]]
name = "dpo"
policy = "sft"
selector = "pairs"
emitter = "dpo"

[[students]]
name = "sft"
base = "base"
dataset = "sft"
trainer = { plugin = "lab.teach", by = 0.25 }

[[students]]
name = "dpo"
base = "sft"
dataset = "dpo"
trainer = { plugin = "lab.teach", by = -0.3 }

[evaluate]
problems = { plugin = "lab.sums", split = "test", count = 60 }
teacher = "lab.pupil"
samples = 4

[rounds]
count = 2
dev = { plugin = "lab.sums", split = "dev", count = 60 }
vary = "seed"
"""


class Place:
    """A folder with a recipe, its plugins and its lake; trainings take a moment, so that they can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder, folder / "lake"
        (folder / "lab").mkdir(parents=True)
        for name, code in LAB.items():
            slow = code.replace("    known = json", "    import time; time.sleep(0.1)\n    known = json")
            (folder / f"lab/{name}.py").write_text(slow if name == "teach" else code)
        (folder / "base").mkdir()
        (folder / "base/config.json").write_text('{"skill": 0.3, "style": 8}')
        (folder / "loop.toml").write_text(RECIPE)

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-P", "-m", "flows.cli", "rounds", "run", "loop.toml", "--direct", "--lake", "lake"]
        return subprocess.Popen(command, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env={**os.environ, "PYTHONPATH": str(ROOT)})

    def finish(self) -> str:
        return ended(self.start())

    def kill_when(self, ripe: Callable[[], bool]) -> None:
        with self.start() as going:
            while not ripe():
                assert going.poll() is None, f"it ended before it could be killed: {going.communicate()[0]}"
                time.sleep(0.005)
            going.kill()

    def there(self, pattern: str, count: int = 1) -> Callable[[], bool]:
        return lambda: len(list(self.folder.glob(pattern))) >= count

    def asked(self) -> list[str]:
        file = self.folder / "lab/asked.txt"
        return file.read_text().splitlines() if file.exists() else []

    def more_asked(self, more: int) -> Callable[[], bool]:
        before = len(self.asked())
        return lambda: len(self.asked()) >= before + more

    def rows(self) -> list[dict[str, object]]:
        """Of the rounds, but for times, places and costs in seconds."""
        return [{key: value for key, value in row.items() if key not in ("created", "seconds", "path")}
                for row in rounds_report.latest(Lake(self.lake), "loop")]

    def ids(self, table: str) -> list[str]:
        return sorted(row["id"] for row in Lake(self.lake).rows(f'SELECT id FROM "{table}"'))


def ended(going: "subprocess.Popen[str]") -> str:
    said, _ = going.communicate()
    assert going.returncode == 0, said
    return said


@pytest.mark.slow
def test_rounds_that_are_killed_anywhere_end_like_those_that_never_were(tmp_path: Path) -> None:
    place, calm = Place(tmp_path / "killed"), Place(tmp_path / "calm")
    points = [
        ("asking the teacher", place.more_asked(40)),
        ("training on its traces", place.there("lake/students/loop-r1/sft-*/spec.json")),
        ("asking the student", place.there("lake/students/loop-r1/sft-*/figures.json")),
        ("training on its own pairs", place.there("lake/students/loop-r1-sft/dpo-*/spec.json")),
        ("evaluating", None),
        ("in the second round", place.there("lake/students/loop-r2/sft-*/spec.json")),
    ]
    undisturbed = calm.start()  # beside the others: most of the time goes into starting processes
    for _, ripe in points:
        place.kill_when(ripe or place.more_asked(300))  # counted from what was asked by then
    said = place.finish()
    ended(undisturbed)
    assert "pass@1 as avg@4 on 60 development problems" in said
    assert place.rows() == calm.rows()
    assert [row["student"] for row in place.rows()][:3] == ["base", "sft", "dpo"]
    for table in ("traces", "verdicts", "picks", "datasets", "students", "rounds"):
        assert place.ids(table) == calm.ids(table), table
    traces = place.ids("traces")
    assert len(traces) == len(set(traces))
    again = len(place.asked()) - len(calm.asked())
    assert 0 <= again <= 16 * (len(points) + 1), "no more is asked twice than was in flight at a kill"
    asked = len(place.asked())
    assert "rounds of loop" in place.finish()
    assert len(place.asked()) == asked
