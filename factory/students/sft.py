"""Supervised fine-tuning: the student learns to write the chosen traces, thinking included.

Loss on the assistant's turn only, exactly its content and the token that ends it. The prompt is context and is never
trained on. The loop is TRL's `SFTTrainer` (https://huggingface.co/docs/trl/sft_trainer); rows and mask are ours.
Muon for the matrices, AdamW for the rest (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon). The defaults
are for a student of half a million parameters; for a real one set optimizer = "adamw" and a rate near 2e-5.
"""

from pathlib import Path
from typing import Any, Literal

from factory.students._values import Above0, AtLeast0, Count, CountOr0, Seed, Threads

VERSION = 2
ROWS = ("messages",)
"""Columns that its dataset has to have."""
NEEDS = ("torch", "trl")
"""Imported where they are used: who only asks for the parameters of this plugin should not wait for them."""


def sft(base: Path, dataset: Path, output: Path, *, epochs: Above0 = 6, learning_rate: Above0 = 4e-3, batch: Count = 32,
        optimizer: Literal["muon", "adamw"] = "muon", max_length: Count = 1024, warmup: AtLeast0 = 0.05,
        lora: CountOr0 = 0, bf16: bool | None = None, checkpointing: bool | None = None, liger: bool | None = None,
        tokens_at_once: CountOr0 = 0, device: Literal["auto", "cpu", "cuda"] = "auto", save_steps: Count = 50,
        threads: Threads = 0, seed: Seed = 0) -> dict[str, Any]:
    """Train `base` on rows of `messages` into `output/model`; goes on where a killed run stopped.

    `batch` counts rows of a step, over all GPUs. A row longer than `max_length` tokens or the model's context is left
    out and counted, never shortened. `lora` is the rank of adapters, trained by AdamW and merged at the end; 0 trains
    all weights. Chosen by themselves where they are not set: `bf16` and `liger` (kernels) where the device has them,
    `checkpointing` (activations computed twice) and `tokens_at_once` by what memory there is; no result depends on
    the last two. `threads` 0 is all cores.
    """
    given = dict(locals())
    from trl import SFTConfig

    from factory.students import _fit as fit
    from factory.students import _rows
    from factory.students import _training as training
    from factory.students._loop import Supervised

    if figures := training.finished(output):
        return figures
    options = fit.Options.of(given)
    model, tokenizer = fit.open_base(base, options)
    opened = _rows.open_rows(dataset, ROWS, optional=["trace_id"])
    rows = [{**tokenised(tokenizer, row["messages"]), "trace_id": row.get("trace_id")} for row in opened]
    kept, lengths = fit.drop_too_long(rows, model, options)
    training.begin(output, training.noted("sft", VERSION, given), threads)
    places = fit.ordered(kept, options)
    args = SFTConfig(**fit.arguments(output, fit.steps(places, options), options))
    trainer = Supervised(model=model, args=args, processing_class=tokenizer, peft_config=fit.adapter(options),
                         train_dataset=_rows.ordered(kept, places), optimizers=fit.optimiser(model, options))
    figures = {"plugin": "sft", "epochs": epochs, **lengths, "trained_tokens": sum(trained(kept[i]) for i in places),
               **fit.run(trainer, kept, places, output, options)}
    return fit.done(trainer, tokenizer, base, output, figures)


def tokenised(tokenizer: Any, messages: list[Any]) -> dict[str, Any]:
    """A row for the trainer: token ids, and labels that are -100 on everything but the last message."""
    from factory.students import _rows

    answer = _rows.answer_tokens(tokenizer, messages[:-1], messages[-1])
    prompt = _rows.prompt_tokens(tokenizer, messages[:-1])
    ids = prompt + answer
    return {"input_ids": ids, "labels": [-100] * len(prompt) + answer, "length": len(ids),
            "longest": len(ids)}


def trained(row: dict[str, Any]) -> int:
    """How many tokens of the row bear loss."""
    return sum(label >= 0 for label in row["labels"])
