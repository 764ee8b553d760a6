"""`kill -9` at random moments of generation against a server that misbehaves: the part of `benchmarks.kill` that needs
neither a model nor a trainer.

The server (`cot teacher serve --scripted`) notes every answer that it sent in full. A run is killed KILLS times, each
time after so much of it that it cannot end before the last; then it is finished and compared with an undisturbed one.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

from factory.lake import Lake

KILLS, PROBLEMS, SAMPLES = 40, 300, 4
FAULTS = {"http_500": 0.05, "http_429": 0.05, "reset": 0.05, "half": 0.05, "html": 0.05, "truncation": 0.05,
          "delay": 0.2, "token_delay": 0.002, "retry_after": "0.3"}

RECIPE = """
name = "killed"
problems = [{{ plugin = "jsonl", path = "{folder}/problems.jsonl", verifier = "exact_match" }}]
measures = ["length"]
teacher = {{ plugin = "openai_api", model = "scripted", base_url = "{url}/v1", key_env = "", concurrency = 32 }}
generate = {{ samples = {samples} }}

[[datasets]]
name = "sft"
selector = "shortest"
emitter = "sft"
"""


class Place:
    """A folder with the recipe, its problems and the server's notes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes, self.seed = folder, folder / "answered.jsonl", random.Random(2026)
        self.recipe = folder / "killed.toml"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "problems.jsonl").write_text("".join(json.dumps(
            {"prompt": f"Compute {a} * 7.", "reference": str(7 * a)}) + "\n" for a in range(PROBLEMS)))
        self.recipe.write_text(RECIPE.format(folder=folder, url=f"http://127.0.0.1:{self.port}", samples=SAMPLES))

    def serve(self) -> "subprocess.Popen[bytes]":
        settings = [part for key, value in {**FAULTS, "log": str(self.notes)}.items()
                    for part in ("--set", f"{key}={value}")]
        server = subprocess.Popen([sys.executable, "-m", "flows.cli", "teacher", "serve", "--scripted", "--port",
                                   str(self.port), *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                return server
            except OSError:
                time.sleep(0.1)

    def run(self, lake: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "flows.cli", "run", str(self.recipe), "--direct", "--lake",
                                 str(lake)], stdout=subprocess.DEVNULL, stderr=open(self.folder / "errors.txt", "w"))

    def finish(self, lake: Path) -> None:
        if code := self.run(lake).wait():
            raise SystemExit(f"the run in {lake} ended with exit code {code}: {self.last_words()}")

    def last_words(self) -> str:
        return " ".join((self.folder / "errors.txt").read_text().splitlines()[-1:])

    def answered(self) -> list[int]:
        """The seeds of all answers that were sent in full, in order; the seed names the sample."""
        lines = self.notes.read_bytes().splitlines() if self.notes.exists() else []
        return [row["seed"] for row in map(json.loads, lines) if row["status"] == 200 and row["seed"] is not None]

    def kill_one(self, lake: Path, early: bool) -> None:
        """Start, and kill when a random number of answers came, a fortieth of all at most, or, `early`, before that."""
        before = len(self.answered())
        deadline = time.monotonic() + (self.seed.uniform(0.1, 6.0) if early else 600.0)
        share = self.seed.randint(1, PROBLEMS * SAMPLES // (KILLS + 2))
        going = self.run(lake)
        while time.monotonic() < deadline and len(self.answered()) - before < share:
            if going.poll() is not None:
                raise SystemExit(f"the run ended (exit {going.returncode}) before it could be killed: "
                                 f"{self.last_words()}")
            time.sleep(self.seed.uniform(0.001, 0.02))
        os.kill(going.pid, signal.SIGKILL)
        going.wait()


def traces(lake: Path) -> list[str]:
    """The ids of all durable traces, a doubled one twice."""
    return [row[0] for row in Lake(lake).sql("SELECT id FROM traces").fetchall()] if (
        lake / "lake.json").exists() else []


def contents(lake: Path) -> list[tuple[object, ...]]:
    """The final table: all but times."""
    found: list[tuple[object, ...]] = Lake(lake).sql("""
        SELECT t.id, t.raw, t.response, t.finish_reason, t.completion_tokens, v.status, v.answer, d.digest
        FROM traces t LEFT JOIN verdicts v ON v.trace_id = t.id LEFT JOIN datasets d ON true ORDER BY ALL""").fetchall()
    return found


def seed_of(trace: str) -> int:
    return int(trace[-7:], 16)


def generation(folder: Path) -> bool:
    """Prints what was found; whether nothing was lost, nothing bought twice, and the tables are equal."""
    place, broken, calm = Place(folder), folder / "broken", folder / "calm"
    server = place.serve()
    durable: set[str] = set()
    lost, twice, amid = 0, 0, 0
    try:
        for number in range(KILLS):
            before = len(place.answered())
            place.kill_one(broken, early=number % 8 == 0)
            asked_again = {seed_of(name) for name in durable} & set(place.answered()[before:])
            now = traces(broken)
            lost, twice = lost + len(durable - set(now)), twice + len(asked_again) + len(now) - len(set(now))
            amid += 0 < len(now) < PROBLEMS * SAMPLES
            durable = set(now)
        before = len(place.answered())
        place.finish(broken)
        twice += len({seed_of(name) for name in durable} & set(place.answered()[before:]))
        in_flight = sum(count - 1 for count in Counter(place.answered()).values())
        place.finish(calm)
    finally:
        server.terminate()
        server.wait()
    same = contents(broken) == contents(calm)
    met = not lost and not twice and same and len(traces(broken)) == PROBLEMS * SAMPLES
    print(f"\n{KILLS} kills of a generation of {PROBLEMS * SAMPLES:,} samples ({amid} amid it): {lost} finished "
          f"samples lost, {twice} bought twice, {in_flight} on their way when it was killed and asked again, final "
          f"table equal to that of an undisturbed run: {same}: {'met' if met else 'MISSED'}", flush=True)
    return met
