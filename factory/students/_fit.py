"""A training on packed lines from its options to its figures: what `sft` and `dpo` share."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.protocols import UserError
from factory.students import _base, _device, _estimate, _rows
from factory.students import _training as training
from factory.students._muon import Muon

Row = dict[str, Any]
CPU_LINE, GPU_LINE = 4096, 32768
"""Tokens of a line where the recipe does not say: what a processor's cache and a GPU like; less if memory is short."""


@dataclass(frozen=True)
class Options:
    """What every such trainer takes; None and 0 are chosen by themselves."""

    epochs: float
    learning_rate: float
    batch: int
    optimizer: str
    max_length: int
    warmup: float
    lora: int
    bf16: bool | None
    checkpointing: bool | None
    liger: bool | None
    tokens_at_once: int
    device: str
    save_steps: int
    threads: int
    seed: int

    @classmethod
    def of(cls, given: Row) -> "Options":
        return cls(**{name: given[name] for name in cls.__dataclass_fields__})

    @property
    def place(self) -> str:
        return _device.choose(self.device)

    @property
    def half(self) -> bool:
        return _device.has_bf16(self.place) if self.bf16 is None else self.bf16


def open_base(base: Path, options: Options) -> tuple[Any, Any]:
    """The model and its tokenizer. Raises UserError before anything is loaded where it cannot be trained here."""
    place = options.place
    if (base / "config.json").is_file():
        count = _estimate.parameters(base)
        trained = count // 50 if options.lora else count
        _estimate.refuse_what_cannot_fit(count, trained, options.optimizer, place, options.lora)
    return _base.open_base(base)


def drop_too_long(rows: Sequence[Row], model: Any, options: Options, hint: str = "") -> tuple[list[Row], Row]:
    """Rows within `max_length` and the model's own context, and figures of the others: none is shortened."""
    limit = _rows.limit(model, options.max_length)
    why, advice = (f"max_length = {limit}", "raise it") if limit == options.max_length else (
        f"the model's context of {limit}", "take a base with a longer one")
    kept, dropped = _rows.drop(rows, lambda row: row["longest"] <= limit,
                               f"all are longer than {why} tokens: {advice}{hint}")
    if dropped:
        print(f"{dropped:,} of {len(rows):,} rows are longer than {why} tokens (the longest has "
              f"{max(row['longest'] for row in rows):,}): they are left out, whole", file=sys.stderr)
    ids = [row["trace_id"] for row in rows if row["longest"] > limit and row.get("trace_id")]
    return kept, {"rows": len(kept), "rows_too_long": dropped, "length_limit": limit,
                  **({"too_long": ids[:1000]} if dropped else {})}


def arguments(output: Path, steps: int, options: Options) -> Row:
    """The training arguments for the device."""
    world = _device.processes()
    if options.batch % world:
        raise UserError(f"batch is {options.batch} and there are {world} GPUs: use a multiple of {world}, or rows are "
                        "left over")
    liger = _device.has_liger(options.place) if options.liger is None else options.liger
    return {**training.arguments(output, steps, options.save_steps, options.seed, options.place),
            "bf16": options.half, "learning_rate": options.learning_rate, "warmup_steps": options.warmup,
            "per_device_train_batch_size": options.batch // world, "remove_unused_columns": False,
            "use_liger_kernel": liger, "tf32": True if options.place == "cuda" else None}


def optimiser(model: Any, options: Options) -> tuple[Any, None]:
    return (Muon(model, options.learning_rate) if options.optimizer == "muon" and not options.lora else None), None


def adapter(options: Options) -> Any:
    """LoRA on every linear layer (Hu et al. 2021), scaled by twice the rank; None where all weights are trained."""
    if not options.lora:
        return None
    try:
        from peft import LoraConfig
    except ModuleNotFoundError as error:
        raise UserError('lora needs the package peft: pip install "cot-factory[train]"') from error
    return LoraConfig(r=options.lora, lora_alpha=2 * options.lora, target_modules="all-linear", task_type="CAUSAL_LM")


