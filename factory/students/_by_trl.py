"""A trainer of TRL's as it is: its rows and its loss are its own, and what every run of ours has is around it.

Rows are messages, rendered by the student's template, as the round trip has checked them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from factory.students import _plain, _rows
from factory.students import _training as training


def train(trainer: Any, config: Any, given: Mapping[str, Any], version: int, sides: Sequence[str],
          others: Sequence[str] = (), passes: float = 1.0, whole_logits: bool = False, **options: Any
          ) -> dict[str, Any]:
    """Train by `trainer` with `config(**options)`; `given` are the arguments of the plugin and its name. A row is
    `prompt`, a conversation for each of `sides`, and the columns `others`; one of which a side is longer than
    `max_length` tokens, or than the base's context, is left out and counted. `passes` and `whole_logits` are
    as in `_plain.run`.
    """
    name, base, dataset, output, batch = (given[key] for key in ("plugin", "base", "dataset", "output", "batch"))
    if figures := training.finished(output):
        return figures
    model, tokenizer = _plain.open_base(base)
    limit = _rows.limit(model, given["max_length"])
    opened = _rows.open_rows(dataset, ["prompt", *sides], others)
    kept, too_long = _rows.drop([{**row, "length": _length(tokenizer, row, sides)} for row in opened],
                                lambda row: row["length"] <= limit,
                                f"all are longer than {limit} tokens: raise max_length, or take a base with a longer "
                                "context")
    training.begin(output, training.noted(name, version, given), given["threads"])
    places = _rows.order([row["length"] for row in kept], batch, given["epochs"], given["seed"])
    settings = training.arguments(output, math.ceil(len(places) / batch), given["save_steps"], given["seed"])
    args = config(**{**settings, **options}, bf16=given["bf16"], learning_rate=given["learning_rate"],
                  per_device_train_batch_size=batch, warmup_steps=given["warmup"])
    made = trainer(model=model, args=args, processing_class=tokenizer, train_dataset=_rows.ordered(kept, places))
    figures = {"plugin": name, "epochs": given["epochs"], "rows": len(kept), "rows_too_long": too_long,
               "length_limit": limit,
               **_plain.run(made, [(len(sides), row["length"]) for row in kept], places, batch, output,
                           passes, whole_logits=whole_logits)}
    return training.finish(made.model, tokenizer, base, output, figures)


def _length(tokenizer: Any, row: Mapping[str, Any], sides: Sequence[str]) -> int:
    return len(_rows.prompt_tokens(tokenizer, row["prompt"])) + max(
        len(_rows.answer_tokens(tokenizer, row["prompt"], row[side][-1])) for side in sides)
