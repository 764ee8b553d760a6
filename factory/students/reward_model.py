"""A reward model from ranked traces: one number a trace, more for the better one of two (Bradley and Terry 1952).

All pairs of a prompt are one row and so in one batch, each trace is read once, and the loss is their mean, so that a
prompt with many pairs counts as one with few (InstructGPT, Ouyang et al. 2022; TRL's `RewardTrainer` would take each
pair apart). A share of the prompts is held out, and the figures are of those. What comes out is sequence classification
with one label: it opens with transformers, and the measure `reward` scores traces with it.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from factory.protocols import UserError
from factory.students._values import Above0, AtLeast0, Count, Seed, Share, Threads

VERSION = 1
ROWS = ("chosen", "rejected", "trace_id", "rejected_id", "problem_id")
"""Columns that its dataset has to have."""
SCORES = True
"""What it trains gives scores and writes no text: it is not evaluated as a student."""
NEEDS = ("torch", "trl")
"""Imported where they are used: who only asks for the parameters of this plugin should not wait for them."""

Row = dict[str, Any]


def reward_model(base: Path, dataset: Path, output: Path, *, epochs: Above0 = 1, learning_rate: Above0 = 1e-3,
                 batch: Count = 8, max_length: Count = 1024, held_out: Share = 0.1, warmup: AtLeast0 = 0.05,
                 bf16: bool = False, save_steps: Count = 50, threads: Threads = 0, seed: Seed = 0) -> Row:
    """Train `base` on rows of the emitter `reward_model` into `output/model`; goes on where a killed run stopped.

    `batch` counts prompts, `held_out` is a share of them. A pair with a side over `max_length` tokens, or over the
    base's context, is left out and counted. `threads` 0 is all cores.
    """
    given = dict(locals())
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig

    from factory.students import _heads as heads
    from factory.students import _plain, _rows
    from factory.students import _training as training

    if figures := training.finished(output):
        return figures
    model, tokenizer = heads.open_headed(base, AutoModelForSequenceClassification, seed)
    opened = _rows.open_rows(dataset, ROWS[:2], ROWS[2:])
    limit = _rows.limit(model, max_length)
    rows, too_long = prompts(tokenizer, opened, limit)
    if not rows:
        raise UserError(f"all {too_long} pairs have a side over {limit} tokens: raise max_length, or take a base with "
                        "a longer context")
    kept, held = _rows.drop(rows, lambda row: not heads.is_held_out(row["problem_id"], held_out),
                               "each prompt that is short enough is held out: lower held_out, or bring more prompts")
    training.begin(output, training.noted("reward_model", VERSION, given), threads)
    places = _rows.order([row["length"] for row in kept], batch, epochs, seed)
    args = RewardConfig(**{**training.arguments(output, math.ceil(len(places) / batch), save_steps, seed),
                           "remove_unused_columns": False}, bf16=bf16, learning_rate=learning_rate,
                        per_device_train_batch_size=batch, warmup_steps=warmup)
    trainer = heads.Ranked(model=model, args=args, processing_class=tokenizer,
                           train_dataset=_rows.ordered(kept, places),
                           data_collator=functools.partial(heads.collate_rankings, pad=tokenizer.pad_token_id))
    figures = {"plugin": "reward_model", "epochs": epochs, "prompts": len(kept), "prompts_held_out": held,
               "pairs": sum(len(row["pairs"]) for row in kept), "pairs_too_long": too_long,
               "length_limit": limit,
               **_plain.run(trainer, [(len(row["texts"]), row["length"]) for row in kept], places, batch, output),
               **quality(trainer.model, [row for row in rows if heads.is_held_out(row["problem_id"], held_out)])}
    return training.finish(trainer.model, tokenizer, base, output, figures)


def prompts(tokenizer: Any, pairs: Sequence[Mapping[str, Any]], max_length: int) -> tuple[list[Row], int]:
    """One row a prompt, {problem_id, texts, pairs, length}, and how many pairs were too long to be in one."""
    from factory.students._heads import text_ids

    ids = {row[name]: text_ids(tokenizer, row[side]) for row in pairs
           for name, side in (("trace_id", "chosen"), ("rejected_id", "rejected"))}
    found: dict[str, list[tuple[str, str]]] = {}
    for row in pairs:
        if max(len(ids[row["trace_id"]]), len(ids[row["rejected_id"]])) <= max_length:
            found.setdefault(row["problem_id"], []).append((row["trace_id"], row["rejected_id"]))
    return [_row(problem, those, ids) for problem, those in found.items()], len(pairs) - sum(map(len, found.values()))


def _row(problem: str, pairs: Sequence[tuple[str, str]], ids: Mapping[str, list[int]]) -> Row:
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    texts = [ids[name] for name in names]
    return {"problem_id": problem, "texts": texts, "length": max(map(len, texts)),
            "pairs": [[names.index(better), names.index(worse)] for better, worse in pairs]}


def quality(model: Any, rows: Sequence[Row]) -> Row:
    """Of held-out prompts: the share of pairs that are ordered rightly, and the AUROC over all prompts of traces that
    were only ever the better side against those that were only ever the worse."""
    from factory.students import _heads as heads

    scores = iter(heads.rewards(model, [text for row in rows for text in row["texts"]]))
    right, better, worse = list[float](), list[float](), list[float]()
    for row in rows:
        values = [next(scores) for _ in row["texts"]]
        right += [(values[a] > values[b]) + 0.5 * (values[a] == values[b]) for a, b in row["pairs"]]
        above, below = {a for a, _ in row["pairs"]}, {b for _, b in row["pairs"]}
        better += [values[i] for i in above - below]
        worse += [values[i] for i in below - above]
    return {"held_out_pairs": len(right), "held_out_auroc": heads.auroc(better, worse),
            "held_out_accuracy": round(sum(right) / len(right), 4) if right else None}
