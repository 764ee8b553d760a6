"""Which texts share n words in a row with a text of a benchmark, and which short ones are the same in other clothes.

The n-gram rule is that of open-r1 (8 words) and of GPT-3 and s1 (13 words). It can never flag a text of fewer than n
words, so such a text is compared as a whole: the same words, or nearly the same letters with the same numbers.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory.grams import I64, U64, Words, batches, grams, numbers, runs, spelled, stir, words

LETTERS, CONTAINED, SIMILAR_SIZE = 5, 0.8, 0.5
"""Short texts: n-grams of so many characters; so large a share of the smaller one's; sizes not more unequal."""
SPARSE = 16
"""Places in the bitmap for each n-gram: so many are answered without a search but one in SPARSE."""


class Hit(NamedTuple):
    """Text number `text` meets text number `other` of the benchmark; `score` is 0 to 1."""

    text: int
    other: int
    rule: str
    score: float


@dataclass(frozen=True)
class _Table:
    """The n-grams of the benchmark in order, with the text that each stands in; the bitmap rules most others out."""

    keys: U64
    owners: I64
    bitmap: NDArray[np.bool_]
    second: NDArray[np.bool_]
    shift: np.uint64

    @classmethod
    def of(cls, found: Words) -> "_Table":
        owners = np.repeat(np.arange(len(found.counts)), found.counts)
        keys = found.hashes
        order = np.argsort(keys, kind="stable")
        bits = max(10, int(len(keys) * SPARSE).bit_length())
        bitmap, second = np.zeros((2, 1 << bits), np.bool_)
        shift = np.uint64(64 - bits)
        bitmap[keys >> shift] = second[stir(keys) >> shift] = True
        return cls(keys[order], owners[order], bitmap, second, shift)

    def has(self, hashes: U64) -> NDArray[np.bool_]:
        """Which of them are there, but for one stranger in SPARSE."""
        found: NDArray[np.bool_] = self.bitmap[hashes >> self.shift]
        return found

    def find(self, hashes: U64) -> tuple[I64, I64]:
        """(position in `hashes`, owner) for every occurrence."""
        there = np.flatnonzero(self.has(hashes))
        there = there[self.second[stir(hashes[there]) >> self.shift]]  # a search costs more than a second bitmap
        left = np.searchsorted(self.keys, hashes[there])
        same = self.keys[left.clip(max=len(self.keys) - 1)] == hashes[there] if len(self.keys) else left < 0
        there, left = there[same], left[same]
        sizes = np.searchsorted(self.keys, hashes[there], "right") - left
        first = np.repeat(left - np.cumsum(sizes) + sizes, sizes)
        return np.repeat(there, sizes), self.owners[first + np.arange(len(first))]


class Overlap:
    """The texts of a benchmark, ready to be looked for. `n`: words in a row; `besides`: what else has to be so of a
    text and the one here that it meets.
    """

    def __init__(self, texts: Sequence[str], n: int, besides: Callable[[str, str], bool] | None = None) -> None:
        self.texts, self.n, self.besides = texts, n, besides
        found = words(texts)
        self._counts = found.counts
        self._table = _Table.of(grams(found, n))
        self._short: dict[tuple[str, ...], list[int]] = defaultdict(list)
        short = np.flatnonzero((self._counts > 0) & (self._counts < 2 * n)).tolist()
        for index in short:
            self._short[numbers(texts[index])].append(index)
        self._pairs = _Table.of(grams(words([texts[index] for index in short]), 2))

    def hits(self, texts: Sequence[str]) -> Iterator[Hit]:
        """The best hit of each text that has one, in order."""
        before = 0
        for batch in batches(texts):
            for hit in self._batch(batch):
                yield hit._replace(text=hit.text + before)
            before += len(batch)

    def _batch(self, texts: Sequence[str]) -> list[Hit]:
        found = words(texts)
        counts = found.counts
        best = self._shared(texts, found, counts)
        for index in self._maybe_short(found, counts).tolist():
            if index not in best and (hit := self._short_hit(index, texts[index], int(counts[index]))):
                best[index] = hit
        return [best[index] for index in sorted(best)]

    def _shared(self, texts: Sequence[str], found: Words, counts: I64) -> dict[int, Hit]:
        position, owner = self._table.find(runs(found.hashes, self.n))
        text = np.searchsorted(found.bounds, position, "right") - 1
        inside = position + self.n <= found.bounds[text + 1]
        pairs, times = np.unique(text[inside] * len(self.texts) + owner[inside], return_counts=True)
        best: dict[int, Hit] = {}
        for pair, count in zip(pairs.tolist(), times.tolist(), strict=True):
            index, other = divmod(pair, len(self.texts))
            whole = min(int(counts[index]), int(self._counts[other])) - self.n + 1
            hit = Hit(index, other, f"{self.n} words", min(1.0, count / whole))
            if (index not in best or hit.score > best[index].score) and (
                    self.besides is None or self.besides(texts[index], self.texts[other])):
                best[index] = hit
        return best

    def _maybe_short(self, found: Words, counts: I64) -> I64:
        """Texts of fewer than 2n words in which nearly half of the pairs of words are those of short texts here."""
        few = np.flatnonzero((counts > 0) & (counts < 2 * self.n))
        if not self._short or not len(few):
            return few[:0]
        known = np.cumsum(np.concatenate([[False], self._pairs.has(runs(found.hashes, 2))]))
        first, pairs = found.bounds[few], counts[few] - 1
        maybe: I64 = few[known[first + pairs] - known[first] >= 0.4 * pairs]
        return maybe

    def _short_hit(self, index: int, text: str, count: int) -> Hit | None:
        best = None
        for other in self._short.get(numbers(text), ()):
            if min(count, self._counts[other]) >= self.n:
                continue
            if spelled(text) == spelled(self.texts[other]):
                return Hit(index, other, "the same words", 1.0)
            mine, theirs = _letters(text), _letters(self.texts[other])
            small, large = sorted((len(mine), len(theirs)))
            score = len(mine & theirs) / max(1, small)
            if small >= SIMILAR_SIZE * large and score >= max(CONTAINED, best.score if best else 0):
                best = Hit(index, other, "nearly the same letters", score)
        return best


def _letters(text: str) -> set[str]:
    squeezed = "".join(spelled(text))
    return {squeezed[i:i + LETTERS] for i in range(max(1, len(squeezed) - LETTERS + 1))}


def shared(a: str, b: str) -> list[str]:
    """The longest run of words that two texts have in common."""
    mine, theirs = spelled(a), spelled(b)
    before = [0] * (len(theirs) + 1)
    longest, end = 0, 0
    for i, word in enumerate(mine, 1):
        row = [0] * (len(theirs) + 1)
        for j, other in enumerate(theirs):
            if word == other:
                row[j + 1] = before[j] + 1
                if row[j + 1] > longest:
                    longest, end = row[j + 1], i
        before = row
    return mine[end - longest:end]
