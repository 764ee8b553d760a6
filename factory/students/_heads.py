"""What the reward models share: a head with one number, texts and steps as tokens, held-out prompts, figures.

A reward model is transformers' sequence classification with one label: its number stands at the last token of a text.
A process reward model is token classification with one label: a number, through a sigmoid, at each step's last token
(Skywork-o1-Open-PRM, 2024). Both open with transformers, and `factory.students._score` scores with them.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import Trainer
from trl import RewardTrainer

from factory import metrics
from factory.records import Message
from factory.students import _plain, _rows

Ids = list[int]
TOKENS = 16_384
"""Of one batch that is only scored, padding included."""


def open_headed(base: Path, kind: Any, seed: int) -> tuple[Any, Any]:
    """The base with a fresh head of one number, drawn by `seed`, and its tokenizer. Raises UserError like open_base."""
    transformers.set_seed(seed)
    loud = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it would report the fresh head as missing
    try:
        model, tokenizer = _plain.open_base(base, kind, num_labels=1)
    finally:
        transformers.logging.set_verbosity(loud)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id  # where a padded text ends is looked for by it
    return model, tokenizer


# -- texts and steps -------------------------------------------------------------------------------------------------


def text_ids(tokenizer: Any, messages: Sequence[Message]) -> Ids:
    """A conversation up to the end of its last turn, the assistant's."""
    return _rows.prompt_tokens(tokenizer, messages[:-1]) + _rows.answer_tokens(tokenizer, messages[:-1], messages[-1])


def step_ids(tokenizer: Any, messages: Sequence[Message], steps: Sequence[str]) -> tuple[Ids, Ids]:
    """(tokens, the place of each step's last token). Each step is tokenised alone, or a border could vanish in one."""
    ids, places = _rows.prompt_tokens(tokenizer, messages), Ids()
    for step in steps:
        ids += tokenizer.encode(step, add_special_tokens=False)
        places.append(len(ids) - 1)
    return ids, places


def padded(rows: Sequence[Ids], pad: int) -> dict[str, torch.Tensor]:
    """Token ids and mask, each [rows, longest], padded on the right."""
    width = max(map(len, rows))
    return {"input_ids": torch.tensor([row + [pad] * (width - len(row)) for row in rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])}


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows of like length, as many as TOKENS allow."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[place] > TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@torch.inference_mode()  # type: ignore[untyped-decorator]
def rewards(model: Any, texts: Sequence[Ids]) -> list[float]:
    """The reward of each text."""
    model.eval()
    found = [0.0] * len(texts)
    for batch in batches([len(text) for text in texts]):
        inputs = padded([texts[i] for i in batch], model.config.pad_token_id)
        logits = model(**{k: v.to(model.device) for k, v in inputs.items()}, use_cache=False).logits
        for place, value in zip(batch, logits[:, 0].float().tolist(), strict=True):
            found[place] = value
    return found


@torch.inference_mode()  # type: ignore[untyped-decorator]
def step_scores(model: Any, rows: Sequence[tuple[Ids, Ids]]) -> list[list[float]]:
    """For each row of `step_ids`, how probable it is that each step is right."""
    model.eval()
    found: list[list[float]] = [[] for _ in rows]
    for batch in batches([len(ids) for ids, _ in rows]):
        inputs = padded([rows[i][0] for i in batch], model.config.pad_token_id)
        logits = model(**{k: v.to(model.device) for k, v in inputs.items()}, use_cache=False).logits
        for row, place in enumerate(batch):
            found[place] = logits[row, rows[place][1], 0].float().sigmoid().tolist()
    return found


def device() -> str:
    """Where to score."""
    return "cuda" if torch.cuda.is_available() else "cpu"


# -- held-out prompts ------------------------------------------------------------------------------------------------


def is_held_out(problem: str, share: float) -> bool:
    """Whether a prompt is kept for measuring: by its id alone, so that no prompt is on both sides."""
    return hashlib.blake2b(f"held out/{problem}".encode(), digest_size=4).digest() < _bound(share)


def _bound(share: float) -> bytes:
    return min(int(share * 2**32), 2**32 - 1).to_bytes(4)


def auroc(right: Sequence[float], wrong: Sequence[float]) -> float | None:
    """The probability that a right one scores higher than a wrong one; None where there is no pair of them."""
    value = metrics.auroc(np.array([*right, *wrong]), np.repeat([True, False], [len(right), len(wrong)]))
    return None if math.isnan(value) else round(value, 4)


# -- the two losses --------------------------------------------------------------------------------------------------


class Ranked(RewardTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's trainer with a prompt as the row, not a pair: each text is read once, and each prompt counts the same.

    loss = -1/|pairs| Σ log σ(r_better - r_worse), over all pairs of a prompt, then the mean over the batch's prompts
    (Ouyang et al. 2022, equation 1, where a prompt has C(K, 2) pairs).
    """

    def _prepare_dataset(self, dataset: Any, *rest: Any) -> Any:
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["texts", "pairs"]

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
                     ) -> Any:
        pairs, weights = inputs.pop("pairs"), inputs.pop("weights")
        outputs = model(**inputs, use_cache=False)
        loss = ranking_loss(outputs.logits[:, 0], pairs, weights)
        return (loss, outputs) if return_outputs else loss


def ranking_loss(values: torch.Tensor, pairs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`values` [texts]; `pairs` [n, 2] of (better, worse) places; `weights` [n], which sum to 1."""
    margins = values[pairs[:, 0]] - values[pairs[:, 1]]
    return -(torch.nn.functional.logsigmoid(margins.float()) * weights).sum()


def collate_rankings(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """Prompts as one batch: all their texts, and the pairs among them."""
    texts, pairs, weights = list[Ids](), list[list[int]](), list[float]()
    for row in rows:
        pairs += [[better + len(texts), worse + len(texts)] for better, worse in row["pairs"]]
        weights += [1 / len(row["pairs"]) / len(rows)] * len(row["pairs"])
        texts += row["texts"]
    return {**padded(texts, pad), "pairs": torch.tensor(pairs), "weights": torch.tensor(weights)}


class Stepwise(Trainer):  # type: ignore[misc]  # transformers is untyped here
    """Binary cross-entropy at the last token of each step; TRL 1.16 has no trainer for it any more."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
                     ) -> Any:
        values = inputs.pop("values")
        outputs = model(**inputs, use_cache=False)
        there = values >= 0
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            outputs.logits[..., 0][there].float(), values[there])
        return (loss, outputs) if return_outputs else loss


def collate_steps(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """`values` [rows, longest] is the label at each step's last token and -1 elsewhere."""
    batch = padded([row["ids"] for row in rows], pad)
    values = torch.full(batch["input_ids"].shape, -1.0)
    for i, row in enumerate(rows):
        values[i, row["places"]] = torch.tensor(row["values"])
    return {**batch, "values": values}
