"""Programming problems that say the same in other words and with other code and numbers.

A model that rewords a program renames everything, changes the examples and writes the loops otherwise; what stays is
the task's description and the shape of the code. So the cosine of the words in docstrings and comments is tempered by
that of the code's structure (three tokens in a row, names and numbers blanked), and raised where the numbers are the
same. `benchmarks/decontam.py` shows what it finds; Python only.
"""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from factory.overlap import Hit
from factory.paraphrase import STEM, STOP, Paraphrases, Tfidf, features

LEAST, NUMBERS, SCALE, TOP = 0.01, 2, 0.46, 20
"""Structure in common that counts at least; what equal numbers raise the score by; the power that makes 0.55 of the
score with one false alarm in a hundred; texts of the benchmark that are looked at for each text."""

_CODE = re.compile(r"\bdef \w+\s*\(")
_TOLD = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'|#([^\n]*)', re.DOTALL)
_EXAMPLE = re.compile(r">>>[^\n]*\n[^\n]*")
_TOKEN = re.compile(r"[A-Za-z_]\w*|\d+|[^\w\s]")
_WORDS = """def return for in if else elif while not and or is none true false import from typing list int str float
bool dict tuple optional any self pass range len append lambda continue break try except raise class with as assert
print type List Dict Tuple Optional Any None True False"""
_KEPT = frozenset(_WORDS.split())
"""Names that are the language's own: part of the structure, and no words of a description."""


def is_code(text: str) -> bool:
    return _CODE.search(text) is not None


def told(text: str) -> list[str]:
    """The stems of the words in docstrings and comments, without the examples; of all words where there is neither."""
    inside = " ".join(part for found in _TOLD.findall(text) for part in found) or text
    words = (word.lower() for word in re.findall(r"[A-Za-z]{2,}", re.sub(
        r"(?<=[a-z])(?=[A-Z])", " ", _EXAMPLE.sub(" ", inside))))
    return [word[:STEM] for word in words if word not in STOP and word not in _KEPT]


def structure(text: str) -> list[str]:
    """Three tokens in a row of what is no docstring or comment: `v` for any name, `n` for any number."""
    tokens = [token if token in _KEPT or not re.match(r"\w", token) else "n" if token[0].isdigit() else "v"
              for token in _TOKEN.findall(_TOLD.sub("", text))]
    return [" ".join(tokens[i:i + 3]) for i in range(len(tokens) - 2)]


class CodeParaphrases:
    """The texts of a benchmark that hold code, ready to be compared with."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._places = [index for index, text in enumerate(texts) if is_code(text)]
        mine = [texts[index] for index in self._places]
        self._told, self._structure = Tfidf([told(text) for text in mine]), Tfidf([structure(text) for text in mine])
        self._numbers, self._alike = [features(text)[1] for text in mine], Paraphrases(mine).numbers_alike

    def best(self, texts: Sequence[str]) -> Iterator[Hit]:
        """The nearest text of the benchmark for each text; score 0 for one that holds no code."""
        for index, text in enumerate(texts):
            score, place = self._nearest(text) if self._places and is_code(text) else (0.0, 0)
            yield Hit(index, self._places[place] if score else 0, "a paraphrase of code", min(1.0, score))

    def _nearest(self, text: str) -> tuple[float, int]:
        base = self._told.cosines(told(text)) * np.sqrt(self._structure.cosines(structure(text)).clip(LEAST))
        found = features(text)[1]
        near = np.argsort(-base, kind="stable")[:TOP].tolist()
        score, place = max((float(base[i]) * (1 + NUMBERS * self._alike(found, self._numbers[i])), -i) for i in near)
        return math.pow(score, SCALE), -place
