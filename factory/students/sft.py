"""Supervised fine-tuning: the student learns to write the chosen traces, thinking included.

Loss on the assistant's turn only, exactly its content and the token that ends it. The prompt is context and is never
trained on. The loop is TRL's `SFTTrainer` (https://huggingface.co/docs/trl/sft_trainer); rows and mask are ours.
Muon for the matrices, AdamW for the rest (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon). The defaults
are for a student of half a million parameters; for a real one set optimizer = "adamw" and a rate near 2e-5.
"""

import math
from pathlib import Path
from typing import Any, Literal

VERSION = 2
NEEDS = ("torch", "trl")
"""Imported where they are used: who only asks for the parameters of this plugin should not wait for them."""


def sft(base: Path, dataset: Path, output: Path, *, epochs: float = 6, learning_rate: float = 4e-3, batch: int = 32,
        optimizer: Literal["muon", "adamw"] = "muon", max_length: int = 1024, warmup: float = 0.05, bf16: bool = False,
        save_steps: int = 50, threads: int = 0, seed: int = 0) -> dict[str, Any]:
    """Train `base` on rows of `messages` into `output/model`; goes on where a killed run stopped.

    A row longer than `max_length` tokens is left out and counted, never shortened. `threads` 0 is all cores.
    """
    from trl import SFTConfig, SFTTrainer

    from factory.students import _base, _rows
    from factory.students import _training as training
    from factory.students._muon import Muon

    if figures := training.finished(output):
        return figures
    settings = {"plugin": "sft", "version": VERSION, "base": base, "dataset": dataset, "epochs": epochs,
                "learning_rate": learning_rate, "batch": batch, "optimizer": optimizer, "max_length": max_length,
                "warmup": warmup, "bf16": bf16, "seed": seed}
    model, tokenizer = _base.open_base(base)
    rows = [tokenised(tokenizer, row["messages"]) for row in _rows.open_rows(dataset, ["messages"])]
    kept, too_long = _rows.drop(rows, lambda row: row["length"] <= max_length,
                                   f"all are longer than max_length = {max_length} tokens: raise it")
    training.begin(output, settings, threads)
    places = _rows.order([row["length"] for row in kept], batch, epochs, seed)
    args = SFTConfig(**training.arguments(output, math.ceil(len(places) / batch), save_steps, seed), bf16=bf16,
                     learning_rate=learning_rate, per_device_train_batch_size=batch, warmup_steps=warmup)
    trainer = SFTTrainer(model=model, args=args, processing_class=tokenizer,
                         train_dataset=_rows.ordered(kept, places),
                         optimizers=(Muon(model, learning_rate) if optimizer == "muon" else None, None))
    figures = {"plugin": "sft", "epochs": epochs, "rows": len(kept), "rows_too_long": too_long,
               "trained_tokens": sum(trained(kept[i]) for i in places), **training.train(trainer)}
    return training.finish(trainer.model, tokenizer, base, output, figures)


def tokenised(tokenizer: Any, messages: list[Any]) -> dict[str, Any]:
    """A row for the trainer: token ids, and labels that are -100 on everything but the last message."""
    from factory.students import _rows

    answer = _rows.answer_tokens(tokenizer, messages[-1])
    prompt = _rows.prompt_tokens(tokenizer, messages[:-1])
    ids = prompt + answer
    return {"input_ids": ids, "labels": [-100] * len(prompt) + answer, "length": len(ids)}


def trained(row: dict[str, Any]) -> int:
    """How many tokens of the row bear loss."""
    return sum(label >= 0 for label in row["labels"])
