"""A row for a reward model in TRL's form: whole conversations, `chosen` over `rejected` (`rankings` makes K -> pairs).

All pairs of a prompt stay in one split; `problem_id` lets a trainer keep them in one batch, as InstructGPT did.
"""

from typing import Any

from factory.emitters import Thinking, answered, asked, other_side
from factory.records import Pick

VERSION = 1


def reward_model(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "", thinking: Thinking = "inline"
                 ) -> dict[str, Any]:
    """`why` says what the order of the two rests on. Keys as in `sft`; `thinking = "drop"` scores responses alone."""
    rejected, question = other_side(pick, "reward_model"), asked(pick, system, prefix, suffix)
    return {"chosen": [*question, answered(pick.chosen, thinking)],
            "rejected": [*question, answered(rejected, thinking)], "why": pick.why,
            "trace_id": pick.chosen.trace_id, "rejected_id": rejected.trace_id, "problem_id": pick.chosen.problem_id}
