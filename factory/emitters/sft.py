"""A row for supervised fine-tuning, in the chat form that TRL, Axolotl and LLaMA-Factory read: `messages`."""

from typing import Any

from factory.emitters import Thinking, answered, asked, correct
from factory.records import Pick

VERSION = 2


def sft(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "", thinking: Thinking = "inline"
        ) -> dict[str, Any]:
    """The assistant's turn is the raw text as it came, thinking included, unless `thinking` says another form.

    `system`, `prefix` and `suffix`: those of the strategy, when the student should see what the teacher was asked.
    """
    chosen = correct(pick, "sft")
    return {"messages": [*asked(pick, system, prefix, suffix), answered(chosen, thinking)],
            "trace_id": chosen.trace_id, "problem_id": chosen.problem_id}
