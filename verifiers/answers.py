r"""Where a response says its final answer. One policy for every verifier, decided here once.

1. Thinking never counts: `<think>…</think>` is cut first, an unclosed `<think>` means no answer.
2. Then the first of these that is there: the last balanced `\boxed{…}`; the last `"answer": …` of a JSON
   object; the last of "the answer is …", "Answer: …" and `#### …`; a **bold** text of the last line, or the last
   one before it that is no heading; the last line.
3. Several different boxes: **the last one wins**, and `note` says so, so a recipe can drop them.
   Only boxes in one list (`\boxed{1}, \boxed{2}`, or with "and") are one answer together. A box
   begun and never closed is a response cut short: no answer, unless an earlier one is complete.
4. From a sentence the last formula in it is taken (`$…$`, `\(…\)`, `\[…\]`) when there is one.

Everything here is linear in the length of the response: braces are matched, not searched for.
"""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` as written, without its box or marker; `note` is empty or says what was ambiguous."""

    text: str
    where: Literal["box", "phrase", "bold", "line"]
    note: str = ""


_RESPONSE = 1_000_000  # characters of a response, the last ones, in which its answer is looked for

# A base model runs on past the end of its turn.
_END_OF_TURN = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id)\|>")


def final_answer(response: str) -> Answer | None:
    """The final answer of `response`, or None when it has none (empty, or still thinking)."""
    text = _END_OF_TURN.split(without_thinking(response).strip(), maxsplit=1)[0].strip()[-_RESPONSE:]
    if not text:
        return None
    if answer := _from_boxes(text):
        return answer
    if "box" in text and _UNFINISHED_BOX.search(text):
        return None
    return _from_json(text) or _from_phrase(text) or _from_bold(text) or _from_last_line(text)


_TAG = re.compile(r"[<\[◁]/?\s*(?:think(?:ing)?|thought|reasoning)\s*[>\]▷]", re.IGNORECASE)


def without_thinking(response: str) -> str:
    """`response` without its thinking; empty when the thinking was never closed.

    A `</think>` without its opening is common (the chat template wrote the opening), so everything
    before the last stray one is thinking too.
    """
    if not _may_have_tags(response):
        return response
    response = _TAG.sub(lambda tag: "</think>" if "/" in tag[0] else "<think>", response)
    kept, position = [], 0
    while (start := response.find("<think>", position)) >= 0:
        kept.append(response[position:start])
        end = response.find("</think>", start)
        if end < 0:
            return ""
        position = end + len("</think>")
    kept.append(response[position:])
    return "".join(kept).rpartition("</think>")[2]


def _may_have_tags(text: str) -> bool:
    """Whether there is a word of a tag behind a bracket: quicker than a look at every bracket."""
    small = text.lower()
    if len(small) != len(text) or "ſ" in small or "ı" in small:  # other letters that are i and s where case is nothing
        return True
    return any(_behind_bracket(small, at) for word in ("think", "thought", "reasoning") for at in _places(word, small))


def _behind_bracket(text: str, at: int) -> bool:
    at -= 1
    while at > 0 and text[at].isspace():
        at -= 1
    return at >= 0 and text[at] in "<[◁/"


class _Box(NamedTuple):
    start: int
    end: int
    contents: str


_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_UNFINISHED_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\\boxed\s*([-+]?\w[\w.,/]*)")


def boxes(text: str) -> list[str]:
    r"""The contents of the outermost balanced `\boxed{…}`, in order; unclosed ones are not.

    A box straight inside a box is unwrapped: `\boxed{\boxed{5}}` is 5.
    """
    return [box.contents for box in _boxes(text)]


def _boxes(text: str) -> list[_Box]:
    found: list[_Box] = []
    for box in _UNFINISHED_BOX.finditer(text) if "box" in text else ():
        if (found and box.start() < found[-1].end) or _escaped(text, box.start()):
            continue
        if (end := _closing(text, box.end())) < 0:
            return _some_closed(text)
        found.append(_Box(box.start(), end + 1, _unwrapped(text[box.end() : end].strip())))
    return found


def _escaped(text: str, at: int) -> bool:
    r"""Whether the backslash at a place belongs to one before it: a new line `\\`, and then "boxed"."""
    begin = at
    while begin and text[begin - 1] == "\\":
        begin -= 1
    return (at - begin) % 2 == 1


def _closing(text: str, at: int) -> int:
    """Where the brace closes that opened before a place; -1 if it does not."""
    depth = 1
    for token in _BRACE.finditer(text, at):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if not depth:
            return token.start()
    return -1


def _some_closed(text: str) -> list[_Box]:
    """The boxes of a text in which one is never closed, in one pass: many may be."""
    first = min((at for at in (text.find(r"\boxed"), text.find(r"\fbox")) if at >= 0), default=len(text))
    open_at: list[tuple[int, int] | None] = []  # (start, inside) of a box, None for a brace
    found: list[_Box] = []
    for token in _BRACES.finditer(text, text.rfind("\n", 0, first) + 1 if first < len(text) else first):
        if token[0] == "{":
            open_at.append(None)
        elif token[0] == "}":
            if open_at and (box := open_at.pop()):
                while found and found[-1].start > box[0]:
                    found.pop()
                contents = _unwrapped(text[box[1] : token.start()].strip())
                found.append(_Box(box[0], token.end(), contents))
        elif token[0].endswith("{") and token[0] != r"\{":
            open_at.append((token.start(), token.end()))
    return found


def _unwrapped(contents: str) -> str:
    for _ in range(3):
        inner = re.match(r"(?:\\text\s*\{[^{}]*\}\s*)?\\(?:boxed|fbox)\s*\{", contents)
        if not inner or not contents.endswith("}"):
            break
        contents = contents[inner.end() : -1].strip()
    return contents


_JSON = re.compile(r'"(?:final[_ ])?answer"\s*:\s*("(?:[^"\\]|\\.){0,2000}"|-?[0-9.]+|true|false)', re.IGNORECASE)


def _from_json(text: str) -> Answer | None:
    found = _JSON.findall(text[-_LONGEST:]) if text.endswith(("}", "```")) else []
    if not found:
        return None
    try:
        return Answer(str(json.loads(found[-1])), "phrase")
    except ValueError:  # LaTeX with its backslashes as they are
        return Answer(found[-1].strip('"'), "phrase")


