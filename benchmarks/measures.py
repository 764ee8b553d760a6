"""How fast the measures read real traces: MB of text a second of CPU, each and all together, on one core.

    .venv/bin/python -m benchmarks.measures [DIR] [--tokenizer FOLDER]

DIR holds traces/*.jsonl.gz. What is timed is the stage's own `measured`: every measure about one batch before the next
batch, which was prepared together, each number with its id as a row of `measurements`. CPU time counts, since it is
the machine's other work that the clock shows; the best of three passes, for the same reason. Twice: with every measure,
and without the two that do more than read, `overthinking` (which compares answers by mathematics) and `token_length`
(which runs a tokenizer: by default one in the form of Qwen's, made here). Beside it the whole stage, out of a lake and
into it. Exits 1 if every measure together stays under 20 MB/s.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from benchmarks.defects import DATA, read
from benchmarks.machine import machine
from factory import plugins
from factory.lake import Lake
from factory.recipe import Plugin
from factory.records import Problem, Trace
from factory.stages import measure

TARGET = 20.0  # MB/s
TEACHER = Path(__file__).parents[1] / "data" / "teacher"
SLOW = {"overthinking", "token_length"}
WITHOUT = {"log_probability", "execution",  # these traces have no log-probabilities and no programs
           "process_reward", "reward"}  # a model's passes, not a reading of the text

PIECES = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
"""How Qwen2, 2.5 and 3 split a text before it is merged (their tokenizer.json)."""

Pairs = list[tuple[Problem, Trace]]


def main() -> int:
    parser = argparse.ArgumentParser(description="MB of traces a second through the measures.")
    parser.add_argument("folder", type=Path, nargs="?", default=DATA)
    parser.add_argument("--tokenizer", type=Path, help="a folder with tokenizer.json")
    chosen = parser.parse_args()
    found = pairs(chosen.folder)
    if not found:
        parser.error(f"{chosen.folder} has no traces/*.jsonl.gz: name a folder with traces")
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = chosen.tokenizer or made(found, Path(folder))
        every = [spec(name, tokenizer) for name in plugins.names("measure") if name not in WITHOUT]
        quick = [one for one in every if one.plugin not in SLOW]
        table(found[::4], every)  # every fourth trace: what matters is which measure is the slow one
        print(f"\ntoken_length in the teacher's tokenizer of {TEACHER.name}: "
              f"{rate_of(found[::10], [spec('token_length', TEACHER)]):.1f} MB/s, on every tenth trace")
        for label, specs in (("without the two", quick), ("every measure", every)):
            cpu, wall = min(once(chosen.folder, specs) for _ in range(3))
            rate = size(found) / cpu
            print(f"\n{label}, {len(specs)} measures of {len(found):,} traces, {size(found):.1f} MB: {rate:.1f} MB/s "
                  f"of CPU time per core ({size(found) / wall:.1f} by the clock, load {os.getloadavg()[0]:.1f}), "
                  f"target {TARGET:.0f}: {'met' if rate >= TARGET else 'MISSED'}")
        stage(found, every)
    return 0 if rate >= TARGET else 1


def spec(name: str, tokenizer: Path) -> Plugin:
    return Plugin(plugin=name, params={"tokenizer": str(tokenizer)} if name == "token_length" else {})


def made(found: "Pairs", folder: Path) -> Path:
    """A byte-level BPE of 8,000 tokens in the form of Qwen's, trained on the prompts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.train_from_iterator(sorted({problem.prompt for problem, _ in found}), trainers.BpeTrainer(
        vocab_size=8_000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<|im_start|>", "<|im_end|>", "<think>", "</think>"]))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def once(folder: Path, specs: Sequence[Plugin]) -> tuple[float, float]:
    """Traces that were never seen before: a text that was hashed once is quicker to look up."""
    found = pairs(folder)
    return spent(lambda: measure.measured(found, specs))


def pairs(folder: Path) -> Pairs:
    """Each trace with a number of its own, so that ids differ."""
    return [(row.problem, replace(row.trace, request=replace(row.trace.request, sample=number)))
            for number, row in enumerate(read(folder))]


def size(found: Pairs) -> float:
    return sum(len(trace.completion.raw.encode("utf-8", "surrogatepass")) for _, trace in found) / 1e6


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of all threads, and seconds by the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def rate_of(found: Pairs, specs: Sequence[Plugin]) -> float:
    return size(found) / spent(lambda: measure.measured(found, specs))[0]


def table(found: Pairs, every: Sequence[Plugin]) -> None:
    """Each measure alone, with all that it shares with others."""
    rates = {one.plugin: rate_of(found, [one]) for one in every}
    print("\n| measure, alone | MB/s |\n|---|---|")
    for name, rate in sorted(rates.items(), key=lambda pair: pair[1]):
        print(f"| {name} | {rate:,.0f} |")


def stage(found: Pairs, every: Sequence[Plugin]) -> None:
    """The whole stage as `cot run` calls it, in shards of 2,000 traces of a lake."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        problems = {problem.id: dict(vars(problem), id=problem.id) for problem, _ in found}
        lake.append("problems", list(problems.values()))
        texts = ("thinking", "response", "raw", "finish_reason", "completion_tokens")
        lake.append("traces", [dict(vars(trace.request), id=trace.id, **{
            name: getattr(trace.completion, name) for name in texts}) for _, trace in found])
        ids = sorted(trace.id for _, trace in found)
        cpu, wall = spent(lambda: [measure.work(lake, ids[i:i + 2000], every) for i in range(0, len(ids), 2000)])
    print(f"\nthe whole stage, out of a lake and into it: {size(found) / cpu:.1f} MB/s of CPU time, "
          f"{size(found) / wall:.1f} by the clock")


if __name__ == "__main__":
    sys.exit(main())
