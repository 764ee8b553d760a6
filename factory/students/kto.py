"""Preference training without pairs, on traces that are right or wrong: KTO (Ethayarajh et al. 2024), TRL's trainer."""

from pathlib import Path
from typing import Any

from factory.students._values import Above0, AtLeast0, Count, Seed, Threads

VERSION = 1
ROWS = ("prompt", "completion", "label")
"""Columns that its dataset has to have."""
NEEDS = ("torch", "trl")


def kto(base: Path, dataset: Path, output: Path, *, epochs: Above0 = 1, learning_rate: Above0 = 2e-5, batch: Count = 16,
        beta: AtLeast0 = 0.1, max_length: Count = 1024, warmup: AtLeast0 = 0.05, bf16: bool = False,
        save_steps: Count = 50, threads: Threads = 0, seed: Seed = 0) -> dict[str, Any]:
    """Train `base` on rows of the emitter `kto`: `prompt`, `completion`, `label`. The other keys are those of `dpo`."""
    given = {"plugin": "kto", **locals()}
    from trl import KTOConfig, KTOTrainer

    from factory.students._by_trl import train
    # the reference reads each row, and both read it with another row's answer
    return train(KTOTrainer, KTOConfig, given, VERSION, ["completion"], ["label"], passes=2, beta=beta)