def _from_boxes(text: str) -> Answer | None:
    found = _boxes(text)
    if not found:
        bare = _BARE_BOX.findall(text)
        return Answer(bare[-1], "box") if bare else None
    row = _last_row(text, found)
    different = len({"".join(box.contents.split()) for box in found})
    ambiguous = different > 1 and len(row) == 1
    note = f"{different} different boxes, the last one taken" if ambiguous else ""
    return Answer(", ".join(row), "box", note)


_LISTED = re.compile(r"[\s$]*(?:\\q?quad|\\text\s*\{|[\s$}])*(?:,|and|or)+(?:\\q?quad|[\s$}])*")


def _last_row(text: str, found: list[_Box]) -> list[str]:
    r"""The last box with those listed beside it: `\boxed{1}, \boxed{2} and \boxed{3}`."""
    row = [found[-1].contents]
    for before, after in zip(reversed(found[:-1]), reversed(found[1:]), strict=True):
        if after.start - before.end > 40 or not _LISTED.fullmatch(text, before.end, after.start):
            break
        row.append(before.contents)
    return row[::-1]


_LONGEST = 4_000  # characters of a final answer outside a box; keeps the searches below linear

_MARKER = re.compile(
    r"(?<![-‑])\banswers?\**\s*(?:\bis\b|\bare\b|[:=])[:\s*]*"  # the answer is …, Answer: …, **Answer:** …
    r"|答案\**\s*[:：是为][:：\s*]*"
    r"|^[#*\ ]*(?:final\ |correct\ )?answer[*:.\ ]*$"  # a heading; the answer is below it
    r"|(?:^|\s)\#{4}\s"  # GSM8K's mark
    r"|<answer>|\b(?:option|choice)\s+is\b",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bMrs)\.(?=\s+[A-Z]|\s*$)|</(?:answer|ANSWER)>|I hope it is correct"
)


def _from_phrase(text: str) -> Answer | None:
    """What follows the last marker. A marker with nothing behind it counts as not there."""
    ends = reversed([marker.end() for marker in _markers(text)])
    answer = next(filter(None, (text[end : end + _LONGEST].strip() for end in ends)), None)
    if not answer:
        return None
    if answer.startswith(r"\begin"):
        return Answer(answer, "phrase")
    display = _FORMULAS.match(answer, 0, _LONGEST)
    if display and "\n" in display[0]:
        return Answer(_inside(display), "phrase")
    sentence = _SENTENCE_END.split(answer.splitlines()[0], maxsplit=1)[0]
    balanced = sentence.count("**") % 2 == 0
    return Answer(_formula(sentence) or sentence.strip(" " if balanced else " *"), "phrase")


def _markers(text: str) -> Iterator[re.Match[str]]:
    """The markers in order. Each has one of a few words in it or right behind it, which are quicker to look for."""
    small = text.lower()
    if len(small) != len(text):  # places differ
        yield from _MARKER.finditer(text)
        return
    behind = 0
    for begin, word in sorted((at, mark) for mark in _MARKS for at in _places(mark, small)):
        for at in (_heading(small, begin, word), begin - 1, begin):
            if at >= behind and (marker := _MARKER.match(text, at)):
                yield marker
                behind = marker.end()
                break


_MARKS = ("answer", "答案", "####", "option", "choice")


