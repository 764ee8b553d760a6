"""Likelihood and preference in one loss, without a reference model: ORPO (Hong et al. 2024), TRL's trainer."""

from pathlib import Path
from typing import Any

from factory.students._values import Above0, AtLeast0, Count, Seed, Threads

VERSION = 1
ROWS = ("prompt", "chosen", "rejected")
"""Columns that its dataset has to have."""
NEEDS = ("torch", "trl")


def orpo(base: Path, dataset: Path, output: Path, *, epochs: Above0 = 1, learning_rate: Above0 = 1e-4,
         batch: Count = 16, beta: AtLeast0 = 0.1, max_length: Count = 1024, warmup: AtLeast0 = 0.05, bf16: bool = False,
         save_steps: Count = 50, threads: Threads = 0, seed: Seed = 0) -> dict[str, Any]:
    """Train `base` on rows of the emitter `dpo`: `prompt`, `chosen`, `rejected`; `beta` is the paper's lambda."""
    given = {"plugin": "orpo", **locals()}
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    from factory.students._by_trl import train
    # TRL would shorten what is longer than its own limit; ours has left such rows out, so it must not bind
    return train(ORPOTrainer, ORPOConfig, given, VERSION, ["chosen", "rejected"], whole_logits=True, beta=beta,
                 max_length=2 * max_length)
