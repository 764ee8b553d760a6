"""How often is a letter in a word? The reference is the count, or `{"word": "strawberry", "letter": "r"}`.

From the second form the truth is counted here, capitals and small letters alike. The answer may be in digits or in
English words, also inside a sentence ("there are three r's"); one that names several counts is undecided.
"""

import re
import unicodedata
from typing import Any

from verifiers.answers import boxes, final_answer
from verifiers.json_equal import read
from verifiers.normal_form import tidy
from verifiers.verdict import Verdict
from verifiers.vocabulary import NUMBER_WORDS

VERSION = 1

CHARACTERS = 500  # of a final answer


def letter_count(response: str, reference: str) -> Verdict:
    """Compare counts; undecided when either side has none."""
    answer = final_answer(response)
    if answer is None:
        return Verdict("undecided", reason="no final answer found")
    word, truth = _truth(reference)
    if truth is None:
        return Verdict("undecided", answer.text, 'the reference is neither a count nor {"word": …, "letter": one}')
    count = _count(answer.text, word)
    if count is None:
        return Verdict("undecided", answer.text, "the final answer does not name one count")
    return Verdict("correct" if count == truth else "wrong", str(count), answer.note)


def own_answer(reference: str) -> str:
    """A response that is right by the reference itself. ValueError when it is malformed."""
    _, truth = _truth(reference)
    if truth is None:
        raise ValueError('it is neither a count nor {"word": …, "letter": one}')
    return f"\\boxed{{{truth}}}"


def _truth(reference: str) -> tuple[str, int | None]:
    """The word, where it is known, and how often the letter is in it."""
    try:
        given: Any = read(reference)
    except ValueError:
        return "", _count((boxes(reference[:CHARACTERS]) or [reference])[-1], "")
    if not isinstance(given, dict):
        return "", given if type(given) is int and given >= 0 else None
    word, letter = given.get("word"), given.get("letter")
    if not isinstance(word, str) or not isinstance(letter, str) or len(_plain(letter)) != 1:
        return "", None
    return _plain(word), _plain(word).count(_plain(letter))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


_ONES = [word for word, number in NUMBER_WORDS.items() if 0 < number < 10]
_TENS = {word: number for word, number in NUMBER_WORDS.items() if number >= 20}
_WORDS = {word: n for word, n in NUMBER_WORDS.items() if n < 20} | {"once": 1, "twice": 2, "thrice": 3}
_NUMBER = re.compile(
    rf"(?<![\w.,/-])[0-9]{{1,9}}(?![\w/]|[.,]\d|-letter)|\b({'|'.join(_TENS)})(?:[- ]({'|'.join(_ONES)}))?\b"
    rf"|\b(?:{'|'.join(_WORDS)})\b"
)
# What stands there beside the count: positions in brackets, the word itself, a sum before its result.
_BESIDE = re.compile(r"\([^()]*\)|\"[^\"]*\"|“[^”]*”|^.*=", re.DOTALL)


_ABSENT = re.compile(
    r"\bno\s+(?:\W?[^\W\d]\W{0,2}s?(?=\s+(?:in|at)\b|\W*$)|(?:letters?|occurrences?|instances?)\b)|\bnone of\b"
)


def _count(text: str, word: str) -> int | None:
    """The only count that a final answer names, or None."""
    if len(text) > CHARACTERS:
        return None
    plain = _plain(tidy(text))
    if word:
        plain = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", " ", plain)
    plain = _BESIDE.sub(" ", plain) if _NUMBER.search(_BESIDE.sub(" ", plain)) else plain
    counts = {_value(number) for number in _NUMBER.finditer(plain)}
    if not counts and _ABSENT.search(plain):
        return 0
    return counts.pop() if len(counts) == 1 else None


def _value(number: re.Match[str]) -> int:
    if number[1]:
        return _TENS[number[1]] + _WORDS.get(number[2] or "zero", 0)
    return _WORDS[number[0]] if number[0] in _WORDS else int(number[0])