def _places(word: str, text: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _heading(small: str, begin: int, word: str) -> int:
    """Where a line begins that has nothing before `word` but what a heading has; -1 if it has more."""
    if word != "answer":
        return -1
    at = begin - next((len(one) for one in ("final ", "correct ") if small.endswith(one, 0, begin)), 0)
    while at > 0 and small[at - 1] in "#* ":
        at -= 1
    return at if at == 0 or small[at - 1] == "\n" else -1


_CODE = re.compile(r"`([^`\n]*\d[^`\n]*)`(?=\*\*)")  # **`77`**
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*(?!\s*[:：])")


def _from_bold(text: str) -> Answer | None:
    """A bold text of the last line; else, unless that says a number, the last one of the whole that is no heading."""
    last = text.splitlines()[-1]
    bold = _CODE.findall(last) or _BOLD.findall(last)
    if not bold and not re.search(r"\d|\\\[|\$", last):
        bold = [part for part in _BOLD.findall(text[-2_000:]) if not part.rstrip().endswith((":", "："))]
    return Answer(_formula(bold[-1]) or bold[-1].strip(" :."), "bold") if bold else None


_DISPLAY_AT_END = re.compile(r"(?:\\\[|\$\$)((?:(?!\\\[|\$\$).)+)(?:\\\]|\$\$)[.\s]*\Z", re.DOTALL)


def _from_last_line(text: str) -> Answer:
    """The last line, or the display formula that ends there when it spans several lines."""
    end = text[-_LONGEST:]
    if ("\\]" in end or "$$" in end) and (display := _DISPLAY_AT_END.search(end)):
        return Answer(display[1].strip(), "line")
    line = text.splitlines()[-1].partition("I hope it is correct")[0].strip()
    return Answer(_formula(line) or line, "line")


_FORMULAS = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$(.+?)(?<!\\)\$", re.DOTALL)


def _inside(formula: re.Match[str]) -> str:
    return next(group for group in formula.groups() if group).strip()


_TEXT = re.compile(r"\\text\s*\{[^{}]*\}")
_MONEY = re.compile(r"[-+*/=×]\s*\Z|(?<![\\a-zA-Z])[a-z]{3,}\s+[a-z]{2,}")  # `$30 - $2`, `$30 and sells it for $40`


_JOINED = re.compile(r"\s*(?:,|,?\s*\b(?:and|or)\b)\s*")


def _row(sentence: str, found: list[re.Match[str]]) -> str | None:
    """`$2$ and $3$` as `2 and 3`: the last formulas, when nothing but that stands between them."""
    row = [found[-1]]
    for before in reversed(found[:-1]):
        if not _JOINED.fullmatch(sentence, before.end(), row[0].start()):
            break
        row.insert(0, before)
    if len(row) == 1 or _CHANGES.search(sentence, 0, row[0].start()) or _BEHIND.match(sentence, row[-1].end()):
        return None
    joints = [sentence[a.end() : b.start()] for a, b in itertools.pairwise(row)]
    parts = [_inside(formula) for formula in row]
    if len({part.partition("=")[0].strip() if "=" in part else "" for part in parts}) > 1:
        return None  # of different things
    return parts[0] + "".join(f" {joint.strip()} {part}" for joint, part in zip(joints, parts[1:], strict=True))


_CHANGES = re.compile(
    r"\b(?:not|cannot|never|no|except|minus|negative|half|twice|double|root|times|plus|than|least|most|multiples?"
    r"|between|neither|either|impossible|over|of)\s+\Z|n't\s+\Z|[-+*/^\d]\s*\Z|\bno (?:\w+ )?solutions?\b[^.]*\Z",
    re.IGNORECASE,
)
_BEHIND = re.compile(r"\s*(?:[-+*/^%]|\d|(?:or|squared|cubed|percent|is not|is wrong|times|plus|minus|factorial)\b)")


def _changed(sentence: str, formula: re.Match[str]) -> bool:
    """Does what stands right beside a formula say something else than the formula does?"""
    return bool(_CHANGES.search(sentence, 0, formula.start()) or _BEHIND.match(sentence, formula.end()))


_SAID = re.compile(r".*\b(?:is|are|equals)\b\s*:?\s*([-+.\d(\\].*)", re.DOTALL)


def _formula(sentence: str) -> str | None:
    """The last formula of a sentence, or what "is" says behind it; None without a formula."""
    every = _FORMULAS.finditer(sentence[:_LONGEST])
    found = [formula for formula in every if not _MONEY.search(_TEXT.sub("", _inside(formula)))]
    if not found:
        return None
    if row := _row(sentence, found):
        return row
    if _changed(sentence, found[-1]):
        return None
    if said := _SAID.fullmatch(sentence[found[-1].end() : _LONGEST]):
        return said[1].strip(" .*")
    return _inside(found[-1])
