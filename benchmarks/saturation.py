"""Does the factory keep the engine full? Its tokens a second over those of vLLM's own load generator.

    .venv/bin/python -m benchmarks.saturation               # then two for a GPU
    .venv/bin/python -m benchmarks.saturation --random 0.6b --length 4096 --in-flight 192 --requests 576 --rounds 2
    .venv/bin/python -m benchmarks.saturation --random 8b --length 16384 --in-flight 32 --requests 96 --rounds 2

One vLLM server, and in turn `vllm bench serve` and `cot run` attached to that server, its verification beside it as
always: both once to warm up, then ROUNDS pairs, every second one the other way round (ABBA), so that a machine that
slows down burdens both. Same model, prompts, temperature, number in flight, and exactly LENGTH tokens each
(`ignore_eos`; the model's ends are not waited for). Of `cot run` the seconds of asking count, from the first look at
what is owed to the last trace that is durable. Exits 1 unless the median of the pairs' ratios is at least 0.97 (0.98
with a GPU).

Beside each figure stands what could explain it: the CPU seconds of the server and of the client for a thousand tokens,
and the share of the machine that others took meanwhile (`stolen` by the host included). --random SIZE serves a Qwen3
of that size with random weights, made here without a download (without a GPU: --random tiny, and -- --max-model-len
4096); what follows `--` goes to `vllm serve` as it is. No more should be in flight than the engine's memory holds.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kill import descendants
from benchmarks.machine import machine
from factory.lake import Lake
from factory.protocols import BadRow
from factory.sources.worlds import worlds
from factory.teachers._vllm_command import Options, on_cpu
from factory.teachers._vllm_process import VllmProcess

LEAST = 0.97 if on_cpu() else 0.98
RECIPE = """
name = "saturation"
generate = {{ samples = 2 }}
problems = [{{ plugin = "worlds", count = {problems}, families = ["expression"], levels = [1] }}]

[teacher]
plugin = "vllm_server"
model = "{model}"
attach = "{url}"
concurrency = {in_flight}
sampling = {{ temperature = 1.0, max_tokens = {length}, ignore_eos = true }}
"""
# Run without `vllm bench`: the CPU build's own command looks for a distribution of another name and crashes. One
# process for all rounds, which reads its arguments line by line: its imports take longer than a round.
BENCH = """
import json, resource, sys, time
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
told, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    before = time.process_time()
    main(parser.parse_args(json.loads(line)))
    print(time.process_time() - before, file=told, flush=True)
"""
SIZES = {"tiny": (64, 2, 2, 1, 128), "0.6b": (1024, 28, 16, 8, 3072), "1.7b": (2048, 28, 16, 8, 6144),
         "8b": (4096, 36, 32, 8, 12288)}
"""Hidden size, layers, heads, heads of keys and values, and intermediate size, as Qwen3's (arXiv:2505.09388)."""


@dataclass(frozen=True)
class Setting:
    """What is the same for both."""

    model: str
    length: int
    in_flight: int
    requests: int
    folder: Path
    url: str = ""

    @property
    def prompts(self) -> list[str]:
        """What the recipe asks, each as often as it does."""
        rows = worlds(count=self.requests // 2, families=["expression"], levels=[1])
        return [row.prompt for row in rows if not isinstance(row, BadRow) for _ in range(2)]


@dataclass(frozen=True)
class Figures:
    """Tokens a second; CPU seconds of the client for a thousand tokens."""

    speed: float
    cpu: float


# -- the server ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def server(model: str, arguments: list[str], folder: Path) -> AsyncIterator[VllmProcess]:
    process = VllmProcess(Options(model, tuple(arguments)), 0, (), folder / "vllm.log", 1800.0, 0)
    try:
        await process.start()
        yield process
    finally:
        await process.stop()


def random_model(size: str, folder: Path) -> str:
    """A folder with the configuration of a Qwen3 and a tokenizer of as many tokens; `--load-format dummy` is its
    weights. The tokens are bytes, pairs and triples of bytes: what is written is noise, as random weights have it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config
    hidden, layers, heads, keys, wide = SIZES[size]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(a, b) for a in alphabet for b in alphabet]
    merges = [*pairs, *((a + b, c) for (a, b), c in zip(pairs * 2, alphabet * 600, strict=False))][:151_000]
    words = dict.fromkeys([*alphabet, *(a + b for a, b in merges)])
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(tag, special=True) for tag in ("<|im_start|>", "<|im_end|>")])
    made = folder / f"random-{size}"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = Path("data/teacher/chat_template.jinja").read_text()
    fast.save_pretrained(made)
    Qwen3Config(
        vocab_size=len(fast), hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=keys, intermediate_size=wide, head_dim=128, max_position_embeddings=32768,
        eos_token_id=fast.eos_token_id, architectures=["Qwen3ForCausalLM"], dtype="bfloat16").save_pretrained(made)
    return str(made)


# -- the two ---------------------------------------------------------------------------------------------------------


class Theirs:
    """`vllm bench serve`, ready to be asked again and again."""

    def __init__(self, log: Path) -> None:
        with log.open("wb") as output:
            self.process = subprocess.Popen([sys.executable, "-P", "-c", BENCH], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=output, text=True)

    def __call__(self, setting: Setting) -> Figures:
        data, result = setting.folder / "prompts.jsonl", setting.folder / "bench.json"
        result.unlink(missing_ok=True)
        data.write_text("".join(json.dumps({"prompt": prompt, "output_tokens": setting.length}) + "\n"
                                for prompt in setting.prompts))
        asked = {"--backend": "openai-chat", "--base-url": setting.url.removesuffix("/v1"),
                 "--endpoint": "/v1/chat/completions", "--model": Options(setting.model).name,
                 "--tokenizer": setting.model, "--dataset-name": "custom", "--dataset-path": str(data),
                 "--custom-output-len": str(setting.length), "--num-prompts": str(setting.requests),
                 "--max-concurrency": str(setting.in_flight), "--temperature": "1.0", "--extra-body": '{"seed": 7}',
                 "--result-dir": str(setting.folder), "--result-filename": result.name}
        line = [*(word for pair in asked.items() for word in pair), "--ignore-eos", "--save-result",
                "--skip-chat-template"]
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        cpu = float(self.process.stdout.readline() or "nan")
        found = json.loads(result.read_text())
        _complete("vllm bench serve", found["total_output_tokens"], setting)
        return Figures(found["output_throughput"], cpu)


class Ours:
    """`cot run`, in a fresh lake each time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, setting: Setting) -> Figures:
        self.times += 1
        lake = setting.folder / f"lake-{self.times}"
        recipe = lake.with_suffix(".toml")
        recipe.write_text(RECIPE.format(problems=setting.requests // 2, model=setting.model, url=setting.url,
                                        in_flight=setting.in_flight, length=setting.length))
        subprocess.run([sys.executable, "-m", "flows.cli", "run", str(recipe), "--direct", "--lake", str(lake)],
                       check=True, capture_output=True)
        row = Lake(lake).rows("SELECT tokens, seconds, client_cpu FROM throughput WHERE stage = 'generate'")[0]
        _complete("cot run", row["tokens"], setting)
        return Figures(row["tokens"] / row["seconds"], row["client_cpu"] * row["seconds"])


