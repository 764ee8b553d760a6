"""Going on from a text that was cut off, where an endpoint tells no token ids: the text goes along as the beginning of
the answer, in the form that the endpoint takes.

Not exact: the same characters may become other tokens, and a chat template may change what was thought (vLLM #28089).
So it is only done where a recipe asks for it, and the trace's steps say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from factory.records import Completion, Message
from factory.thoughts import CLOSE, OPEN

FORMS = ("continue_final_message", "prefix", "assistant")
"""A flag beside the messages (SGLang, a server in front of vLLM); a flag in the last message (DeepSeek, Mistral); just
a last message of the assistant's (Anthropic, OpenRouter). Others, OpenAI's among them, would answer it anew."""


def body(form: str, asked: Sequence[Message], written: str) -> dict[str, Any]:
    """The part of a chat request that has `written` gone on from."""
    if form == "prefix":
        thought, inside, after = _parts(written)
        told = {"reasoning_content": thought} if inside else {}
        return {"messages": [*asked, {"role": "assistant", "content": after, "prefix": True, **told}]}
    flags = {"continue_final_message": True, "add_generation_prompt": False} if form == FORMS[0] else {}
    return {"messages": [*asked, {"role": "assistant", "content": written}], **flags}


def fresh(reply: Completion, written: str) -> Completion:
    """The reply with what is new in it alone: some endpoints repeat what they were given, and one that tells the
    thinking apart goes on with a thought that is open already."""
    raw = reply.raw
    if OPEN in written and CLOSE not in written:
        raw = raw.removeprefix(OPEN)
    raw = reply.raw.removeprefix(written) if written and reply.raw.startswith(written) else raw
    return replace(reply, raw=raw)


def _parts(written: str) -> tuple[str, bool, str]:
    """(thought, whether there is one, what comes after it) of a text that may end inside its thought."""
    if not written.startswith(OPEN):
        return "", False, written
    thought, _, after = written.removeprefix(OPEN).partition(CLOSE)
    return thought, True, after


def limited(sampling: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling with other limits of tokens, under the name that it uses for them."""
    most = limits.get("max_tokens")
    name = "max_completion_tokens" if "max_completion_tokens" in sampling else "max_tokens"
    return {**sampling, **({name: most} if most else {})}
