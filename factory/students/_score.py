"""Texts scored by a reward model, in a process of its own: torch lives here.

    python -m factory.students._score MODEL

The first line out is {"kind": "reward" or "process", "context": in tokens} or {"error": a sentence}. A line in is a
JSON list of texts, {"messages": […], "steps": […]}; the line out is the list of their scores: of a reward model the
number of the whole conversation, which ends with the assistant's turn; of a process reward model one number between 0
and 1 for each step of the answer to it; null for a text that is longer than the model's context.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from factory.protocols import UserError
from factory.students import _base
from factory.students import _heads as heads

KINDS = {"ForSequenceClassification": ("reward", AutoModelForSequenceClassification),
         "ForTokenClassification": ("process", AutoModelForTokenClassification)}

Text = dict[str, Any]


def kind_of(folder: Path) -> tuple[str, Any]:
    """What the model in a folder gives, and transformers' class for it. Raises UserError where it has no such head."""
    if (folder / "config.json").is_file():
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        for ending, found in KINDS.items():
            if any(name.endswith(ending) for name in config.architectures or ()) and config.num_labels == 1:
                return found
    raise UserError(f"{folder} holds no reward model (a head with one label): train one with the student "
                    "`reward_model` or `process_reward_model`, and set `model` to its folder")


def scorer(model: Any, tokenizer: Any, kind: str, context: int) -> Callable[[Sequence[Text]], list[Any]]:
    """A function from texts to their scores."""
    def rewards(texts: Sequence[Text]) -> list[Any]:
        rows = [heads.text_ids(tokenizer, text["messages"]) for text in texts]
        return _fitting(rows, [len(row) for row in rows], lambda fit: heads.rewards(model, fit))

    def steps(texts: Sequence[Text]) -> list[Any]:
        rows = [heads.step_ids(tokenizer, text["messages"], text["steps"]) for text in texts]
        return _fitting(rows, [len(ids) for ids, _ in rows], lambda fit: heads.step_scores(model, fit))

    def _fitting(rows: Sequence[Any], lengths: Sequence[int], score: Callable[[list[Any]], Sequence[Any]]) -> list[Any]:
        fits = [length <= context for length in lengths]
        found = iter(score([row for row, fit in zip(rows, fits, strict=True) if fit]))
        return [next(found) if fit else None for fit in fits]

    return rewards if kind == "reward" else steps


def main(arguments: Sequence[str]) -> None:
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what libraries print must not mix with the answers
        try:
            kind, opened_as = kind_of(Path(arguments[0]))
            model, tokenizer = _base.open_base(Path(arguments[0]), opened_as)
        except UserError as error:
            print(json.dumps({"error": str(error)}), file=out, flush=True)
            return
        context = int(model.config.max_position_embeddings)
        score = scorer(model.to(heads.device()), tokenizer, kind, context)
        print(json.dumps({"kind": kind, "context": context}), file=out, flush=True)
        for line in sys.stdin:
            print(json.dumps(score(json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
