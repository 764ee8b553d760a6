"""Likelihood and preference in one loss, without a reference model: ORPO (Hong et al. 2024), TRL's trainer."""

from pathlib import Path
from typing import Any

VERSION = 1
NEEDS = ("torch", "trl")


def orpo(base: Path, dataset: Path, output: Path, *, epochs: float = 1, learning_rate: float = 1e-4, batch: int = 16,
         beta: float = 0.1, max_length: int = 1024, warmup: float = 0.05, bf16: bool = False, save_steps: int = 50,
         threads: int = 0, seed: int = 0) -> dict[str, Any]:
    """Train `base` on rows of the emitter `dpo`: `prompt`, `chosen`, `rejected`; `beta` is the paper's lambda."""
    given = {"plugin": "orpo", **locals()}
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    from factory.students._by_trl import train
    # TRL would shorten what is longer than its own limit; ours has left such rows out, so it must not bind
    return train(ORPOTrainer, ORPOConfig, given, VERSION, ["chosen", "rejected"], whole_logits=True, beta=beta,
                 max_length=2 * max_length)
