"""A training on padded batches from its plan to its figures: what the trainers without packed lines share."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from factory.protocols import UserError
from factory.students import _base, _device, _estimate
from factory.students import _training as training

Row = dict[str, Any]
Shape = tuple[int, int]
"""Of a row: how many texts go through the model, and the tokens of the longest."""
PROBE = 1024
"""Tokens, about, of the pass that is timed."""


def open_base(base: Path, kind: Any = AutoModelForCausalLM, **options: Any) -> tuple[Any, Any]:
    """`_base.open_base`, after a look whether weights, gradients and the optimiser fit."""
    if (base / "config.json").is_file():
        count = _estimate.parameters(base)
        _estimate.refuse_what_cannot_fit(count, count, "adamw", _device.choose("auto"), lora=0, alone=True)
    return _base.open_base(base, kind, **options)


def run(trainer: Any, shapes: Sequence[Shape], places: Sequence[int], batch: int, output: Path, passes: float = 1.0,
        written: int = 0) -> Row:
    """Plan, say what it will take, train. `shapes` are of the rows that `places` names in order.

    `passes`: forward and backward passes that a token takes, a forward one alone being a third; `written`: tokens that
    the model writes at each step before that.
    """
    place, bf16 = _device.choose("auto"), bool(trainer.args.bf16)
    planned = _plan(trainer, [[shapes[i] for i in places[start:start + batch]]
                              for start in range(0, len(places), batch)], output, place, passes, written)
    rate, meter = _device.matrix_rate(place, bf16), Meter(trainer.model)
    figures = training.train(trainer)
    meter.hook.remove()
    seconds, tokens, flops = max(figures["seconds"], 1e-3), int(meter.tokens), float(meter.flops)
    return {**figures, **planned, "device": _device.name(place), "processes": 1, "bf16": bf16, "tokens": tokens,
            "trained_tokens": tokens, "tokens_per_second": round(tokens / seconds, 1), "flops": flops,
            "matrix_rate": rate, "mfu": round(flops / seconds / rate, 4), "peak_memory": _device.peak_memory(place)}


class Meter:
    """What goes through a model, padding apart: `tokens` of passes with gradients, and `flops` of all passes.

    A forward pass is 2 for a weight and a token and 2 · length² · width for a layer's causal attention, a backward one
    twice that (Chowdhery et al. 2022, appendix B). The head is counted at every token.
    """

    def __init__(self, model: Any) -> None:
        config, head = model.config.get_text_config(), model.get_output_embeddings()
        table = model.get_input_embeddings().weight
        self.weights = sum(p.numel() for p in model.parameters() if p is not table or (head and head.weight is table))
        self.width = config.num_hidden_layers * config.num_attention_heads * (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        self.tokens: Any = 0
        self.flops: Any = 0.0
        self.hook = model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, _: Any, args: tuple[Any, ...], kwargs: Row) -> None:
        """Sums stay on the device: to read them at each pass would wait for it."""
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        mask, cache = kwargs.get("attention_mask"), kwargs.get("past_key_values")
        before = cache.get_seq_length() if cache is not None else 0
        context = mask.sum(1) if mask is not None and mask.dim() == 2 else torch.full(
            ids.shape[:1], before + ids.shape[1], device=ids.device)
        lengths = context.clamp(max=ids.shape[1])  # fewer than the context where there is a cache
        self.tokens += lengths.sum() * torch.is_grad_enabled()
        self.flops += (3 if torch.is_grad_enabled() else 1) * (
            2.0 * self.weights * lengths.sum() + 2.0 * self.width * (lengths * (2 * context - lengths)).sum())


# -- the plan --------------------------------------------------------------------------------------------------------


def _plan(trainer: Any, batches: Sequence[Sequence[Shape]], output: Path, place: str, passes: float, written: int
          ) -> Row:
    """What was planned when the run began. Raises UserError where it does not fit."""
    noted = output / "plan.json"
    if noted.is_file():
        found: Row = json.loads(noted.read_text())
        return found
    fixed = _device.used_memory() if place == "cpu" else 0
    texts = [sum(count for count, _ in part) for part in batches]
    sizes = [count * max(length for _, length in part) for count, part in zip(texts, batches, strict=True)]
    longest = max(length for part in batches for _, length in part)
    kept, seconds = _probe(trainer.model, longest)
    seconds = seconds * passes * sum(sizes) + len(batches) * _writing(trainer.model, max(texts), longest, written)
    memory = _memory(trainer, int(kept * max(sizes)), fixed)
    _refuse(memory, kept * max(sizes), max(map(len, batches)), place)
    print(f"about {memory} and {_estimate.duration(seconds)} for {len(batches):,} steps on {_device.name(place)}",
          file=sys.stderr, flush=True)
    made = _estimate.as_figures(memory, seconds)
    training.write_json(noted, made)
    return made


def _probe(model: Any, longest: int) -> tuple[float, float]:
    """(bytes kept for the backward pass, seconds of a forward and a backward pass), of a token."""
    ids = torch.ones(max(1, PROBE // longest), longest, dtype=torch.long, device=model.device)
    model.train()

    def forward() -> torch.Tensor:
        return model(input_ids=ids, use_cache=False).logits.float().sum()  # type: ignore[no-any-return]

    kept = _estimate.kept(model, forward) / ids.numel()
    seconds = _estimate.seconds(lambda: forward().backward())
    model.zero_grad(set_to_none=True)
    return kept, seconds / ids.numel()


@torch.no_grad()  # type: ignore[untyped-decorator]
def _writing(model: Any, texts: int, longest: int, written: int) -> float:
    """Seconds to write `written` tokens of `texts` at once: one step with the cache half full, timed."""
    if not written:
        return 0.0
    model.eval()
    ids = torch.ones(texts, max(1, longest - written // 2), dtype=torch.long, device=model.device)
    cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
    return written * _estimate.seconds(lambda: model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True))


def _memory(trainer: Any, activations: int, fixed: int) -> _estimate.Memory:
    count = sum(p.numel() for p in trainer.model.parameters())
    second = getattr(trainer, "ref_model", None)
    others = sum(p.numel() for p in second.parameters()) if second is not None else 0
    memory = _estimate.static(count, count, "adamw")
    weights = memory.weights + 4 * others
    return replace(memory, weights=weights, activations=activations, fixed=max(0, fixed - weights))


def _refuse(memory: _estimate.Memory, activations: float, batch: int, place: str) -> None:
    room = _device.free_memory(place) * _estimate.SHARE - memory.gradients - memory.optimiser
    if activations <= room:
        return
    fits = math.floor(batch * room / activations)
    free = _device.free_memory(place) + memory.weights + memory.fixed
    raise UserError(_estimate.cannot(memory, free, [f"batch = {fits}"] if fits > 0 else [
        "a lower max_length", "a smaller base", "more memory"]))
