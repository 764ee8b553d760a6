"""Preference training without pairs, on traces that are right or wrong: KTO (Ethayarajh et al. 2024), TRL's trainer."""

from pathlib import Path
from typing import Any

VERSION = 1
NEEDS = ("torch", "trl")


def kto(base: Path, dataset: Path, output: Path, *, epochs: float = 1, learning_rate: float = 2e-5, batch: int = 16,
        beta: float = 0.1, max_length: int = 1024, warmup: float = 0.05, bf16: bool = False, save_steps: int = 50,
        threads: int = 0, seed: int = 0) -> dict[str, Any]:
    """Train `base` on rows of the emitter `kto`: `prompt`, `completion`, `label`. The other keys are those of `dpo`."""
    given = {"plugin": "kto", **locals()}
    from trl import KTOConfig, KTOTrainer

    from factory.students._by_trl import train
    # the reference reads each row, and both read it with another row's answer
    return train(KTOTrainer, KTOConfig, given, VERSION, ["completion"], ["label"], passes=2, beta=beta)
