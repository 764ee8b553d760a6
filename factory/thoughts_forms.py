"""Thinking without tags of its own: gpt-oss's channels, s1's turns, g1's steps. Part of `factory.thoughts`.

Each reader gives (thinking, response), or None for a text of another form.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]{0,200}(?:<\|constrain\|>[^<]{0,200})?<\|message\|>")
_MARK = re.compile(r"<\|(?:end|return|call)\|>(?:\s*<\|start\|>\w*)?|<\|start\|>\w*")
_TURN = re.compile(r"(?:\A|\n)(?:<\|im_start\|>)?answer\n|<\|im_start\|>answer(?:\n|\Z)")
_BARE = re.compile(r"analysis(?=[A-Z\"'(\d])")
_BETWEEN = re.compile(r"(?:[\s,\]\[]|```(?:json)?)*")


def channels(text: str) -> tuple[str, str] | None:
    """gpt-oss (harmony): the channel `final` is the response, every other thinking; also where the special tokens
    were skipped, which leaves `analysis…assistantfinal…`.
    """
    marks = list(_CHANNEL.finditer(text)) if "<|channel|>" in text else []
    if not marks:
        return _bare_channels(text)
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    parts = [(mark[1], _MARK.sub("", text[mark.end():end]).strip()) for mark, end in zip(marks, ends, strict=True)]
    thinking = [text[:marks[0].start()].partition("<|start|>")[0].strip()]
    thinking += [part for channel, part in parts if channel != "final"]
    return "\n".join(filter(None, thinking)), "\n".join(part for channel, part in parts if channel == "final")


def _bare_channels(text: str) -> tuple[str, str] | None:
    bare = text.lstrip()
    if not bare.startswith("analysis"):
        return None
    thinking, final, response = bare.removeprefix("analysis").rpartition("assistantfinal")
    if final:
        return thinking, response
    return (response, "") if _BARE.match(bare) else None


def turns(text: str) -> tuple[str, str] | None:
    """s1: a turn that opens with the line `think` and one that opens with the line `answer`."""
    bare = text.lstrip().removeprefix("<|im_start|>")
    if not bare.startswith("think\n"):
        return None
    thinking = bare.removeprefix("think\n")
    answers = list(_TURN.finditer(thinking))
    return (thinking[:answers[-1].start()], thinking[answers[-1].end():]) if answers else (thinking, "")


def steps(text: str) -> tuple[str, str] | None:
    """g1: one JSON object a step, `{"title", "content", "next_action"}`; the last, `final_answer`, is the response, as
    is plain text behind the steps.
    """
    if '"next_action"' not in text:
        return None
    found = list(_objects(text))
    rest = found.pop() if found and isinstance(found[-1], str) else ""
    if not found or not all(isinstance(step, Mapping) and "content" in step for step in found):
        return None
    last = found[-1].get("next_action")
    if rest.startswith(("{", "[")):  # cut off in a step
        return _told([*found, {"content": rest}]), ""
    if rest or last != "final_answer":
        return _told(found), rest
    return _told(found[:-1]), str(found[-1]["content"])


def _told(found: list[Any]) -> str:
    return "\n\n".join("\n".join(str(step[key]) for key in ("title", "content") if step.get(key)) for step in found)


def _objects(text: str) -> Iterator[Any]:
    """The JSON objects that `text` consists of, those of a list one by one, and at last what is no JSON as text."""
    decoder, place = json.JSONDecoder(strict=False), _after(text, 0)
    while place < len(text):
        begin = place
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            yield text[begin:].strip()
            return
        yield value
        place = _after(text, place)


def _after(text: str, place: int) -> int:
    """Where the next object begins: a list is read as its objects."""
    match = _BETWEEN.match(text, place)
    return match.end() if match else place