def _complete(who: str, tokens: int, setting: Setting) -> None:
    if tokens != setting.length * setting.requests:
        raise SystemExit(f"{who} got {tokens} tokens, not {setting.length} for each of {setting.requests} answers")


# -- the table -------------------------------------------------------------------------------------------------------


def busy(pids: list[int]) -> float:
    """CPU seconds that these processes have had."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def taken() -> tuple[float, float]:
    """CPU seconds of the whole machine: what anybody had or the host kept for itself, and all that there were."""
    user, nice, system, idle, wait, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    used = user + nice + system + sum(rest[:3])
    tick = os.sysconf("SC_CLK_TCK")
    return used / tick, (used + idle + wait) / tick


def measured(name: str, ask: Callable[[Setting], Figures], setting: Setting, pids: list[int]) -> Figures:
    before, (used, all_of_it) = busy(pids), taken()
    found = ask(setting)
    engine, (used_now, all_now) = busy(pids) - before, taken()
    thousands = setting.requests * setting.length / 1000
    own = engine + found.cpu
    others = max(0.0, used_now - used - own) / (all_now - all_of_it)
    print(f"| {name} | {found.speed:,.0f} | {engine / thousands:.3f} | {found.cpu / thousands:.3f} | {others:.0%} |",
          flush=True)
    return found


def pairs(setting: Setting, rounds: int, pids: list[int]) -> list[float]:
    """Ours over theirs, `rounds` times."""
    theirs, ours, ratios = Theirs(setting.folder / "bench.log"), Ours(), []
    print("| who | tokens/s | CPU-s of the server per 1,000 tokens | of the client | others on the machine |\n"
          "|---|---|---|---|---|")
    for i in range(-1, rounds):
        both: list[tuple[str, Any]] = [("vllm bench serve", theirs), ("cot run", ours)]
        found = {name: measured(f"{name}{' (warm-up)' * (i < 0)}", ask, setting, pids)
                 for name, ask in (both if i % 2 else both[::-1])}
        if i >= 0:
            ratios.append(found["cot run"].speed / found["vllm bench serve"].speed)
    return ratios


async def main() -> int:
    args = arguments()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = random_model(args.random, folder) if args.random else args.model
        more = [*(["--load-format", "dummy"] if args.random else []), *args.vllm]
        print(f"{machine()}\n{args.random or model}, {args.requests} answers of {args.length} tokens, "
              f"{args.in_flight} in flight\n")
        async with server(model, more, folder) as process:
            assert process.process
            pids = descendants(process.process.pid)
            setting = Setting(model, args.length, args.in_flight, args.requests, folder, process.base_url)
            ratios = await asyncio.to_thread(pairs, setting, args.rounds, pids)
    middle = statistics.median(ratios)
    print(f"\nratios {', '.join(f'{ratio:.3f}' for ratio in ratios)}; median {middle:.3f} (target {LEAST}): "
          f"{'met' if middle >= LEAST else 'MISSED'}; {time.monotonic() - started:.0f} s in all")
    return 0 if middle >= LEAST else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="data/teacher")
    parser.add_argument("--random", choices=SIZES, default="")
    parser.add_argument("--length", type=int, default=160)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--requests", type=int, default=256, help="an even number")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("vllm", nargs="*", help="after --: for vllm serve")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
