"""Letters of a word: spelt out, at positions, counted. Which word it is has to be known.

Read: `s-t-r-a-w`, "the r's are at positions 3, 8 and 9", "r at 3, 8, 9", "the 3rd letter is r", lists of lines
`3. r`, "an 11-letter word", "there are three r's". Positions count from 1, or from 0 where the text says index or 0.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from verifiers.vocabulary import NUMBER_WORDS


class Remark(NamedTuple):
    """What a text says about the word between `start` and `end`; `found` is empty when it is so."""

    kind: Literal["letters", "count"]
    start: int
    end: int
    found: str


def remarks(text: str, word: str) -> Iterator[Remark]:
    """Everything `text` says about the letters of `word` that can be looked up, in order."""
    lower, folded = text.casefold(), word.casefold()
    if len(lower) != len(text):  # a letter that grows when folded would move every position
        lower = text.lower() if len(text.lower()) == len(text) else text
    found = [*_spelt(lower, folded), *_placed(lower, folded), *_ordinals(lower, folded), *_listed(lower, folded),
             *_lengths(lower, folded), *_counts(lower, folded)]  # fmt: skip
    yield from sorted(found, key=lambda remark: remark.start)


_SPELT = re.compile(r"(?<![\w'’-])[^\W\d_](?:(?:\s?[-–,·•.→]\s?|\s)[^\W\d_](?![\w'’])){2,}")


def _spelt(text: str, word: str) -> Iterator[Remark]:
    for match in _SPELT.finditer(text):
        letters = "".join(filter(str.isalpha, match[0]))
        if letters in word or letters in word[::-1]:
            yield Remark("letters", match.start(), match.end(), "")
        elif len(letters) > 3 and len(word) > 3 and _slips(letters, word) <= 2 and letters[:2] == word[:2]:
            yield Remark("letters", match.start(), match.end(), f"it is spelt {'-'.join(word)}")


def _slips(one: str, other: str) -> int:
    """Letters to insert, remove or replace to make one the other; 3 stands for more."""
    if abs(len(one) - len(other)) > 2:
        return 3
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        before, row[0] = row[0], at
        for column, theirs in enumerate(other, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (letter != theirs))
    return min(3, row[-1])


_ORDINAL = r"\d{1,3}(?:st|nd|rd|th)?"
_LIST = rf"{_ORDINAL}(?:(?:\s*,\s*(?:and\s+)?|\s*&\s*|\s+and\s+)#?{_ORDINAL})*"
_PLACED = re.compile(
    r"(?<![\w'’])(?P<quote>[\"'“‘`*]{0,4})(?P<letter>[^\W\d_])(?P<many>['’]?s)?[\"'”’`*]{0,4}(?![\w-])(?P<verb>\s+(?:\w+\s+){0,3}?)?"
    rf"\s*(?P<at>at|in|on|:)\s+(?:(?:the\s+)?(?:positions?|places?|indices|index|spots?|slots?|#)\s*:?\s*)?(?P<list>{_LIST})"
    r"(?![\w.]*\d|\s*(?:times?|letters|words|more|characters|[-+*/=]))"
)


def _placed(text: str, word: str) -> Iterator[Remark]:
    for match in _PLACED.finditer(text):
        letter, places = match["letter"], [int(number) for number in re.findall(r"\d+", match["list"])]
        sure = match["many"] or match["quote"] or letter not in "ai" or "position" in match[0]
        if letter not in word or not sure or _is_denied(text, match.start(), match.end()):
            continue
        everywhere = bool(match["many"] and re.search(r"\bare\b", match["verb"] or ""))
        yield Remark("letters", match.start(), match.end(), _misplaced(text, word, letter, places, everywhere))


def _misplaced(text: str, word: str, letter: str, places: list[int], everywhere: bool = False) -> str:
    """Empty when `letter` is at all the `places` (and, if `everywhere`, nowhere else), else where it is."""
    there = {at for at, own in enumerate(word, 1) if own == letter}
    said = set(places)
    for first in (1, 0):
        shifted = {place + 1 - first for place in said}
        if shifted <= there and (shifted == there or not everywhere):
            return ""
        if first and not (0 in said or re.search(r"\bind(?:ex|ices)\b|\bzero\b|from the (?:end|right)", text)):
            break
    return f"{letter} is at {', '.join(map(str, sorted(there))) or 'no position'}"


_NTH = re.compile(
    r"(?:\bposition\s+(?P<n1>\d{1,3})\s*(?:is|:|=|has|holds|->|→|-)+\s*(?:an?\s+|the\s+)?(?:letter\s+)?"
    r"|\b(?P<n2>\d{1,3})(?:st|nd|rd|th)\s+(?:letter|character|position)\s*(?:is|:|=)\s*(?:an?\s+|the\s+)?(?:letter\s+)?)"
    r"[\"'“‘`*]{0,4}(?P<letter>[^\W\d_])(?![\w'’][\w])[\"'”’`*]{0,4}"
)


def _ordinals(text: str, word: str) -> Iterator[Remark]:
    for match in _NTH.finditer(text):
        if match["letter"] not in word or match[0].endswith((" a", " i")) or _is_denied(text, *match.span()):
            continue
        place = int(match["n1"] or match["n2"])
        found = _misplaced(text, word, match["letter"], [place])
        yield Remark("letters", match.start(), match.end(), found and f"letter {place} is {_letter(word, place)}")


def _letter(word: str, place: int) -> str:
    return word[place - 1] if 0 < place <= len(word) else "none"


_ROW = re.compile(r"^[ \t]*[-*(]?[ \t]*(\d{1,3})[ \t]*(?:\.|\)|:|=|-|->|→)[ \t]*[\"'`*]{0,4}([^\W\d_])\b", re.MULTILINE)


def _listed(text: str, word: str) -> Iterator[Remark]:
    """Lines `1. s`, `2. t`, …: three at least, counting up by one."""
    rows = list(_ROW.finditer(text))
    for at, match in enumerate(rows):
        neighbours = [other for other in rows[max(0, at - 2) : at + 3] if abs(other.start() - match.start()) < 200]
        if len({int(other[1]) for other in neighbours}) < 3 or not 0 <= int(match[1]) <= len(word) + 1:
            continue
        place = int(match[1])
        found = _misplaced(text, word, match[2], [place])
        yield Remark("letters", match.start(), match.end(), found and f"letter {place} is {_letter(word, place)}")


_WORDS = [word for word, number in NUMBER_WORDS.items() if number <= 16]
_COUNT = rf"(?P<count>\d{{1,3}}|{'|'.join(_WORDS)}|no)"
_LENGTH = re.compile(
    rf"\b(?:(?:an?|the|this|that|its)\s+{_COUNT}[- ]letter\s+word"
    rf"|(?:word|it)\s+(?:has|is|contains)\s+{_COUNT.replace('count', 'other')}\s+letters)\b"
    r"(?!\s+(?:in common|left|that|which))"
)


def _lengths(text: str, word: str) -> Iterator[Remark]:
    for match in _LENGTH.finditer(text):
        if _is_denied(text, *match.span()):
            continue
        count = _number(match["count"] or match["other"])
        yield Remark("count", match.start(), match.end(), "" if count == len(word) else f"it has {len(word)} letters")


_COUNTS = re.compile(
    rf"\b(?:(?:there\s+(?:are|is)|contains?|has|have|a\s+total\s+of|in\s+total)\s+(?:exactly\s+)?{_COUNT}\s+(?:letters?\s+)?"
    r"[\"'“‘`*]{0,4}(?P<letter>[^\W\d_])[\"'”’`*]{0,4}(?:['’]?s)?[\"'”’`*]{0,4}"
    rf"|letter\s+[\"'“‘`*]{{0,4}}(?P<of>[^\W\d_])[\"'”’`*]{{0,4}}\s+(?:appears|occurs)\s+(?:exactly\s+)?"
    rf"{_COUNT.replace('count', 'times')}\s+times?)"
    r"(?![\w'’])(?:\s+in\s+(?:the\s+word\s+)?[\"'“‘`*]{0,4}(?P<where>[^\W\d_]+))?"
)
_RUNNING = re.compile(r"\b(?:so far|another|more|already|first|second|half|part|now|until|up to|between|end)\b")


def _counts(text: str, word: str) -> Iterator[Remark]:
    for match in _COUNTS.finditer(text):
        letter, count = match["letter"] or match["of"], _number(match["count"] or match["times"])
        where = match["where"] or _subject(text, match) or word
        around = text[max(0, match.start() - 60) : match.end() + 30]
        if letter not in word or _RUNNING.search(around) or _is_denied(text, *match.span()):
            continue
        whole = where == word or where in ("it", "the", "this", "total", "all")
        if not whole and where not in word:
            continue
        there = (word if whole else where).count(letter)
        yield Remark("count", match.start(), match.end(), "" if there == count else f"it has {there}")


def _subject(text: str, match: re.Match[str]) -> str:
    """What "has" or "contains" speaks of, when that is another word than "it" or "the word"."""
    if not match[0].startswith(("has", "have", "contain")):
        return ""
    before_it = text[max(0, match.start() - 60) : match.start()]
    before = re.search(r"([^\W\d_]+(?:-[^\W\d_]+)*)[\"'”’`*]{0,4}\s+$", before_it)
    subject = before[1].replace("-", "") if before else ""
    return "" if subject in ("it", "word", "which", "and", "that", "therefore", "also") else subject or "?"


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0 if text == "no" else NUMBER_WORDS[text]


_DENIED = re.compile(
    r"\b(?:not|no(?! \w['’]?s)|n't|if|would|might|maybe|claims?|says?|said|wrong|instead"
    r"|whether|think|thought|wonder)\b|n't\b"
)


def _is_denied(text: str, start: int, end: int) -> bool:
    """Does its sentence deny, ask or only suppose it?"""
    before = re.split(r"[.!?\n]", text[max(0, start - 80) : start])[-1]
    after = re.match(r"[^.!?\n]{0,80}[?]?", text[end:])
    return bool(_DENIED.search(before) or (after and after[0].endswith("?")))
