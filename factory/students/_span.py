"""Where the loss of a row lies, by one rule: the trainers learn from what the round trip has checked.

The prompt ends where the student's own text begins; the answer is its content and the token that ends a turn. Not by
the template alone: some rewrite the thinking of a past turn, and TRL's need marks that few templates have.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from factory.protocols import UserError
from factory.thoughts import OPEN

Messages = Sequence[Mapping[str, Any]]


def render(tokenizer: Any, messages: Messages, ask: bool = False) -> str:
    """The conversation by the student's template; `ask` opens the next turn. A field that is None is not there."""
    there = [{key: value for key, value in message.items() if value is not None} for message in messages]
    return str(tokenizer.apply_chat_template(there, tokenize=False, add_generation_prompt=ask))


def prompt(tokenizer: Any, messages: Messages) -> tuple[str, str]:
    """The prompt as the student sees it when it is asked, up to where its own text begins, and what it has of that
    already: a last turn of the assistant's is one that the answer goes on with.

    A template that opens the thinking itself (`<think>` at the end) would have it twice: the answer brings its own.
    """
    begun = messages[-1]["content"] if messages and messages[-1]["role"] == "assistant" else ""
    asked = messages[:-1] if begun else messages
    if not asked:
        raise UserError("a row has an answer without a prompt before it: emit it again")
    return re.sub(rf"{OPEN}\s*$", "", render(tokenizer, asked, ask=True)), begun


def answer(tokenizer: Any, before: Messages, message: Mapping[str, Any]) -> str:
    """Exactly the content and the token that ends a turn; thinking in a field of its own as the template writes it."""
    if message["role"] != "assistant":
        raise UserError(f"the message to train on is of the role '{message['role']}', not 'assistant': emit it again")
    told = message.get("reasoning_content") or message.get("thinking")
    content = _with_thinking(tokenizer, before, message, told) if told else message["content"]
    return str(content + tokenizer.eos_token)


def _with_thinking(tokenizer: Any, before: Messages, message: Mapping[str, Any], told: str) -> str:
    whole, (begin, _) = render(tokenizer, [*before, message]), prompt(tokenizer, before)
    text = whole[len(begin):whole.rfind(message["content"]) + len(message["content"])]
    if not whole.startswith(begin) or told.strip() not in text:
        raise UserError("the student's chat template does not write the thinking that the rows have in a field of its "
                        'own, so it would not be learnt: emit them with thinking = "tags"')
    return text
