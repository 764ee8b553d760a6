"""Problems that say the same in other words: alike in their content words, and with the same numbers in one order.

A model that rewords a problem keeps its numbers, and a problem of the same kind has others. So the cosine of the
content words (TF-IDF; the first letters stand for the stem) is tempered by the longest common subsequence of the
numbers: (cosine * order ** 3) ** (1/4). `benchmarks/decontam.py` shows the curve, and what the cosine alone is worth.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from factory.grams import fold
from factory.overlap import Hit

STEM, POWER, DOUBT, TOP, LONGEST = 5, 3, 2, 5, 64
"""Letters of a stem; weight of the numbers; so many numbers are lacking as evidence at the start; texts of the
benchmark that are looked at for each text, by cosine; numbers of a text that are compared."""

WORDS = """a an the of to in on at for and or is are was were be been has have had he she it they his her their its
this that these those with from by as if then than how many much what does do did will would can could each every per
all total number there into out up who which when where some more most not no so but also only"""
STOP = frozenset(WORDS.split())
COUNTED = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty"""
SPELLED = {word: str(value) for value, word in enumerate(COUNTED.split())} | {
    "half": "1/2", "quarter": "1/4", "once": "1", "first": "1", "twice": "2", "double": "2", "doubled": "2",
    "both": "2", "couple": "2", "second": "2", "thrice": "3", "triple": "3", "tripled": "3", "third": "3",
    "dozen": "12", "thirty": "30", "forty": "40", "fifty": "50", "hundred": "100"}


def features(text: str) -> tuple[list[str], list[str]]:
    """The stems of the content words of `text`, and its numbers in order, those in words included."""
    stems: list[str] = []
    found: list[str] = []
    for word in re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", fold(text).lower().replace(",", "")):
        if word[0].isdecimal():
            found.append(word.rstrip("0").rstrip(".") if "." in word else word)
        elif word in SPELLED:
            found.append(SPELLED[word])
        elif word not in STOP:
            stems.append(word[:STEM])
    return stems, found


class Tfidf:
    """Texts as the keys that occur in them, each weighed by how rare it is among them; ready for cosines."""

    def __init__(self, each: Sequence[Sequence[str]]) -> None:
        self.size = len(each)
        seen = Counter(key for keys in each for key in set(keys))
        self._rarity = {key: math.log((self.size + 1) / (count + 0.5)) for key, count in seen.items()}
        self._postings = self._inverted(each)

    def weigh(self, key: str) -> float:
        return self._rarity.get(key) or math.log((self.size + 1) / 0.5)

    def _vector(self, keys: Sequence[str]) -> dict[str, float]:
        weights = {key: self.weigh(key) * (1 + math.log(n)) for key, n in Counter(keys).items()}
        length = math.sqrt(sum(w * w for w in weights.values())) or 1.0
        return {key: weight / length for key, weight in weights.items()}

    def _inverted(self, each: Sequence[Sequence[str]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        lists: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for index, keys in enumerate(each):
            for key, weight in self._vector(keys).items():
                lists[key].append((index, weight))
        return {key: (np.array([i for i, _ in found]), np.array([w for _, w in found], np.float32))
                for key, found in lists.items()}

    def cosines(self, keys: Sequence[str]) -> np.ndarray:
        """Of a text with these keys and each of the texts here."""
        scores = np.zeros(self.size, np.float32)
        for key, weight in self._vector(keys).items():
            if key in self._postings:
                where, weights = self._postings[key]
                scores[where] += weight * weights
        return scores


class Paraphrases:
    """The texts of a benchmark, ready to be compared with."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._each = [features(text) for text in texts]
        self._stems = Tfidf([stems for stems, _ in self._each])
        self._numbers = Tfidf([found for _, found in self._each])

    def hits(self, texts: Sequence[str], threshold: float) -> Iterator[Hit]:
        """The best hit of each text that scores `threshold` or more, in order."""
        return (hit for hit in self.best(texts, threshold) if hit.score >= threshold)

    def best(self, texts: Sequence[str], threshold: float = 0.0) -> Iterator[Hit]:
        """The nearest text of the benchmark for each text; score 0 where it cannot reach `threshold`."""
        least = threshold ** (POWER + 1)  # of the cosine, when the numbers are quite the same
        for index, text in enumerate(texts):
            stems, found = features(text)
            cosines = self._stems.cosines(stems)
            near = np.argpartition(-cosines, min(TOP, len(cosines) - 1))[:TOP]
            scored = [(self._score(float(cosines[i]), found, self._each[i][1]), -int(i))
                      for i in near if cosines[i] >= max(least, 1e-9)]
            score, other = max(scored, default=(0.0, 0))
            yield Hit(index, -other, "a paraphrase", score)

    def _score(self, cosine: float, mine: Sequence[str], theirs: Sequence[str]) -> float:
        return float((cosine * self.numbers_alike(mine, theirs) ** POWER) ** (1 / (POWER + 1)))

    def numbers_alike(self, mine: Sequence[str], theirs: Sequence[str]) -> float:
        """0 to 1: the same numbers in the same order; few of them say little."""
        both = len(mine) + len(theirs)
        return self._order(mine, theirs) * both / (both + DOUBT)

    def _order(self, mine: Sequence[str], theirs: Sequence[str]) -> float:
        """The longest common subsequence of the numbers, rare ones weighing more, as a share of both (0 to 1)."""
        mine, theirs = mine[:LONGEST], theirs[:LONGEST]
        if set(mine).isdisjoint(theirs):
            return 0.0
        weights = {key: self._numbers.weigh(key) for key in {*mine, *theirs}}
        row = [0.0] * (len(theirs) + 1)
        for key in mine:
            before, row = row, [0.0]
            for j, other in enumerate(theirs):
                row.append(before[j] + weights[key] if key == other else max(before[j + 1], row[-1]))
        return 2 * row[-1] / (_sum(weights, mine) + _sum(weights, theirs))


def _sum(weights: dict[str, float], keys: Iterable[str]) -> float:
    return sum(weights[key] for key in keys)
