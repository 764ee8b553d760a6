"""One Prefect server for the tests of the flows, and a recipe in a folder of its own with private plugins beside it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COT = [sys.executable, "-P", "-m", "flows.cli"]
PATIENCE = 120

RECIPE = """
name = "{name}"
measures = ["length", "mine.wordy"]
problems = [{{ plugin = "worlds", count = 20, families = ["expression"], levels = [1] }}]
teacher = {{ plugin = "scripted", delay = {delay}, concurrency = 4, failure = {failure} }}
generate = {{ samples = 4, attempts = 2, abort_after = 5 }}
verify = {{ workers = 1 }}

[[datasets]]
name = "sft"
selector = {{ plugin = "mine.flaky", marker = "{marker}" }}
emitter = "sft"

[tasks]
shard = 20
"""

WORDY = """
def wordy(problem, trace) -> float:
    return float(len(trace.completion.raw.split()))
"""

FLAKY = """
from pathlib import Path
from factory.selection.shortest import shortest

def flaky(candidates, *, marker: str):
    if not Path(marker).exists():
        Path(marker).touch()
        raise RuntimeError("a crash that passes")
    return shortest(candidates)
"""


@dataclass(frozen=True)
class Server:
    """A Prefect server and how to ask it."""

    address: str
    environment: dict[str, str]

    def ask(self, what: str, **body: Any) -> list[dict[str, Any]]:
        """Rows of its API. A server on SQLite can be busy for longer than seems possible."""
        request = urllib.request.Request(f"{self.address}/{what}/filter", json.dumps(body).encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            found: list[dict[str, Any]] = json.load(reply)
        return found

    def flow_run(self, tag: str) -> dict[str, Any]:
        """The newest flow run of a recipe: its name is a tag."""
        return self.ask("flow_runs", flow_runs={"tags": {"all_": [tag]}}, sort="START_TIME_DESC", limit=1)[0]

    def task_runs(self, flow_run: dict[str, Any]) -> list[dict[str, Any]]:
        return self.ask("task_runs", flow_runs={"id": {"any_": [flow_run["id"]]}})

    def artifacts(self, flow_run: dict[str, Any]) -> dict[str, dict[str, Any]]:
        found = self.ask("artifacts", artifacts={"flow_run_id": {"any_": [flow_run["id"]]}})
        return {row["key"]: row for row in found if row["key"]}


def environment(home: Path) -> dict[str, str]:
    """Ours without anybody's Prefect settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    return {**ours, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    with open(home / "server.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--host", "127.0.0.1", "--port", str(port)],
            env=environment(home), stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: process.poll() is not None or answers(address))
        assert process.poll() is None, (home / "server.log").read_text()
        yield Server(address, {**environment(home), "PREFECT_API_URL": address})
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=10) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def wait_for(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What `what` returns once it is true. Fails after `patience` seconds, which is no limit of the thing tested."""
    for _ in range(int(patience / 0.2)):
        if found := what():
            return found
        time.sleep(0.2)
    pytest.fail(f"nothing after {patience} s")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "wordy.py").write_text(WORDY)
    (tmp_path / "mine" / "flaky.py").write_text(FLAKY)
    return tmp_path


def write_recipe(folder: Path, name: str, delay: float = 0.0, failure: float = 0.0, flaky: bool = False) -> Path:
    """`flaky`: its selector crashes once."""
    marker = folder / "marker"
    if not flaky:
        marker.touch()
    file = folder / f"{name}.toml"
    file.write_text(RECIPE.format(name=name, marker=marker, delay=delay, failure=failure))
    return file


def cot(folder: Path, environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COT, *arguments], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=PATIENCE, check=False)


def start(folder: Path, environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    """As in a terminal: a process group of its own, so that a test can press Ctrl-C."""
    return subprocess.Popen([*COT, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True)


def told(stderr: str) -> list[str]:
    """The lines on the terminal without the progress bar's."""
    return [line for line in stderr.replace("\r", "\n").splitlines() if line and not line.startswith("generate:")]


def journaled(lake: Path) -> int:
    """Traces that a run going on has made durable."""
    return sum(len(file.read_bytes().splitlines()) for file in lake.glob("journal/traces-*.jsonl"))


def counts(lake: Path) -> Sequence[int]:
    """Traces, and different ones."""
    from factory.lake import Lake

    row = Lake(lake).sql("SELECT count(*), count(DISTINCT id) FROM traces").fetchone()
    assert row is not None
    return list(row)
