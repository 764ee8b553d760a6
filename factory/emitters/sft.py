"""A row for supervised fine-tuning, in the chat form that TRL, Axolotl and LLaMA-Factory read: `messages`."""

from typing import Any

from factory.records import Pick


def sft(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "") -> dict[str, Any]:
    """The assistant's turn is the raw text as it came, thinking included.

    `system`, `prefix` and `suffix`: those of the strategy, when the student should see what the teacher was asked.
    """
    chosen = pick.chosen
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user", "content": prefix + chosen.prompt + suffix},
                 {"role": "assistant", "content": chosen.raw}]
    return {"messages": messages, "trace_id": chosen.trace_id, "problem_id": chosen.problem_id}
