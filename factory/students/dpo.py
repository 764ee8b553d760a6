"""Direct preference optimisation: the student learns to prefer a chosen trace to a rejected one of the same problem.

Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, with TRL's `DPOTrainer`; the base is the reference. Plain DPO on
whole traces lowers the chosen ones too and can wreck a small model, so by default both sides are cut `cut_after` tokens
after they part: what is compared is the decision and not everything that was written after it. `sft_weight` adds the
chosen side's likelihood to the loss (Pang et al. 2024, https://arxiv.org/abs/2404.19733). Most settings tried on a weak
student made it worse: do not take what comes out without measuring it.
"""

import itertools
import math
from pathlib import Path
from typing import Any

VERSION = 1
NEEDS = ("torch", "trl")
"""Imported where they are used: who only asks for the parameters of this plugin should not wait for them."""


def dpo(base: Path, dataset: Path, output: Path, *, epochs: float = 1, learning_rate: float = 5e-5, batch: int = 16,
        beta: float = 0.1, cut_after: int | None = 16, sft_weight: float = 1.0, max_length: int = 1024,
        warmup: float = 0.05, bf16: bool = False, save_steps: int = 50, threads: int = 0,
        seed: int = 0) -> dict[str, Any]:
    """Train `base` on rows of `prompt`, `chosen`, `rejected` into `output/model`; goes on where a killed run stopped.

    `cut_after` 0 or None keeps both sides whole. A pair longer than `max_length` tokens (after the cut), or with two
    equal sides, is left out and counted. `threads` 0 is all cores.
    """
    from trl import DPOConfig

    from factory.students import _base, _rows
    from factory.students import _training as training
    from factory.students._pairs import TokenisedPairs

    if figures := training.finished(output):
        return figures
    settings = {"plugin": "dpo", "version": VERSION, "base": base, "dataset": dataset, "epochs": epochs,
                "learning_rate": learning_rate, "batch": batch, "beta": beta, "cut_after": cut_after,
                "sft_weight": sft_weight, "max_length": max_length, "warmup": warmup, "bf16": bf16, "seed": seed}
    model, tokenizer = _base.open_base(base)
    opened = _rows.open_rows(dataset, ["prompt", "chosen", "rejected"])
    rows = [tokenised(tokenizer, row, cut_after) for row in opened]
    unlike, equal = _rows.drop(rows, lambda row: row["chosen_ids"] != row["rejected_ids"],
                                  "chosen and rejected are equal in all of them: choose pairs that differ")
    kept, too_long = _rows.drop(unlike, lambda row: row["length"] <= max_length,
                                   f"all are longer than max_length = {max_length} tokens: raise it, or set cut_after")
    training.begin(output, settings, threads)
    places = _rows.order([row["length"] for row in kept], batch, epochs, seed)
    args = DPOConfig(**training.arguments(output, math.ceil(len(places) / batch), save_steps, seed), bf16=bf16,
                     learning_rate=learning_rate, per_device_train_batch_size=batch, warmup_steps=warmup, beta=beta,
                     loss_type=["sigmoid", "sft"], loss_weights=[1.0, sft_weight], precompute_ref_log_probs=True)
    trainer = TokenisedPairs(model=model, args=args, processing_class=tokenizer,
                                       train_dataset=_rows.ordered(kept, places))
    figures = {"plugin": "dpo", "epochs": epochs, "rows": len(kept), "rows_too_long": too_long, "rows_equal": equal,
               "trained_tokens": sum(trained(kept[i]) for i in places), **training.train(trainer), **margins(trainer)}
    return training.finish(trainer.model, tokenizer, base, output, figures)


def tokenised(tokenizer: Any, row: dict[str, Any], cut_after: int | None) -> dict[str, Any]:
    """A pair for the trainer, both sides cut `cut_after` tokens after they part."""
    from factory.students import _rows

    prompt = _rows.prompt_tokens(tokenizer, row["prompt"])
    chosen, rejected = (_rows.answer_tokens(tokenizer, row[side][-1]) for side in ("chosen", "rejected"))
    end = shared(chosen, rejected) + cut_after if cut_after else None
    chosen, rejected = chosen[:end], rejected[:end]
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected,
            "length": len(prompt) + max(len(chosen), len(rejected))}


def shared(one: list[int], other: list[int]) -> int:
    """How many tokens the two begin with in common."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def trained(row: dict[str, Any]) -> int:
    """How many tokens of the pair bear loss."""
    return len(row["chosen_ids"]) + len(row["rejected_ids"])


def margins(trainer: Any) -> dict[str, Any]:
    """Mean log-probability of both sides before and after, and how often the margin to the reference is right."""
    import torch

    rows = trainer.train_dataset
    was = torch.tensor([rows["ref_chosen_logps"][:], rows["ref_rejected_logps"][:]])
    trainer.model.eval()
    size = trainer.args.per_device_train_batch_size
    batches = (rows.select(range(i, min(i + size, len(rows)))) for i in range(0, len(rows), size))
    parts = [trainer.compute_ref_log_probs(trainer.model, trainer.data_collator(batch.to_list())) for batch in batches]
    now = torch.stack([torch.cat([part[side] for part in parts]) for side in (0, 1)])
    margin = (now[0] - was[0]) - (now[1] - was[1])
    return {"margin_accuracy": round(float((margin > 0).float().mean()), 4),
            "margin": round(float(margin.mean()) * trainer.args.beta, 4),
            **{f"{side}_logprob_{when}": round(float(values[i].mean()), 4)
               for when, values in (("start", was), ("end", now)) for i, side in enumerate(("chosen", "rejected"))}}
