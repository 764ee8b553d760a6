"""Direct preference optimisation: the student learns to prefer a chosen trace to a rejected one of the same problem.

Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, on TRL's `DPOTrainer`; the base is the reference. Tokens that
both sides begin with and the token that ends both bear no loss (Llama 3.1, https://arxiv.org/abs/2407.21783, 4.1.4).
Plain DPO on whole traces lowers the chosen ones too and can wreck a small model, so by default both sides are cut
`cut_after` tokens after they part, and `nll` adds the chosen side's likelihood to the loss (Pang et al. 2024,
https://arxiv.org/abs/2404.19733). Most settings tried on a weak student made it worse: do not take what comes out
without measuring it.
"""

from pathlib import Path
from typing import Any, Literal

from factory.students._values import Above0, AtLeast0, Count, CountOr0, Seed, Share, Threads

VERSION = 3
ROWS = ("prompt", "chosen", "rejected")
"""Columns that its dataset has to have."""
NEEDS = ("torch", "trl")
"""Imported where they are used: who only asks for the parameters of this plugin should not wait for them."""


def dpo(base: Path, dataset: Path, output: Path, *, loss: Literal["dpo", "simpo"] = "dpo", beta: AtLeast0 | None = None,
        margin: float | None = None, smoothing: Share = 0.0, nll: AtLeast0 = 0.2,
        nll_on: Literal["compared", "answer"] = "compared", mask_shared: bool = True, cut_after: CountOr0 | None = 16,
        epochs: Above0 = 1, learning_rate: Above0 = 5e-5, batch: Count = 16,
        optimizer: Literal["muon", "adamw"] = "adamw", max_length: Count = 1024, warmup: AtLeast0 = 0.05,
        lora: CountOr0 = 0, bf16: bool | None = None, checkpointing: bool | None = None, liger: bool | None = None,
        tokens_at_once: CountOr0 = 0, device: Literal["auto", "cpu", "cuda"] = "auto", save_steps: Count = 50,
        threads: Threads = 0, seed: Seed = 0) -> dict[str, Any]:
    """Train `base` on rows of `prompt`, `chosen`, `rejected` into `output/model`; goes on where a killed run stopped.

    `simpo` compares means over tokens and needs no reference (Meng et al. 2024): `beta` is 2 and `margin` 0.3 where
    they are not set, 0.1 and 0 for `dpo`. `smoothing` is the chance that a pair is the wrong way round (conservative
    DPO). `nll_on`: what the likelihood term covers, the tokens compared or the chosen answer from its beginning.
    `mask_shared` false compares whole answers. `cut_after` 0 or None keeps both sides whole. A pair longer than
    `max_length` tokens (after the cut), or with two equal sides, is left out and counted. The rest is as in `sft`.
    """
    given = dict(locals())
    from trl import DPOConfig

    from factory.students import _fit as fit
    from factory.students import _rows
    from factory.students import _training as training
    from factory.students._pairs import Objective, Preferences

    if figures := training.finished(output):
        return figures
    options = fit.Options.of(given)
    simpo = loss == "simpo"
    objective = Objective((2.0 if simpo else 0.1) if beta is None else beta, (0.3 if simpo else 0.0) if margin is None
                          else margin, simpo, smoothing, nll, nll_on == "answer", mask_shared)
    model, tokenizer = fit.open_base(base, options)
    opened = _rows.open_rows(dataset, ROWS, optional=["trace_id"])
    rows = [{**tokenised(tokenizer, row, cut_after), "trace_id": row.get("trace_id")} for row in opened]
    unlike, equal = _rows.drop(rows, lambda row: row["chosen_ids"] != row["rejected_ids"],
                               "chosen and rejected are equal in all of them: choose pairs that differ")
    kept, lengths = fit.drop_too_long(unlike, model, options, ", or set cut_after")
    training.begin(output, training.noted("dpo", VERSION, given), threads)
    places = fit.ordered(kept, options)
    args = DPOConfig(**fit.arguments(output, fit.steps(places, options), options), precompute_ref_log_probs=True)
    trainer = Preferences(model=model, args=args, processing_class=tokenizer, objective=objective,
                          peft_config=fit.adapter(options), train_dataset=_rows.ordered(kept, places),
                          optimizers=fit.optimiser(model, options))
    before = trainer.refer(kept, places, fit.CPU_LINE)
    figures = {"plugin": "dpo", "loss": loss, "epochs": epochs, **lengths, "rows_equal": equal,
               "trained_tokens": sum(trained(kept[i]) for i in places),
               **fit.run(trainer, trainer.rows, places, output, options)}
    figures |= trainer.margins(kept, before)
    return fit.done(trainer, tokenizer, base, output, figures)


def tokenised(tokenizer: Any, row: dict[str, Any], cut_after: int | None) -> dict[str, Any]:
    """A pair for the trainer, both sides cut `cut_after` tokens after they part. `length` is of both together; `whole`
    says whether both still have their end."""
    from factory.students import _rows
    from factory.students._pairs import shared

    prompt = _rows.prompt_tokens(tokenizer, row["prompt"])
    chosen, rejected = (_rows.answer_tokens(tokenizer, row["prompt"], row[side][-1]) for side in ("chosen", "rejected"))
    end = shared(chosen, rejected) + cut_after if cut_after else None
    whole = end is None or end >= max(len(chosen), len(rejected))
    chosen, rejected = chosen[:end], rejected[:end]
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected, "whole": whole,
            "length": 2 * len(prompt) + len(chosen) + len(rejected),
            "longest": len(prompt) + max(len(chosen), len(rejected))}


def trained(row: dict[str, Any]) -> int:
    """How many tokens of the pair's answers go through the model."""
    return len(row["chosen_ids"]) + len(row["rejected_ids"])
