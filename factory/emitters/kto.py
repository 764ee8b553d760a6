"""Rows for KTO (Ethayarajh et al. 2024) in TRL's form: `prompt`, `completion` and `label`, each answer by itself.

A trace that is correct is desirable (true), one that is wrong is not; of a pair, each side makes a row.
"""

from typing import Any

from factory.emitters import Thinking, answered, asked
from factory.records import Pick

VERSION = 1


def kto(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "", thinking: Thinking = "inline"
        ) -> list[dict[str, Any]]:
    """The label of a pick alone is its verdict; in a pair the chosen side is desirable. Keys as in `sft`."""
    labels = [(pick.chosen, pick.rejected is not None or pick.chosen.status == "correct")]
    labels += [(pick.rejected, False)] if pick.rejected else []
    return [{"prompt": asked(pick, system, prefix, suffix), "completion": [answered(side, thinking)], "label": label,
             "trace_id": side.trace_id, "problem_id": side.problem_id} for side, label in labels]
