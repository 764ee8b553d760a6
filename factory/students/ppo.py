"""PPO (Schulman et al. 2017) is not in TRL 1.16 any more: a recipe that asks for it is told what to use."""

from pathlib import Path
from typing import Any

from factory.protocols import UserError

UNAVAILABLE = ("there is no PPO in TRL 1.16 any more: use the student `grpo`, which takes the rows of `rl_prompts` too "
               "and needs no value model")


def ppo(base: Path, dataset: Path, output: Path) -> dict[str, Any]:
    raise UserError(UNAVAILABLE)