def run(trainer: Any, rows: Sequence[Row], places: Sequence[int], output: Path, options: Options) -> Row:
    """Plan, say what it will take, train. Returns figures of speed and memory with the losses."""
    alone = trainer.accelerator.num_processes == 1
    fixed = _device.used_memory() if options.place == "cpu" else 0
    planned = (_plan if alone else _shares)(trainer, rows, places, output, options, fixed)
    trainer.at_most = planned.get("tokens_at_once") or options.tokens_at_once or GPU_LINE
    trainer.args.gradient_checkpointing = bool(planned.get("checkpointing", options.checkpointing))
    rate = _device.matrix_rate(options.place, options.half)
    figures = training.train(trainer)
    seconds, world = max(figures["seconds"], 1e-3), trainer.accelerator.num_processes
    return {**figures, **planned, "device": _device.name(options.place), "processes": world, "bf16": options.half,
            "tokens": trainer.tokens * world, "tokens_per_second": round(trainer.tokens * world / seconds, 1),
            "flops": trainer.flops * world, "matrix_rate": rate, "mfu": round(trainer.flops / seconds / rate, 4),
            "peak_memory": _device.peak_memory(options.place)}


def _plan(trainer: Any, rows: Sequence[Row], places: Sequence[int], output: Path, options: Options, fixed: int) -> Row:
    """What was planned when the run began; a resumed one keeps to it, or its sums would be added in another order."""
    noted = output / "plan.json"
    found: Row = json.loads(noted.read_text()) if noted.is_file() else {}
    if "tokens_at_once" in found:  # not so where it was of several GPUs
        return found
    longest = max(row["length"] for row in rows)
    first = [rows[i] for i in places[:options.batch]]
    trainer.at_most = max(longest, options.tokens_at_once or (CPU_LINE if options.place == "cpu" else GPU_LINE))
    kept = _estimate.kept_per_token(trainer, trainer.collate(first[:2])[0])
    memory = _static(trainer, options)
    memory, tokens, checkpointing = _estimate.plan(
        memory, kept, min(trainer.at_most, max(longest, sum(row["length"] for row in first))), longest,
        trainer.model.config.get_text_config().num_hidden_layers, _device.free_memory(options.place),
        options.checkpointing, max(0, fixed - memory.weights))
    trainer.at_most = tokens
    seconds = _estimate.seconds_a_token(trainer, trainer.collate(first)) * (4 / 3 if checkpointing else 1) * sum(
        rows[i]["length"] for i in places)
    made = {"tokens_at_once": tokens, "checkpointing": checkpointing, **_estimate.as_figures(memory, seconds)}
    print(f"about {memory} and {_estimate.duration(seconds)} for {math.ceil(len(places) / options.batch):,} steps on "
          f"{_device.name(options.place)}", file=sys.stderr, flush=True)
    training.write_json(noted, made)
    return made


def _static(trainer: Any, options: Options) -> _estimate.Memory:
    parameters = list(trainer.model.parameters())
    return _estimate.static(sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad),
                            "adamw" if options.lora else options.optimizer)


def _shares(trainer: Any, rows: Sequence[Row], places: Sequence[int], output: Path, options: Options, fixed: int
            ) -> Row:
    """On several GPUs: a share of the weights, gradients and optimiser each. A batch thrown away would have to be so
    on all of them at once, so activations and time are not foretold."""
    world = trainer.accelerator.num_processes
    share = _static(trainer, options).total // world
    if trainer.args.should_save:
        print(f"about {_estimate.size(share)} on each of {world} GPUs, and what a line of "
              f"{options.tokens_at_once or GPU_LINE:,} tokens keeps, for {steps(places, options):,} steps",
              file=sys.stderr, flush=True)
    training.write_json(output / "plan.json", {"estimated_memory": share})
    return {"estimated_memory": share}


def done(trainer: Any, tokenizer: Any, base: Path, output: Path, figures: Row) -> Row:
    """The model and the figures, by the first process."""
    trainer.accelerator.wait_for_everyone()
    state = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not trainer.args.should_save:
        return figures
    model.set_attn_implementation("sdpa")
    return training.finish(model, tokenizer, base, output, figures, state)


def ordered(rows: Sequence[Row], options: Options) -> list[int]:
    return _rows.order([row["length"] for row in rows], options.batch, options.epochs, options.seed)


def steps(places: Sequence[int], options: Options) -> int:
    return math.ceil(len(places) / options.batch)

