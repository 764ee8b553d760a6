"""Thinking between tags: `<think>` and its relatives. Part of `factory.thoughts`; linear in the length of the text.

A tag that is talked about is no tag: one in quotes or in `code`, or in a fence of code. A fence hides what stands in a
line with other text, and tags that open and close inside it; a lone tag on a line of its own is real even there,
since a thought may leave a fence open behind it.
"""

import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ANGLE = re.compile(r"<(?i:(/?)(think|thinking|thoughts?|reasoning|seed:think))\s?>"
                    r"|<\|(?i:(begin|end)_of_(thought))\|>")
_OTHERS = re.compile(r"\[(/?)(THINK)\]|◁(/?)(think)▷")
"""Magistral and Kimi-VL. Apart, because nearly no text has them, and one expression would be slow on all texts."""

_WRAPPED = re.compile(r"\A\s*(?:<(?i:output)>|<\|(?i:begin_of_solution)\|>)"
                      r"|(?:</(?i:output)>|<\|(?i:end_of_solution)\|>)\s*\Z")
"""What goes round the response: Marco-o1's `<Output>` and the `<|begin_of_solution|>` of OpenThoughts and Sky-T1."""

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
_MARKS = re.compile(r"[\"`]")
_QUOTES = {("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»")}
_CUT = 5
"""So many characters of `</think>` at the end of a text are one that was cut off: `</th` may be a table's."""


@dataclass(frozen=True)
class Tag:
    start: int
    end: int
    name: str
    closes: bool


def tagged(text: str, opened: bool = False) -> tuple[str, str] | None:
    """(thinking, response) of a text with thinking tags, None for one without. The first tag's name counts alone.

    `opened`: the text begins inside a thought. So it does, too, where it closes one first, or opens one in mid-line.
    """
    tags = _real(text)
    tags = [tag for tag in tags if tag.name == tags[0].name]
    if not tags:
        return _untagged(text)
    first, last = tags[0], tags[-1]
    if not last.closes:  # opened, perhaps for the second time, and cut off
        begin = 0 if text[:first.start].strip() else first.end
        return _without_cut_tag(text[begin:], _closing(text, last)), ""
    before = text[:first.start].strip() if opened else text[:first.start].rpartition("\n")[2].strip()
    begin, resume = (0, 0) if first.closes or before else (first.start, first.end)
    return text[resume:last.start], text[:begin] + _WRAPPED.sub("", text[last.end:])


def _untagged(text: str) -> tuple[str, str] | None:
    bare = text.strip()
    if bare and "<think>".startswith(bare):
        return "", ""
    thinking = _without_cut_tag(bare, "</think>", _CUT)
    if thinking != bare:  # cut off in the tag that ends a thought which the chat template opened
        return thinking, ""
    return ("", _WRAPPED.sub("", text)) if "_of_solution|>" in text else None


def _without_cut_tag(text: str, tag: str, least: int = 2) -> str:
    text = text.rstrip()
    for size in range(len(tag) - 1, least - 1, -1):
        if text.endswith(tag[:size]):
            return text[:-size]
    return text


def _closing(text: str, tag: Tag) -> str:
    """How the tag would be closed, spelt as it was opened."""
    written = text[tag.start:tag.end]
    return written.replace("begin", "end") if written[1] == "|" else f"{written[0]}/{written[1:]}"


# -- which tags are meant ------------------------------------------------------------------------------------------


def _real(text: str) -> list[Tag]:
    tags = list(_tags(text))
    hidden = {*_in_line(text, tags), *_in_fences(text, tags)} if tags else set()
    return [tag for tag in tags if tag.start not in hidden]


def _tags(text: str) -> Iterator[Tag]:
    found = list(_ANGLE.finditer(text))
    if "THINK]" in text or "think▷" in text:
        found = sorted([*found, *_OTHERS.finditer(text)], key=lambda match: match.start())
    for match in found:
        slash, name, edge, thought = match.groups()
        closes = slash == "/" or (edge or "").lower() in ("end", "/")
        yield Tag(match.start(), match.end(), (name or thought).lower(), closes)


def _in_line(text: str, tags: Sequence[Tag]) -> Iterator[int]:
    """The starts of tags in quotes or in backticks that open and close on their line."""
    end, marks = -1, dict[str, list[int]]()
    for tag in tags:
        if tag.start > end:
            begin, end = _line(text, tag.start)
            places = [(mark.start(), mark[0]) for mark in _MARKS.finditer(text, begin, end)]
            marks = {sign: [place for place, written in places if written == sign] for sign in '"`'}
        if (text[tag.start - 1:tag.start], text[tag.end:tag.end + 1]) in _QUOTES or any(
                bisect(places, tag.start) % 2 and places[-1] > tag.start for places in marks.values()):
            yield tag.start


def _in_fences(text: str, tags: Sequence[Tag]) -> Iterator[int]:
    """The starts of tags that belong to code in a fence."""
    starts = [tag.start for tag in tags]
    for begin, end in _fences(text):
        inside = tags[bisect(starts, begin):bisect(starts, end)]
        paired = sum(tag.closes for tag in inside) * 2 == len(inside)
        for tag in inside:
            if paired or text[slice(*_line(text, tag.start))].strip() != text[tag.start:tag.end]:
                yield tag.start


def _fences(text: str) -> Iterator[tuple[int, int]]:
    """(begin, end) of each fence of code that is closed."""
    opening: re.Match[str] | None = None
    for mark in _FENCE.finditer(text) if "```" in text or "~~~" in text else ():
        if opening is None:
            opening = mark
        elif mark[1].startswith(opening[1]) and not mark[2].strip():
            yield opening.start(), mark.end()
            opening = None


def _line(text: str, place: int) -> tuple[int, int]:
    end = text.find("\n", place)
    return text.rfind("\n", 0, place) + 1, len(text) if end < 0 else end
