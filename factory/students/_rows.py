"""Rows for the trainers: opened, checked, cut into tokens exactly where the loss is to lie, and put in order."""

import importlib
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets

from factory.protocols import UserError
from factory.records import Message
from factory.students import _span

Row = dict[str, Any]

datasets.disable_progress_bars()


def open_rows(dataset: Path, conversations: Sequence[str], others: Sequence[str] = (),
              optional: Sequence[str] = ()) -> list[Row]:
    """The train split as a list. Raises UserError if it is empty or not of messages in the columns `conversations`.

    The columns `others` must be there, those of `optional` come along where they are.
    """
    columns = [*conversations, *others]
    if not dataset.is_dir():  # the library would look for it on the hub
        raise UserError(f"there is no dataset folder {dataset}: name one that was emitted (cot status shows them)")
    try:
        rows = datasets.load_dataset(str(dataset), split="train")
    except Exception as error:  # the library raises every kind here; whichever it is, this folder does not open
        raise UserError(f"{dataset} does not open as a dataset ({first_line(error)}): emit it again") from error
    if missing := sorted(set(columns) - set(rows.column_names)):
        raise UserError(f"{dataset} has no column '{missing[0]}' (it has {', '.join(rows.column_names)}): "
                        f"{_trainer_for(rows.column_names)}emit it with an emitter that writes {', '.join(columns)}")
    found: list[Row] = rows.select_columns([*columns, *(n for n in optional if n in rows.column_names)]).to_list()
    if not found:
        raise UserError(f"{dataset} has no rows: loosen the rules, or make more traces")
    if not all(_is_conversation(row[column]) for row in found for column in conversations):
        raise UserError(f"{dataset}: {', '.join(conversations)} must be lists of messages with a role and a content: "
                        "emit it again")
    return found


def _trainer_for(columns: Sequence[str]) -> str:
    takes = {name: set(getattr(importlib.import_module(f"factory.students.{name}"), "ROWS", ())) for name in sorted(
        path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))}
    fitting = next((name for name, rows in takes.items() if rows and rows <= set(columns)), "")
    return f"these rows are for the trainer '{fitting}'; use that, or " if fitting else ""


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in value)


def prompt_tokens(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """What comes before the loss (`_span.prompt`); a turn that was begun is tokenised by itself, as in generation."""
    return [token for text in _span.prompt(tokenizer, messages) if text
            for token in tokenizer.encode(text, add_special_tokens=False)]


def answer_tokens(tokenizer: Any, before: Sequence[Message], message: Message) -> list[int]:
    """What bears loss (`_span.answer`), tokenised apart from the prompt `before` it as in generation."""
    return list(tokenizer.encode(_span.answer(tokenizer, before, message), add_special_tokens=False))


def drop(rows: Sequence[Row], keep: Callable[[Row], bool], hint: str) -> tuple[list[Row], int]:
    """The rows to keep and how many were not; `hint` says what to do when none is left."""
    kept = [row for row in rows if keep(row)]
    if not kept:
        raise UserError(f"none of the {len(rows)} rows can be trained on: {hint}")
    return kept, len(rows) - len(kept)


def limit(model: Any, max_length: int, room: int = 0) -> int:
    """Tokens that a row may have: `max_length`, and no more than the model's own context less `room`."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(max_length, context - room) if context else max_length


def order(lengths: Sequence[int], batch: int, epochs: float, seed: int) -> list[int]:
    """Row numbers for the whole run: shuffled by epoch, rows of like length in one batch, batches shuffled.

    Fixed before the run and read in sequence, so that a resumed run sees just the rows that the killed one had not
    (transformers' own length grouping draws a new order on resuming).
    """
    rng, stream = random.Random(f"order/{seed}"), list[int]()
    for _ in range(math.ceil(epochs)):
        stream += rng.sample(range(len(lengths)), len(lengths))
    del stream[math.ceil(epochs * len(lengths)):]
    result = list[int]()
    for start in range(0, len(stream), batch * 16):
        pool = sorted(stream[start:start + batch * 16], key=lengths.__getitem__)
        full, rest = divmod(len(pool), batch)
        for i in rng.sample(range(full), full):  # the ragged batch stays last, or the others would straddle its end
            result += pool[i * batch:(i + 1) * batch]
        result += pool[len(pool) - rest:]
    return result


def ordered(rows: Sequence[Row], places: Sequence[int]) -> Any:
    """The rows as a `datasets.Dataset` in the order of `places`, without copying a row for each epoch."""
    return datasets.Dataset.from_list(list(rows)).select(places)


def first_line(error: BaseException) -> str:
    """What an error says, short enough for a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
