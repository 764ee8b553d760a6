"""A row for preference training, in TRL's conversational form: `prompt`, `chosen` and `rejected` are messages.

`shared` counts the characters that both answers begin with: a loss may leave them out. With `split` they are moved to
the prompt, up to a border between steps, as the beginning of the assistant's turn; then the preference is between the
steps that differ, as in Step-DPO (Lai et al. 2024), and TRL's templates go on with the unfinished turn.
"""

import re
from bisect import bisect_left
from typing import Any

from factory.emitters import Thinking, answered, asked, other_side
from factory.records import Pick

VERSION = 2


def dpo(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "", thinking: Thinking = "inline",
        split: bool = False) -> dict[str, Any]:
    """Both answers are the raw texts as they came, unless `thinking` says another form; the other keys are `sft`'s."""
    chosen, rejected = pick.chosen, other_side(pick, "dpo")
    prompt: list[Any] = list(asked(pick, system, prefix, suffix))
    one, other = answered(chosen, thinking), answered(rejected, thinking)
    shared = _common(one["content"], other["content"])
    if split and (at := border(one["content"][:shared])):
        prompt.append({"role": "assistant", "content": one["content"][:at]})
        one["content"], other["content"] = one["content"][at:], other["content"][at:]
        shared = at
    return {"prompt": prompt, "chosen": [one], "rejected": [other], "shared": shared, "trace_id": chosen.trace_id,
            "rejected_id": rejected.trace_id, "problem_id": chosen.problem_id}


def border(text: str) -> int:
    """Where the last whole line of `text` ends, else its last whole sentence; 0 if there is neither."""
    return text.rfind("\n") + 1 or max((found.end() for found in re.finditer(r"[.?!] ", text)), default=0)


def _common(a: str, b: str) -> int:
    return bisect_left(range(min(len(a), len(b))), True, key=lambda i: a[:i + 1] != b[:i + 1])
