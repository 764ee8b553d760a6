"""A row of plain text for pre-training or mid-training: question and trace in one `text`, without a chat template."""

from typing import Any

from factory.emitters import Thinking, correct, text
from factory.records import Pick

VERSION = 1


def pretraining(pick: Pick, *, layout: str = "{prompt}\n\n{answer}", thinking: Thinking = "inline") -> dict[str, Any]:
    """`layout` places `{prompt}` and `{answer}`, each once; `thinking = "drop"` leaves the response."""
    chosen = correct(pick, "pretraining")
    if layout.count("{prompt}") != 1 or layout.count("{answer}") != 1:
        raise ValueError(f"the layout {layout!r} has to hold {{prompt}} and {{answer}}, each once")
    before, _, rest = layout.partition("{prompt}")  # by hand: a text may hold braces
    filled = before.replace("{answer}", text(chosen, thinking)) + chosen.prompt + rest.replace(
        "{answer}", text(chosen, thinking))
    return {"text": filled, "trace_id": chosen.trace_id, "problem_id": chosen.problem_id}
