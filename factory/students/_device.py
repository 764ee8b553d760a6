"""What the machine offers a training: which device, how fast its matrices multiply, how much memory is free."""

import os
import resource
import time
from pathlib import Path

import torch

from factory.protocols import UserError

CGROUP = Path("/sys/fs/cgroup")


def choose(wanted: str) -> str:
    """`cuda` where there is a GPU, unless the recipe says otherwise. Raises UserError when there is none to be had."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UserError('the recipe demands a GPU (device = "cuda") and torch sees none: set device = "auto" to train '
                        "on the CPU, or install a torch with CUDA and look at nvidia-smi")
    return "cuda" if there and wanted != "cpu" else "cpu"


def name(device: str) -> str:
    """As people know it."""
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def has_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware; an emulation would be slower than float32."""
    return torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else (
        bool(torch.cpu._is_amx_tile_supported()))


def has_liger(device: str) -> bool:
    from importlib.util import find_spec

    return device == "cuda" and find_spec("liger_kernel") is not None


def matrix_rate(device: str, bf16: bool) -> float:
    """Operations a second of the best of a few large products in the training's own number format."""
    size = 8192 if device == "cuda" else 1024
    one = torch.randn(size, size, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    best = 0.0
    for _ in range(8):
        _wait(device)
        started = time.perf_counter()
        one @ one
        _wait(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def free_memory(device: str) -> int:
    """Bytes that this process may still take: of the GPU, what torch keeps of it unused included, or of the machine
    within its control group's limit."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit, used = ((CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return free if limit == "max" else min(free, int(limit) - int(used))
    except OSError:
        return free


def used_memory() -> int:
    """Bytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak_memory(device: str) -> int:
    """The most bytes held so far: what torch reserved of the GPU, or resident memory of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_reserved())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def processes() -> int:
    """How many processes train together, a GPU each: what the launcher says, also before they have met."""
    return int(os.environ.get("WORLD_SIZE", "1"))
