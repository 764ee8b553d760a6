"""Does the factory keep the engine full? Its tokens a second over those of vLLM's own load generator.

    .venv/bin/python -m benchmarks.saturation [MODEL LENGTH IN_FLIGHT]

One vLLM server (`cot teacher serve`), and in turn, ROUNDS times: `vllm bench serve`, then `cot run` attached to the
same server, verification beside it. Same model (the bundled tiny teacher by default), same prompts, same temperature
and seeds, same number in flight, and exactly LENGTH tokens each (`ignore_eos`; the model's ends are not waited for). Of
`cot run` the seconds of asking count, from the first request to the last trace that is durable. Exits 1 unless the
median of the rounds' ratios is at least 0.97 (0.98 with a GPU).
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults import free_port
from benchmarks.machine import machine
from factory.lake import Lake
from factory.protocols import BadRow
from factory.sources.worlds import worlds
from factory.teachers._vllm_command import Options, on_cpu

ROUNDS = 3
LEAST = 0.97 if on_cpu() else 0.98
PROBLEMS, SAMPLES = 256, 2
RECIPE = """
name = "saturation"
generate = {{ samples = {samples} }}
problems = [{{ plugin = "worlds", count = {problems}, families = ["expression"], levels = [1] }}]

[teacher]
plugin = "vllm_server"
model = "{model}"
attach = "{url}"
concurrency = {in_flight}
sampling = {{ temperature = 1.0, max_tokens = {length}, ignore_eos = true }}
"""
# Run without `vllm bench`: the CPU build's own command looks for a distribution of another name and crashes.
BENCH = """
import sys
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args(sys.argv[1:]))
"""


@contextmanager
def server(model: str, log: Path) -> Iterator[str]:
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "flows.cli", "teacher", "serve", "--model", model, "--port",
                                    str(port)], stdout=output, stderr=subprocess.STDOUT)
    try:
        while not healthy(port):
            if process.poll() is not None:
                raise SystemExit(log.read_text()[-1000:])
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def prompts() -> list[str]:
    """What the recipe asks, each as often as it does."""
    rows = [row for row in worlds(count=PROBLEMS, families=["expression"], levels=[1]) if not isinstance(row, BadRow)]
    return [row.prompt for row in rows for _ in range(SAMPLES)]


def theirs(url: str, model: str, length: int, in_flight: int, folder: Path) -> float:
    """Tokens a second of `vllm bench serve`."""
    data, result = folder / "prompts.jsonl", folder / "bench.json"
    data.write_text("".join(json.dumps({"prompt": prompt, "output_tokens": length}) + "\n" for prompt in prompts()))
    asked = {"--backend": "openai-chat", "--base-url": url.removesuffix("/v1"), "--endpoint": "/v1/chat/completions",
             "--model": Options(model).name, "--tokenizer": model, "--dataset-name": "custom",
             "--dataset-path": str(data), "--custom-output-len": str(length), "--num-prompts": str(len(prompts())),
             "--max-concurrency": str(in_flight), "--temperature": "1.0", "--extra-body": '{"seed": 7}',
             "--result-dir": str(folder), "--result-filename": result.name}
    subprocess.run([sys.executable, "-P", "-c", BENCH, *(word for pair in asked.items() for word in pair),
                    "--ignore-eos", "--save-result", "--skip-chat-template"], check=True, capture_output=True)
    found = json.loads(result.read_text())
    if found["total_output_tokens"] != length * len(prompts()):
        raise SystemExit(f"vllm bench serve got {found['total_output_tokens']} tokens, not {length} each")
    return float(found["output_throughput"])


def ours(url: str, model: str, length: int, in_flight: int, lake: Path) -> float:
    """Tokens a second of `cot run`."""
    recipe = lake.with_suffix(".toml")
    recipe.write_text(RECIPE.format(samples=SAMPLES, problems=PROBLEMS, model=model, url=url, in_flight=in_flight,
                                    length=length))
    subprocess.run([sys.executable, "-m", "flows.cli", "run", str(recipe), "--direct", "--lake", str(lake)], check=True,
                   capture_output=True)
    row = Lake(lake).rows("SELECT tokens, seconds FROM timings WHERE stage = 'generate' AND part = 'ask'")[0]
    if row["tokens"] != length * SAMPLES * PROBLEMS:
        raise SystemExit(f"cot run got {row['tokens']} tokens, not {length} each")
    return float(row["tokens"]) / float(row["seconds"])


def main() -> int:
    given = sys.argv[1:] or ["data/teacher", "256", "64"]
    if len(given) != 3:
        sys.exit(__doc__)
    model, length, in_flight = given[0], int(given[1]), int(given[2])
    print(machine())
    print(f"{model}, {SAMPLES * PROBLEMS} answers of {length} tokens, {in_flight} in flight\n")
    print("| round | vllm bench serve, tokens/s | cot run, tokens/s | ratio |\n|---|---|---|---|")
    ratios = []
    with tempfile.TemporaryDirectory() as name, server(model, Path(name) / "log") as url:
        folder = Path(name)
        theirs(url, model, length, in_flight, folder)  # warm
        for i in range(ROUNDS):
            bench = theirs(url, model, length, in_flight, folder)
            factory = ours(url, model, length, in_flight, folder / f"lake{i}")
            ratios.append(factory / bench)
            print(f"| {i + 1} | {bench:,.0f} | {factory:,.0f} | {ratios[-1]:.3f} |", flush=True)
    middle = statistics.median(ratios)
    print(f"\nmedian of the ratios {middle:.3f} (target {LEAST}): {'met' if middle >= LEAST else 'MISSED'}")
    return 0 if middle >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
