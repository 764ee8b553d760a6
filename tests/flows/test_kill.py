"""`kill -9` at any moment: nothing is bought twice, nothing is lost, and the run ends where an undisturbed one ends.

Training has its own test with the real trainer; here everything before it is killed, in a process of its own.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from factory.lake import Lake

ROOT = Path(__file__).parents[2]

RECIPE = """
name = "killed"
measures = ["length"]
problems = [{ plugin = "jsonl", path = "problems.jsonl", verifier = "lab.slowly" }]
teacher = "lab.counted"
generate = { samples = 6 }
verify = { workers = 1, beside = false }
tasks = { shard = 8 }

[[datasets]]
name = "sft"
selector = "lab.dawdling"
emitter = "lab.hesitant"
"""

LAB = {  # slow private plugins, so that there is a middle of every stage to be killed in
    "counted": '''
import asyncio, os
from factory.teachers.scripted import Scripted, scripted

class Counted(Scripted):
    async def ask(self, messages, seed):
        with open(os.environ["ASKED"], "a") as log:
            log.write(f"{seed}\\n")
        await asyncio.sleep(0.05)
        return await super().ask(messages, seed)

def counted():
    made = scripted(accuracy=0.5, failure=0.1, concurrency=2)
    made.__class__ = Counted
    return made
''',
    "slowly": '''
import time
from verifiers.exact_match import exact_match
VERSION = 1

def slowly(response, reference):
    time.sleep(0.02)
    return exact_match(response, reference)
''',
    "dawdling": '''
import time
from factory.selection.shortest import shortest

def dawdling(candidates):
    time.sleep(0.1)
    return shortest(candidates, per_problem=2)
''',
    "hesitant": '''
import time
from factory.emitters.sft import sft

def hesitant(pick):
    time.sleep(0.05)
    return sft(pick)
''',
}


class Place:
    """A folder with the recipe, its plugins, its lake, and the seeds of all that was ever asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake, self.log = folder, folder / "lake", folder / "asked.txt"
        (folder / "lab").mkdir(parents=True)
        for name, code in LAB.items():
            (folder / f"lab/{name}.py").write_text(code)
        (folder / "problems.jsonl").write_text("".join(
            json.dumps({"prompt": f"Compute {a} * 3.", "reference": str(3 * a)}) + "\n" for a in range(12)))
        (folder / "killed.toml").write_text(RECIPE)

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-P", "-m", "flows.cli", "run", "killed.toml", "--direct", "--lake", "lake"]
        return subprocess.Popen(command, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env={**os.environ, "ASKED": str(self.log), "PYTHONPATH": str(ROOT)})

    def finish(self) -> str:
        going = self.start()
        said, _ = going.communicate()
        assert going.returncode == 0, said
        return said

    def kill_when(self, ripe: Callable[["Place"], bool]) -> None:
        with self.start() as going:
            while not ripe(self):
                assert going.poll() is None, f"it ended before it could be killed: {going.communicate()[0]}"
                time.sleep(0.005)
            going.kill()

    def asked(self) -> list[int]:
        return [int(seed) for seed in self.log.read_text().splitlines()] if self.log.exists() else []

    def traces(self) -> list[str]:
        """The ids of all durable traces, a doubled one twice."""
        if not (self.lake / "lake.json").exists():
            return []
        return [row["id"] for row in Lake(self.lake).rows("SELECT id FROM traces ORDER BY id")]

    def parts(self, table: str) -> int:
        return len(list((self.lake / "tables" / table).glob("part-*.parquet"))) - 1

    def journaled(self) -> int:
        lines = 0
        for file in (self.lake / "journal").glob("traces-*.jsonl"):
            with contextlib.suppress(FileNotFoundError):  # just compacted
                lines += file.read_bytes().count(b"\n")
        return lines

    def outcome(self) -> dict[str, object]:
        """What the run made, but for times and places."""
        lake = Lake(self.lake)
        found: dict[str, object] = {table: lake.sql(f"SELECT {columns} FROM {table} ORDER BY ALL").fetchall() for
                                    table, columns in {
            "traces": "id, raw, response", "verdicts": "id, status, answer", "measurements": "id, value",
            "selections": "id, picks, drops", "picks": "id, chosen, why", "drops": "id, reason",
            "datasets": "id, selection, rows, digest"}.items()}
        import datasets

        found["rows"] = [dict(row) for row in datasets.load_from_disk(str(self.lake / "datasets/killed/sft"))["train"]]
        return found


def at_random(generator: random.Random) -> Callable[[Place], bool]:
    """Some time within the first seconds, or in the generation, whatever comes first."""
    moment = time.monotonic() + generator.uniform(0.1, 3)
    return lambda place: time.monotonic() > moment or place.journaled() > 15


def bought(more: int) -> Callable[[Place], bool]:
    return lambda place: place.journaled() >= more


def made(table: str, parts: int) -> Callable[[Place], bool]:
    return lambda place: place.parts(table) >= parts


CHANCE = random.Random(2026)
POINTS = [  # (where it is killed, when that is)
    ("at random", lambda: at_random(CHANCE)),
    ("at the first trace", lambda: bought(1)),
    ("at random", lambda: at_random(CHANCE)),
    ("during generation", lambda: bought(12)),
    ("late in generation", lambda: bought(10)),
    ("when the journal was just compacted", lambda: lambda place: place.parts("traces") > 1 and not place.journaled()),
    ("during verification", lambda: made("verdicts", 2)),
    ("later in verification", lambda: made("verdicts", 5)),
    ("during the choice", lambda: made("measurements", 1)),
    ("during the emission", lambda: made("selections", 1)),
]


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_ends_like_one_that_never_was(tmp_path: Path) -> None:
    place, calm = Place(tmp_path / "killed"), Place(tmp_path / "calm")
    durable: set[str] = set()
    for where, ripe in POINTS:
        asked_before = len(place.asked())
        place.kill_when(ripe())
        again = {int(name[-7:], 16) for name in durable} & set(place.asked()[asked_before:])
        assert not again, f"{where}: traces that were durable were asked for again"
        assert durable <= set(place.traces()), f"{where}: durable traces are lost"
        durable = set(place.traces())
        assert len(durable) == len(place.traces()), f"{where}: a trace is there twice"
    place.finish()
    calm.finish()
    assert len(place.traces()) == len(set(place.traces())) == 72
    assert place.outcome() == calm.outcome()
    asked = len(place.asked())
    place.finish()
    assert len(place.asked()) == asked
    assert place.outcome() == calm.outcome()
