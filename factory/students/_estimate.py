"""Before a training starts: how much memory and time it takes, and what would fit when it does not.

Weights, gradients and the optimiser's state are counted; what a forward pass keeps for the backward pass is measured on
one short line and grows with the tokens of a line; time is that of one batch, run and thrown away.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from factory.protocols import UserError
from factory.students import _device
from factory.students._lines import Line
from factory.students._rows import first_line

GIB = 2**30
SHARE = 0.92
"""How much of the free memory may be planned with: allocators round up."""


@dataclass(frozen=True)
class Memory:
    """Bytes, by what they are for. `fixed` is what the process holds before any of it (libraries)."""

    weights: int
    gradients: int
    optimiser: int
    activations: int
    fixed: int = 0

    @property
    def total(self) -> int:
        return self.fixed + self.weights + self.gradients + self.optimiser + self.activations

    def __str__(self) -> str:
        parts = {"weights": self.weights, "gradients": self.gradients, "optimiser": self.optimiser,
                 "activations": self.activations}
        return f"{size(self.total)} ({', '.join(f'{name} {size(value)}' for name, value in parts.items())})"


def size(count: float) -> str:
    """Bytes as a person reads them."""
    return f"{count / GIB:.1f} GiB" if count >= GIB / 10 else f"{count / 2**20:.0f} MiB"


def parameters(base: Any, kind: Any = AutoModelForCausalLM) -> int:
    """Of the model in the folder, from its configuration alone: nothing is loaded. Raises UserError."""
    try:
        with torch.device("meta"):
            made = kind.from_config(AutoConfig.from_pretrained(base, local_files_only=True))
    except Exception as error:  # cut off, or of a kind that this transformers does not know
        raise UserError(f"the model in {base} does not open ({first_line(error)}): fetch it again, or install a "
                        "transformers that knows it") from error
    return sum(p.numel() for p in made.parameters())


def static(count: int, trained: int, optimiser: str, fixed: int = 0) -> Memory:
    """In float32, with weights in bfloat16 beside them counted as activations. Muon keeps one value a weight."""
    return Memory(4 * count, 4 * trained, (4 if optimiser == "muon" else 8) * trained, 0, fixed)


def refuse_what_cannot_fit(count: int, trained: int, optimiser: str, device: str, lora: int, alone: bool = False
                           ) -> None:
    """Before anything is loaded: weights, gradients and the optimiser alone. `alone`: a trainer of all weights that
    takes one GPU."""
    needed, free = static(count, trained, optimiser), int(_device.free_memory(device) * SHARE)
    if needed.total <= free * _device.processes():  # FSDP shares all of it out
        return
    ways = []
    if not lora and not alone and 4 * count + 16 * count // 50 < free:
        ways.append("lora = 16")
    if device == "cuda" and not alone:
        ways.append(f"{-(-needed.total // free)} GPUs of this size")
    raise UserError(cannot(needed, free, ways or ["a smaller base", f"a machine with {size(needed.total / SHARE)}"]))


def cannot(needed: Memory, free: int, ways: Sequence[str]) -> str:
    return (f"the training needs about {needed} and {size(free)} are free, so it cannot start; it would fit with "
            f"{' or '.join(ways)}")


def kept_per_token(trainer: Any, line: Line) -> float:
    """Bytes a token of the line that the forward pass keeps for the backward pass."""
    trainer.model.train()
    line = trainer._prepare_inputs(line)

    def forward() -> torch.Tensor:
        with _precision(trainer):
            return trainer.scores(trainer.model, {  # type: ignore[no-any-return]
                key: value for key, value in line.items() if key in USED}).sum()

    return kept(trainer.model, forward) / int(line["input_ids"].numel())


def kept(model: Any, forward: Callable[[], torch.Tensor]) -> float:
    """Bytes that `forward` keeps for the backward pass, each storage counted once and weights not at all."""
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        score = forward()
    del score
    return float(sum(seen.values()))


def _precision(trainer: Any) -> Any:
    """That of the training: the model has it on its own only once the training has begun."""
    return torch.autocast(trainer.model.device.type, torch.bfloat16, enabled=bool(trainer.args.bf16))


USED = ("input_ids", "labels", "position_ids", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k",
        "documents", "use_cache")


def seconds_a_token(trainer: Any, lines: list[Line]) -> float:
    """Of a forward and a backward pass over one batch, thrown away."""
    with _precision(trainer):
        taken = seconds(lambda: trainer.training_step(trainer.model, lines))
    trainer.model.zero_grad(set_to_none=True)
    return taken / sum(int(line["input_ids"].numel()) for line in lines)


def seconds(work: Callable[[], Any]) -> float:
    """What `work` takes, a GPU's share included."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def plan(memory: Memory, kept: float, tokens: int, longest: int, layers: int, free: int, chosen: bool | None,
         fixed: int) -> tuple[Memory, int, bool]:
    """Memory, tokens of a line and whether to recompute activations: as asked, else the fastest that fits.

    `tokens` are those of a line as asked, `longest` the fewest it may have. Weights are loaded and `fixed` is what else
    the process holds; `free` is what may still be taken.
    """
    recomputed = kept / layers + kept / 12  # one layer's, and what goes from layer to layer
    memory = replace(memory, fixed=fixed)
    held = memory.weights + fixed
    lines = sorted({tokens, max(longest, tokens // 2), max(longest, tokens // 4), longest}, reverse=True)
    for checkpointing in [chosen] if chosen is not None else [False, True]:
        for count in lines:
            made = replace(memory, activations=int((recomputed if checkpointing else kept) * count))
            if made.total - held <= free * SHARE:
                return made, count, bool(checkpointing)
    least = replace(memory, activations=int((kept if chosen is False else recomputed) * longest))
    raise UserError(cannot(least, free + held, _ways(least, kept, recomputed, longest, free, chosen)))


def _ways(memory: Memory, kept: float, recomputed: float, longest: int, free: int, chosen: bool | None) -> list[str]:
    room = free * SHARE - memory.gradients - memory.optimiser
    ways = []
    if chosen is False and recomputed * longest <= room:
        ways.append("checkpointing = true")
    if room > 0 and (fits := int(room / recomputed)) >= 64:
        ways.append(f"max_length = {min(fits, longest - 1)}")
    if free * SHARE > recomputed * longest + memory.gradients // 25:
        ways.append("lora = 16")
    return ways or ["a smaller base", "more memory"]


def duration(count: float) -> str:
    """Seconds as a person reads them."""
    return f"{count:.0f} s" if count < 120 else f"{count / 60:.0f} min" if count < 7200 else f"{count / 3600:.1f} h"


def as_figures(memory: Memory, time_taken: float) -> dict[str, Any]:
    return {"estimated_memory": memory.total, "estimated_seconds": round(time_taken, 1), "estimate": asdict(memory)}
