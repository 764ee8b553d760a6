"""A process reward model from labelled steps: how probable it is that a step is right, at the end of each.

The labels are of the emitter `process_reward`, and there are three kinds. `exact`: each step was judged (by `replay`).
`soft`: the share of roll-outs from there that reach the answer. `hard`: whether any did (Math-Shepherd, Wang et al.
2024); with N roll-outs that recover with probability c a wrong step is then called right with 1 - (1 - c)^N, which is
most of them for a model that corrects itself. What comes out is token classification with one label: it opens with
transformers, and the measure `process_reward` scores traces with it.
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from factory.protocols import UserError
from factory.steps import AGGREGATES
from factory.students._values import Above0, AtLeast0, Count, Seed, Share, Threads

VERSION = 1
ROWS = ("prompt", "completions", "values", "correct", "problem_id")
"""Columns that its dataset has to have."""
SCORES = True
"""What it trains gives scores and writes no text: it is not evaluated as a student."""
NEEDS = ("torch", "trl")
"""Imported where they are used: who only asks for the parameters of this plugin should not wait for them."""

Row = dict[str, Any]
Labels = Literal["exact", "soft", "hard"]


def process_reward_model(base: Path, dataset: Path, output: Path, *, labels: Labels = "exact", epochs: Above0 = 1,
                         learning_rate: Above0 = 1e-3, batch: Count = 32, max_length: Count = 1024,
                         held_out: Share = 0.1, warmup: AtLeast0 = 0.05, bf16: bool = False, save_steps: Count = 50,
                         threads: Threads = 0, seed: Seed = 0) -> Row:
    """Train `base` on rows of the emitter `process_reward` into `output/model`; goes on where a killed run stopped.

    `held_out` is a share of the prompts. A row over `max_length` tokens or the base's context, or without a step, is
    left out and counted. `threads` 0 is all cores.
    """
    given = dict(locals())
    from transformers import AutoModelForTokenClassification, TrainingArguments

    from factory.students import _heads as heads
    from factory.students import _plain, _rows
    from factory.students import _training as training

    if figures := training.finished(output):
        return figures
    model, tokenizer = heads.open_headed(base, AutoModelForTokenClassification, seed)
    limit = _rows.limit(model, max_length)
    opened = _rows.open_rows(dataset, (), ROWS)
    rows, left_out = _rows.drop([tokenised(tokenizer, row, labels) for row in opened],
                                   lambda row: bool(row["places"]) and row["length"] <= limit,
                                   f"each is without a step or longer than {limit} tokens: raise max_length, or take a "
                                   "base with a longer context")
    kept, held = _rows.drop(rows, lambda row: not heads.is_held_out(row["problem_id"], held_out),
                               "each is of a held-out prompt: lower held_out")
    training.begin(output, training.noted("process_reward_model", VERSION, given), threads)
    places = _rows.order([row["length"] for row in kept], batch, epochs, seed)
    settings = training.arguments(output, math.ceil(len(places) / batch), save_steps, seed)
    args = TrainingArguments(**{k: v for k, v in settings.items() if k != "max_length"}, bf16=bf16,
                             learning_rate=learning_rate, per_device_train_batch_size=batch, warmup_steps=warmup,
                             remove_unused_columns=False)
    trainer = heads.Stepwise(model=model, args=args, processing_class=tokenizer,
                             train_dataset=_rows.ordered(kept, places),
                             data_collator=functools.partial(heads.collate_steps, pad=tokenizer.pad_token_id))
    figures = {"plugin": "process_reward_model", "labels": labels, "epochs": epochs, "rows": len(kept),
               "rows_held_out": held, "rows_left_out": left_out, "length_limit": limit,
               "steps_labelled": sum(len(r["places"]) for r in kept),
               **_plain.run(trainer, [(1, row["length"]) for row in kept], places, batch, output),
               **quality(trainer.model, [row for row in rows if heads.is_held_out(row["problem_id"], held_out)])}
    return training.finish(trainer.model, tokenizer, base, output, figures)


def tokenised(tokenizer: Any, row: Row, labels: Labels) -> Row:
    """A row for the trainer: tokens, the places of its steps' ends, and a label between 0 and 1 at each."""
    from factory.students._heads import step_ids

    ids, places = step_ids(tokenizer, [{"role": "user", "content": row["prompt"]}], row["completions"])
    return {"ids": ids, "places": places, "values": [label(value, labels) for value in row["values"]],
            "correct": row["correct"], "problem_id": row["problem_id"], "length": len(ids)}


def label(value: float, labels: Labels) -> float:
    """The label of a step of this `value`. Raises UserError for a share where labels should be exact."""
    if labels == "exact" and value not in (0.0, 1.0):
        raise UserError(f"a step has the value {value}, which is a share of roll-outs and no exact label: set labels = "
                        '"soft" (the share itself) or "hard" (whether any roll-out was right)')
    return float(value > 0) if labels == "hard" else float(value)


def quality(model: Any, rows: Sequence[Row]) -> Row:
    """Of held-out prompts: steps (right is a label over 1/2), solutions by each aggregate, and the first wrong step.

    `first_error_f1` is ProcessBench's (Zheng et al. 2024): the harmonic mean of two shares, of traces with a wrong step
    whose first one is found, and of traces without one in which none is.
    """
    from factory.students import _heads as heads

    scores = heads.step_scores(model, [(row["ids"], row["places"]) for row in rows])
    steps = [(score, value > 0.5) for row, found in zip(rows, scores, strict=True)
             for score, value in zip(found, row["values"], strict=True)]
    firsts = [(_first(row["values"]), _first(found)) for row, found in zip(rows, scores, strict=True)]
    return {"held_out_steps": len(steps), "step_auroc": heads.auroc(*_parted(steps)),
            "step_accuracy": _share([(score > 0.5) == right for score, right in steps]),
            **{f"auroc_{name}": heads.auroc(*_parted([
                (aggregate(found), row["correct"]) for row, found in zip(rows, scores, strict=True)]))
               for name, aggregate in AGGREGATES.items()},
            "first_error_f1": _f1(_share([a == b for a, b in firsts if a >= 0]),
                                  _share([a == b for a, b in firsts if a < 0]))}


def _parted(scored: Sequence[tuple[float, bool]]) -> tuple[list[float], list[float]]:
    return [score for score, right in scored if right], [score for score, right in scored if not right]


def _first(values: Sequence[float]) -> int:
    """The index of the first step that is rather wrong than right, or -1."""
    return next((i for i, value in enumerate(values) if value <= 0.5), -1)


def _share(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _f1(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return None
    return round(2 * one * other / (one + other), 4) if one + other else 0.0
