r"""How much of a trace is in a script that its prompt is not written in: the share of its letters, or how many.

After the language-consistency reward of DeepSeek-R1 (2025, §2.3.2: the share of words in the target language), by
script: languages that share one are not told apart. Latin and Greek letters, mathematical alphabets and letter-like
signs are at home everywhere; so mathematics, code, names in pinyin and accents are no mixing. Where the prompt is in
another script, a run of six Latin words or more outside code and formulas is prose, and its letters count.
"""

import re
import unicodedata
from collections import Counter
from functools import cache, lru_cache
from typing import Literal

from factory.measures.words import encoded
from factory.records import Problem, Trace

VERSION = 1

_ASCII = bytes(range(128))
_NO_LETTERS = bytes(byte for byte in range(256) if byte >= 128 or not chr(byte).isalpha())
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})
_LETTERS = re.compile(  # but for Latin, Greek, signs, full-width Latin and the mathematical alphabets
    r"[^\W\d_\u0000-\u03ff\u1d00-\u1dbf\u1e00-\u2bff\u2c60-\u2c7f\ua700-\ua7ff\uab30-\uab6f\ufb00-\ufb06"
    r"\uff21-\uff5a\U0001d400-\U0001d7ff]+")
_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|\$\$?[^$]*\$\$?|\\\[.*?\\\]|\\\(.*?\\\)|\\[a-zA-Z]+|`[^`]*`", re.DOTALL)
_PROSE = re.compile(r"(?:\b[A-Za-z]{2,}\b[ ,;:'.-]{1,2}){5,}[A-Za-z]{2,}")


def language_mixing(problem: Problem, trace: Trace, *, of: Literal["share", "letters"] = "share",
                    scripts: Literal["any", "east_asian"] = "any") -> float:
    """`east_asian`: Chinese, Japanese and Korean letters only, what teachers based on Qwen or DeepSeek slip into."""
    text = trace.completion.raw
    home = _scripts(problem.prompt)
    count = sum(times for letter, times in _foreign(text).items() if _script(letter) not in home
                and (scripts == "any" or _script(letter) in _EAST_ASIAN))
    if scripts == "any" and home:
        count += sum(map(len, _PROSE.findall(_NO_PROSE.sub(" ", text))))
    if of == "letters" or not count:
        return float(count)
    return min(1.0, count / _letters(text))


def _letters(text: str) -> int:
    return len(encoded(text).translate(None, _NO_LETTERS)) + sum(
        times for letter, times in Counter(_beyond_ascii(text)).items() if letter.isalpha())


def _beyond_ascii(text: str) -> str:
    return encoded(text).translate(None, _ASCII).decode("utf-8", "surrogatepass")


def _foreign(text: str) -> Counter[str]:
    """The letters that are neither Latin nor Greek, and how often each stands there."""
    # What is left when all that is ASCII has gone is short, and so is the search in it.
    return Counter() if text.isascii() else Counter("".join(_LETTERS.findall(_beyond_ascii(text))))


@lru_cache(maxsize=1024)
def _scripts(prompt: str) -> frozenset[str]:
    found = frozenset(map(_script, _foreign(prompt)))
    return found | _EAST_ASIAN if found & _EAST_ASIAN else found  # Japanese is written in three of them


@cache
def _script(letter: str) -> str:
    """The script's name in Unicode: the first word of the letter's."""
    return unicodedata.name(letter, "?").split()[0].split("-")[0]
