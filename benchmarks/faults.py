"""Servers that fail, and a run of the whole factory that must complete all the same, through the real `cot run`.

    .venv/bin/python -m benchmarks.faults [--vllm]

One recipe of 300 samples, each time in a lake of its own: undisturbed; with 30 % of all requests failing (500, a reset
in the middle of a body, half a JSON document, HTML, a hang); with the only server killed in the middle and back after
three seconds; with endpoint A dead from the start and B alive; with A killed in the middle for good. With --vllm also
on the bundled teacher, whose own `vllm serve` is killed in the middle (minutes). Exits 1 unless every run ends with 0,
has every sample as a trace, none of them bought twice (by the servers' own logs), and the same texts as the undisturbed
one (of vLLM, whose texts depend on the batch, only the number).
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kill import descendants
from benchmarks.machine import machine
from factory.lake import Lake

SAMPLES = 300
RECIPE = """
name = "faults"
problems = [{{ plugin = "worlds", count = 100, families = ["expression"], levels = [1] }}]
generate = {{ samples = 3 }}

[teacher]
{teacher}

[[datasets]]
name = "sft"
selector = "shortest"
emitter = "sft"
"""
SCRIPTED = """
plugin = "openai_api"
model = "scripted"
key_env = ""
concurrency = 32
idle_timeout = 3
base_url = {urls}
"""
VLLM = 'plugin = "vllm_server"\nmodel = "data/teacher"\nsampling = { max_tokens = 300 }\nconcurrency = 16'
FAILING = ["http_500=0.12", "reset=0.08", "half=0.05", "html=0.04", "hang=0.01"]
COT = [sys.executable, "-m", "flows.cli"]


@dataclass
class Server:
    """A scripted server in a process of its own, on a port that it keeps."""

    folder: Path
    name: str
    settings: list[str]
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.jsonl"

    def start(self) -> "Server":
        self.port = self.port or free_port()
        given = ["delay=0.2", f"log={self.log}", *self.settings]
        self.process = subprocess.Popen(
            [*COT, "teacher", "serve", "--scripted", "--port", str(self.port),
             *(word for setting in given for word in ("--set", setting))], stdout=subprocess.DEVNULL)
        while not answers(self.port):
            time.sleep(0.1)
        return self

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def running(lake: Path, teacher: str) -> Iterator["subprocess.Popen[str]"]:
    recipe = lake.with_suffix(".toml")
    recipe.write_text(RECIPE.format(teacher=teacher))
    run = subprocess.Popen([*COT, "run", str(recipe), "--direct", "--lake", str(lake)], stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True)
    try:
        yield run
    finally:
        run.kill()


def bought(lake: Path) -> int:
    return int(Lake(lake).value("SELECT count(*) FROM traces")) if (lake / "lake.json").exists() else 0


def at(lake: Path, run: "subprocess.Popen[str]", count: int, act: Callable[[], None]) -> None:
    """Do it when so many traces are durable."""
    while bought(lake) < count:
        if run.poll() is not None:
            said = run.communicate()[1][-400:]
            raise SystemExit(f"the run ended (exit {run.returncode}) before {count} traces: {said}")
        time.sleep(0.05)
    act()


def scenario(folder: Path, name: str) -> tuple[Path, int, float, int]:
    """(the lake, the exit code, seconds, answers bought twice) of one run."""
    lake = folder / name.replace(" ", "-")
    a = Server(lake.parent, f"{lake.name}-a", FAILING if name == "30 % failing" else [])
    b = Server(lake.parent, f"{lake.name}-b", [])
    a.port = free_port()
    two = name in ("A dead, B alive", "A killed for good")
    for server in ([b] if name == "A dead, B alive" else [a, b] if two else [a]):
        server.start()
    started = time.monotonic()
    with running(lake, SCRIPTED.format(urls=json.dumps([a.url, b.url] if two else [a.url]))) as run:
        if name in ("killed and back", "A killed for good"):
            at(lake, run, SAMPLES // 3, a.kill)
        if name == "killed and back":
            time.sleep(3)
            a.start()
        run.communicate()
    for server in (a, b):
        if server.process:
            server.kill()
    return lake, run.returncode, time.monotonic() - started, twice([a.log, b.log])


def twice(logs: list[Path]) -> int:
    """Answers that a server gave in full more than once for one question."""
    lines = [json.loads(line) for log in logs if log.exists() for line in log.read_bytes().splitlines()]
    counts = Counter(json.dumps([line["prompt"], line["seed"]]) for line in lines)
    return sum(count - 1 for count in counts.values())


def managed(folder: Path) -> tuple[Path, int, float, int]:
    """The bundled teacher on a vLLM of its own that is killed in the middle. What it bought twice nobody logs."""
    lake, started = folder / "vllm", time.monotonic()
    with running(lake, VLLM) as run:
        def kill() -> None:
            for pid in descendants(run.pid):
                if b"api_server" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        at(lake, run, SAMPLES // 3, kill)
        run.communicate()
    return lake, run.returncode, time.monotonic() - started, 0


def texts(lake: Path) -> list[str]:
    return [str(row["raw"]) for row in Lake(lake).rows("SELECT id, raw FROM traces ORDER BY id")]


def main() -> int:
    if sys.argv[1:] not in ([], ["--vllm"]):
        sys.exit(__doc__)
    print(machine())
    print("\n| the servers | exit | traces | different | bought twice | as undisturbed | seconds |\n"
          "|---|---|---|---|---|---|---|")
    met, whole = True, list[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in ("undisturbed", "30 % failing", "killed and back", "A dead, B alive", "A killed for good",
                     *(["vllm killed"] if sys.argv[1:] else [])):
            lake, code, seconds, again = managed(folder) if case == "vllm killed" else scenario(folder, case)
            found = texts(lake)
            whole = whole or found
            different = int(Lake(lake).value("SELECT count(DISTINCT id) FROM traces"))
            same = found == whole or case == "vllm killed"
            met &= code == 0 and len(found) == different == SAMPLES and same and not again
            print(f"| {case} | {code} | {len(found)} | {different} | {again} | {'yes' if found == whole else 'no'} | "
                  f"{seconds:.0f} |", flush=True)
    print(f"\nevery run complete, every sample accounted for once: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
