"""The row of a dataset for one pick. No emitter is shown a reference but `rl_prompts`, whose rows are to be verified.

Beside its function a module may have `problem_columns(problem)` or `step_columns(steps)`, which give further columns,
and `extra_files(rows, name)`, which gives files to lie beside the dataset. Here is what several emitters share.
"""

from typing import Literal

from factory.records import Candidate, Message, Pick

Thinking = Literal["inline", "tags", "reasoning_content", "thinking", "drop"]
"""Where the student's template wants the thinking: in the content as it came (`inline`) or between `<think>` tags on
lines of their own (`tags`, as Qwen3 and DeepSeek write it), in a field of its own, or nowhere."""


def asked(pick: Pick, system: str, prefix: str, suffix: str) -> list[Message]:
    """The question as messages: `system`, `prefix` and `suffix` are those of the strategy, where it had them."""
    head = [Message(role="system", content=system)] if system else []
    return [*head, Message(role="user", content=prefix + pick.chosen.prompt + suffix)]


def answered(candidate: Candidate, thinking: Thinking) -> dict[str, str]:
    """The assistant's message. A response alone, where the trace has no thinking, is the same in every form."""
    message = {"role": "assistant", "content": text(candidate, thinking)}
    if thinking in ("reasoning_content", "thinking"):
        message[thinking] = candidate.thinking
    return message


def text(candidate: Candidate, thinking: Thinking) -> str:
    """The content of the assistant's message."""
    if thinking == "inline":
        return candidate.raw
    if thinking == "tags" and candidate.thinking:
        return f"<think>\n{candidate.thinking}\n</think>\n\n{candidate.response}"
    return candidate.response


def correct(pick: Pick, emitter: str) -> Candidate:
    """The chosen trace. Raises ValueError for one that is not correct: nothing is taught from it by imitation."""
    if pick.chosen.status != "correct":
        raise ValueError(f"the trace {pick.chosen.trace_id} is {pick.chosen.status}, and `{emitter}` takes correct "
                         "ones only: choose with another selector, or emit `kto` or `process_reward`")
    return pick.chosen


def other_side(pick: Pick, emitter: str) -> Candidate:
    """The rejected trace. Raises ValueError where there is none."""
    if pick.rejected is None:
        raise ValueError(f"the pick of {pick.chosen.trace_id} has no rejected trace, and `{emitter}` needs two: choose "
                         "with `pairs`, or emit `sft`")
    return pick.rejected
