"""Where a response has its program. One policy for every use, decided here once.

1. Thinking never counts. Tags inside quotes are text of a program and no thinking.
2. A fence is a line of three or more backticks or tildes; it ends at a line of as many, or at the end of the response.
   Fences of the wanted language count; if there are none, those without a language; never those of another one.
3. Of several, the last one (`policy` "last"), the first, the longest, or all of them joined in order.
4. Without any fence the whole text is the program, and `fenced` is False: who judges may not blame it for being prose.
"""

import re
from typing import Literal, NamedTuple

from verifiers.answers import without_thinking
from verifiers.cell.languages import LANGUAGES, key_of

Policy = Literal["last", "first", "longest", "joined"]

CHARACTERS = 8_000_000
"""The longest response that is looked at."""

class Found(NamedTuple):
    """A program in a response."""

    code: str
    fenced: bool


def program(response: str, language: str = "python", policy: Policy = "last") -> Found | None:
    """The program that a response gives; None when it gives none (empty, all thinking, only other languages)."""
    if len(response) > CHARACTERS:
        return None
    text = _without_thinking(response)
    blocks = _blocks(text)
    if not blocks:
        text = _end_of_turn(text).strip("\n")
        return Found(text, fenced=False) if text.strip() else None
    names = LANGUAGES[key_of(language)].names
    named = [code for info, code in blocks if info in names or info.rstrip("0123456789") in names]
    found = [code for code in named or [code for info, code in blocks if not info] if code.strip()]
    return Found(_chosen(found, policy), fenced=True) if found else None


def _chosen(codes: list[str], policy: Policy) -> str:
    if policy == "joined":
        return "\n\n".join(codes)
    if policy == "longest":
        return max(codes, key=len)
    return codes[0 if policy == "first" else -1]


_QUOTED_TAG = re.compile(r"""(?<!\w)(["'`])(?:(?!\1)[^<\n]){0,80}</?\s*\w{5,9}\s*>(?:(?!\1)[^\n]){0,80}\1""")
_STAND_IN = "\ue0f0"


def _without_thinking(response: str) -> str:
    hidden = _QUOTED_TAG.sub(lambda found: found[0].replace("<", _STAND_IN), response)
    return without_thinking(hidden).replace(_STAND_IN, "<")


_OPENING = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*\{?\.?([\w+#.-]*)[^`\n]*\Z")


def _blocks(text: str) -> list[tuple[str, str]]:
    """(language in small letters, code) of every fenced block; the last one may lack its end."""
    blocks: list[tuple[str, str]] = []
    fence, info = "", ""
    lines: list[str] = []
    for line in text.split("\n"):
        if not fence:
            if opening := _OPENING.match(line):
                fence, info, lines = opening[1], opening[2].lower(), []
        elif line.strip().rstrip(fence[0]) == "" and len(line.strip()) >= len(fence):
            blocks.append((info, _dedented(lines)))
            fence = ""
        else:
            lines.append(line)
    if fence:
        blocks.append((info, _dedented(_end_of_turn("\n".join(lines)).split("\n"))))
    return blocks


def _dedented(lines: list[str]) -> str:
    """Without the indentation that all lines share: a block in a list is indented as a whole."""
    margins = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    margin = min(margins, default=0)
    return "\n".join(line[margin:] if line.strip() else line for line in lines) + "\n" if lines else ""


_END_OF_TURN = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|end_of_text)\|>")


def _end_of_turn(text: str) -> str:
    """A base model runs on past the end of its turn."""
    return _END_OF_TURN.split(text, maxsplit=1)[0]
