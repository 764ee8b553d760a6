"""Tell a model's thinking from its response, whatever the endpoint sends: fields of its own, tags, channels, turns.

What lies between the first opening and the last closing tag is thinking, and text with an unclosed thought has no
response: in doubt it is thinking, because the response is what gets verified, and a doubtful one must not pass.
Tags that are only talked about (in code or in quotes) are text: `factory.thoughts_tags` says how that is told.
The text as it came is kept beside this split (`Completion.raw`), so both sides are stripped here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from factory import thoughts_forms, thoughts_tags

OPEN, CLOSE = "<think>", "</think>"

FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Where endpoints put the thinking: DeepSeek, SGLang and older vLLM; vLLM; OpenRouter (a list); Ollama."""


def split(text: str, reasoning: str | None = None, opened: bool = False) -> tuple[str, str]:
    """(thinking, response). `reasoning` is the endpoint's own field: when it holds something, `text` is the response.

    `opened`: the prompt ended inside a thought (the chat template wrote the tag), so a text without tags is all
    thinking: it was cut off.

    >>> split("<think>2+2=4</think>The answer is 4.")
    ('2+2=4', 'The answer is 4.')
    """
    if reasoning:
        return reasoning.strip(), text.strip()
    parts = (thoughts_forms.channels(text) or thoughts_tags.tagged(text, opened) or thoughts_forms.turns(text)
             or thoughts_forms.steps(text) or ((text, "") if opened else ("", text)))
    return parts[0].strip(), parts[1].strip()


def join(reasoning: str, text: str, closed: bool) -> str:
    """One text out of an endpoint's two fields, as the model would have written it with tags."""
    return f"{OPEN}{reasoning}{CLOSE if closed else ''}{text}"


def fields(message: Mapping[str, Any]) -> tuple[str, str]:
    """(text, reasoning) of a reply's message: the parts that are text; a part that cannot be read (encrypted) is none.

    >>> fields({"content": "4", "reasoning_details": [{"type": "reasoning.text", "text": "2+2"}]})
    ('4', '2+2')
    """
    content = message.get("content")
    inside = [part for part in content if _is_thought(part)] if isinstance(content, list) else []
    outside = [part for part in content if not _is_thought(part)] if isinstance(content, list) else content
    told = next((told for field in FIELDS if (told := _plain(message.get(field)))), "")
    return _plain(outside), told or _plain(inside)


def _is_thought(part: Any) -> bool:
    return isinstance(part, Mapping) and str(part.get("type", "")).startswith(("thinking", "reasoning"))


def _plain(value: Any) -> str:
    """The text of a field: a string, a part (`text`, `thinking`, `summary`, `content`), or a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        keys = ("text", "thinking", "summary", "content")
        return next((text for key in keys if (text := _plain(value.get(key)))), "")
    return "".join(map(_plain, value)) if isinstance(value, Sequence) else ""
