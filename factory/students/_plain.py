"""A training on padded batches from its plan to its figures: what the trainers without packed lines share."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
BACKWARD = 1.5
"""What a whole step holds at most, as a factor of what the forward pass keeps: 1.5 to 1.75 was measured on a CPU."""


def open_base(base: Path, kind: Any = AutoModelForCausalLM, **options: Any) -> tuple[Any, Any]:
    """`_base.open_base`, after a look whether weights, gradients and the optimiser fit."""
    if (base / "config.json").is_file():
        count = _estimate.parameters(base, kind)
        _estimate.refuse_what_cannot_fit(count, count, "adamw", _device.choose("auto"), lora=0, alone=True)
    return _base.open_base(base, kind, **options)


def run(trainer: Any, shapes: Sequence[Shape], places: Sequence[int], batch: int, output: Path, passes: float = 1.0,
        written: int = 0, whole_logits: bool = False) -> Row:
    """Plan, say what it will take, train. `shapes` are of the rows that `places` names in order.

    `passes`: forward and backward passes that a token takes, a forward one alone being a third; `written`: tokens that
    the model writes at each step before that; `whole_logits`: whether the loss keeps a number for each token of the
    vocabulary.
    """
    place, bf16 = _device.choose("auto"), bool(trainer.args.bf16)
    work = Work([[shapes[i] for i in places[start:start + batch]] for start in range(0, len(places), batch)], passes,
                written, whole_logits)
    planned = _plan(trainer, work, output, place)
    rate, meter = _device.matrix_rate(place, bf16), Meter(trainer)
    figures = training.train(trainer)
    seconds, tokens, flops = max(figures["seconds"], 1e-3), int(meter.tokens), float(meter.flops)
    done = figures["steps"] - figures["resumed_from_step"]
    return {**figures, **planned, "device": _device.name(place), "processes": 1, "bf16": bf16, "tokens": tokens,
            "trained_tokens": round(tokens * figures["steps"] / done) if done else 0,
            "tokens_per_second": round(tokens / seconds, 1), "flops": flops, "matrix_rate": rate,
            "mfu": round(flops / seconds / rate, 4), "peak_memory": _device.peak_memory(place)}


class Meter:
    """What goes through a trainer's model and its reference, padding apart: `tokens` of passes with gradients, and
    `flops` of all passes, since this start.

    A forward pass is 2 for a weight and a token and 2 · length² · width for a layer's causal attention, a backward one
    twice that (Chowdhery et al. 2022, appendix B). The head is counted at every token.
    """

    def __init__(self, trainer: Any) -> None:
        model = trainer.model
        config, head = model.config.get_text_config(), model.get_output_embeddings()
        table = model.get_input_embeddings().weight
        self.weights = sum(p.numel() for p in model.parameters() if p is not table or (head and head.weight is table))
        self.width = config.num_hidden_layers * config.num_attention_heads * (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        self.tokens: Any = 0
        self.flops: Any = 0.0
        for one in filter(None, (model, getattr(trainer, "ref_model", None))):
            one.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, _: Any, args: tuple[Any, ...], kwargs: Row) -> None:
        """Sums stay on the device, for to read them at each pass would wait for it; in float64, or a long run's would
        swallow a pass over one token."""
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        mask, cache = kwargs.get("attention_mask"), kwargs.get("past_key_values")
        before = cache.get_seq_length() if cache is not None else 0
        context = mask.sum(1) if mask is not None and mask.dim() == 2 else torch.full(
            ids.shape[:1], before + ids.shape[1], device=ids.device)
        lengths = context.clamp(max=ids.shape[1])  # fewer than the context where there is a cache
        self.tokens += lengths.sum() * torch.is_grad_enabled()
        self.flops += (3 if torch.is_grad_enabled() else 1) * (
            2 * self.weights * lengths.sum().double()
            + 2 * self.width * (lengths * (2 * context - lengths)).sum().double())


# -- the plan --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """The batches of a run in order, and what is done with each of them; see `run`."""

    batches: Sequence[Sequence[Shape]]
    passes: float = 1.0
    written: int = 0
    whole_logits: bool = False

    @property
    def sizes(self) -> list[int]:
        """Tokens of each batch, padding included."""
        return [sum(count for count, _ in part) * max(length for _, length in part) for part in self.batches]

    @property
    def longest(self) -> int:
        return max(length for part in self.batches for _, length in part)

    @property
    def texts(self) -> int:
        """The most of one batch."""
        return max(sum(count for count, _ in part) for part in self.batches)


def _plan(trainer: Any, work: Work, output: Path, place: str) -> Row:
    """What was planned when the run began. Raises UserError where it does not fit, before a whole batch is tried."""
    noted = output / "plan.json"
    if noted.is_file():
        found: Row = json.loads(noted.read_text())
        return found
    fixed = _device.used_memory() if place == "cpu" else 0
    # What is tried out draws numbers, too, for dropout: the training must not depend on it.
    with torch.random.fork_rng(), torch.autocast(place, torch.bfloat16, enabled=bool(trainer.args.bf16)):
        memory = _memory(trainer, int(BACKWARD * _kept(trainer.model, work) * max(work.sizes)), fixed)
        _refuse(memory, max(map(len, work.batches)), place)
        seconds = _seconds(trainer.model, work)
    print(f"about {memory} and {_estimate.duration(seconds)} for {len(work.batches):,} steps on {_device.name(place)}",
          file=sys.stderr, flush=True)
    made = _estimate.as_figures(memory, seconds)
    training.write_json(noted, made)
    return made


def _forward(model: Any, texts: int, length: int, whole_logits: bool) -> torch.Tensor:
    ids = torch.ones(texts, length, dtype=torch.long, device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits.float()
    return (logits.log_softmax(-1) if whole_logits else logits).sum()  # type: ignore[no-any-return]


def _kept(model: Any, work: Work) -> float:
    """Bytes a token that the forward pass keeps for the backward pass, of a text no longer than `PROBE`."""
    length = min(work.longest, PROBE)
    model.train()
    return _estimate.kept(model, lambda: _forward(model, 1, length, work.whole_logits)) / length


def _seconds(model: Any, work: Work) -> float:
    """Of the whole run, by a pass over one text and one token written, each timed when it is warm."""
    texts = max(1, PROBE // work.longest)

    def once() -> None:
        _forward(model, texts, work.longest, work.whole_logits).backward()

    model.train()
    once()
    taken = min(_estimate.seconds(once) for _ in range(3)) / (texts * work.longest)
    model.zero_grad(set_to_none=True)
    writing = _writing(model, work) * work.written * len(work.batches) if work.written else 0.0
    return taken * work.passes * sum(work.sizes) + writing


@torch.no_grad()  # type: ignore[untyped-decorator]
def _writing(model: Any, work: Work) -> float:
    """Seconds of one token for each text of a batch, with the cache half full."""
    model.eval()
    ids = torch.ones(work.texts, max(1, work.longest - work.written // 2), dtype=torch.long, device=model.device)
    cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values

    def once() -> None:
        model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True)

    once()
    return min(_estimate.seconds(once) for _ in range(3))


def _memory(trainer: Any, activations: int, fixed: int) -> _estimate.Memory:
    count = sum(p.numel() for p in trainer.model.parameters())
    second = getattr(trainer, "ref_model", None)
    others = sum(p.numel() for p in second.parameters()) if second is not None else 0
    memory = _estimate.static(count, count, "adamw")
    weights = memory.weights + 4 * others
    return replace(memory, weights=weights, activations=activations, fixed=max(0, fixed - weights))


def _refuse(memory: _estimate.Memory, batch: int, place: str) -> None:
    free = _device.free_memory(place)
    room = free * _estimate.SHARE - memory.gradients - memory.optimiser
    if memory.activations <= room:
        return
    fits = math.floor(batch * room / memory.activations)
    ways = [f"batch = {fits}"] if fits > 0 else ["a lower max_length", "a smaller base", "more memory"]
    raise UserError(_estimate.cannot(memory, free + memory.weights + memory.fixed, ways))
