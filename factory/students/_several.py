"""Several GPUs: the same training, started once for each by accelerate, its weights in shares (FSDP2).

The configuration is written beside the run for whoever wants to start it by hand or on more machines:

    accelerate launch --config_file OUTPUT/accelerate.yaml -m factory.students OUTPUT/spec.json
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIGURATION = """\
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
num_machines: 1
machine_rank: 0
num_processes: {count}
mixed_precision: bf16
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_reshard_after_forward: true
  fsdp_cpu_ram_efficient_loading: true
  fsdp_state_dict_type: FULL_STATE_DICT
  fsdp_offload_params: false
"""
ABLE = ("sft", "dpo")
"""Trainers whose processes keep step with each other."""


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return os.environ.get("RANK", "0") == "0"


def relaunch(path: Path, spec: Mapping[str, Any], gpus: int) -> None:
    """Become the launcher of `gpus` processes; returns where one process is right, or this is one of several."""
    if gpus < 2 or "RANK" in os.environ or spec["params"].get("device") == "cpu":
        return
    if spec["plugin"] not in ABLE:
        _with_one(path, spec["plugin"], gpus)
        return
    output = Path(spec["output"])
    output.mkdir(parents=True, exist_ok=True)
    configuration = output / "accelerate.yaml"
    configuration.write_text(CONFIGURATION.format(count=gpus))
    print(f"{gpus} GPUs: weights, gradients and the optimiser in shares, by {configuration}", file=sys.stderr,
          flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration),
                              "-m", "factory.students", str(path)])


def _with_one(path: Path, plugin: str, gpus: int) -> None:
    """Start anew with the first GPU alone: transformers would copy the model to each and multiply the batch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    first = visible.split(",")[0] or "0"
    if visible == first:  # it was done, and torch counts by something else
        return
    print(f"{plugin} takes one of the {gpus} GPUs", file=sys.stderr, flush=True)
    os.execve(sys.executable, [sys.executable, "-m", "factory.students", str(path)],
              {**os.environ, "CUDA_VISIBLE_DEVICES": first})
