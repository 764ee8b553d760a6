"""Texts as arrays, which is what makes the measures that compare a text with itself quick. No measure itself.

A piece is a run of letters and digits, or a run of signs; blanks are no pieces, and case is folded. What stands behind
the 16th byte of a run (a script without blanks, a row of zeros) is a piece byte by byte, so that a loop is seen there.
Pieces and grams are known by 32-bit codes: of a text of 100,000 pieces about one gram is taken for another.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Codes = NDArray[np.uint32]

_RUN = 16  # bytes of a run that are one piece
_BLANK, _SIGN, _LETTER = 0, 1, 2

_KIND = bytes(_LETTER if byte >= 128 or chr(byte).isalnum() else _SIGN if 32 < byte < 127 else _BLANK
              for byte in range(256))
_MASK = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)
_MIX, _STIR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_BASE = 0x9E3779B1
_PLACE = np.uint64((1 << 32) - 1)


class Words(NamedTuple):
    """The pieces of a text: where they begin and end in `folded` (bytes, UTF-8), and their codes."""

    folded: bytes
    starts: Ints
    ends: Ints
    codes: Codes
    blank_separated: int
    """How many words there are between blanks."""


class _Reading:
    """Several texts as arrays at once: of a short text, numpy's calls would cost more than what they do."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.encoded = [encoded(text) for text in texts]
        raw = b"\n".join(self.encoded)
        kinds = np.frombuffer(bytearray((b" " + raw + b" ").translate(_KIND)), np.uint8)
        if b"\xe2" in raw:
            _mark_signs(raw, kinds[1:-1])
        turns, inked = kinds[1:] != kinds[:-1], kinds.astype(bool)
        self._words = turns & ~inked[:-1]  # where one begins that stands between blanks
        starts, ends = (turns & inked[1:]).nonzero()[0], (turns & inked[:-1]).nonzero()[0]
        self._folded = raw.lower()
        self._starts, self._ends = _cut(starts, ends)
        self._codes = _codes(self._folded, self._starts, self._ends - self._starts)
        self._places = [0, *accumulate(len(one) + 1 for one in self.encoded)]
        self._bounds: list[int] = np.searchsorted(self._starts, self._places).tolist()
        self._grams: dict[int, Codes] = {1: self._codes}

    def words(self, index: int) -> Words:
        mine = slice(self._bounds[index], self._bounds[index + 1])
        words = np.count_nonzero(self._words[self._places[index]:self._places[index + 1]])
        return Words(self._folded, self._starts[mine], self._ends[mine], self._codes[mine], int(words))

    def grams(self, index: int, n: int) -> Codes:
        if n not in self._grams:
            self._grams[n] = _grams(self._codes, n)
        first, behind = self._bounds[index], self._bounds[index + 1]
        return self._grams[n][first:max(first, behind - n + 1)]


_prepared: dict[str, tuple[_Reading, int]] = {}


def prepare(texts: Sequence[str]) -> None:
    """Read texts together whose measures will be asked for next; 100,000 characters or so, which stay in the cache."""
    reading = _Reading(texts)
    _prepared.clear()
    _prepared.update((text, (reading, index)) for index, text in enumerate(texts))


@lru_cache(maxsize=2)  # the measures of one trace follow each other, and each would do the same again
def encoded(text: str) -> bytes:
    reading, index = _prepared.get(text, (None, 0))
    return reading.encoded[index] if reading else text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=2)
def _read(text: str) -> tuple[_Reading, int]:
    return _prepared.get(text) or (_Reading([text]), 0)


@lru_cache(maxsize=2)
def split(text: str) -> Words:
    reading, index = _read(text)
    return reading.words(index)


def _mark_signs(raw: bytes, kinds: NDArray[np.uint8]) -> None:
    """Makes signs of U+2000 to U+2FFF: quotation marks, dashes, operators, three bytes each."""
    at = (np.frombuffer(raw, np.uint8) == 0xE2).nonzero()[0]
    kinds[at], kinds[at + 1], kinds[at + 2] = _SIGN, _SIGN, _SIGN


def _cut(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Runs longer than `_RUN` bytes, cut into their head and single bytes."""
    long = (ends - starts > _RUN).nonzero()[0]
    if not len(long):
        return starts, ends
    more = ends[long] - starts[long] - _RUN
    single = np.repeat(ends[long] - np.cumsum(more), more) + np.arange(int(more.sum()))
    behind = np.repeat(long + 1, more)
    ends[long] -= more
    return np.insert(starts, behind, single), np.insert(ends, behind, single + 1)


def _codes(folded: bytes, starts: Ints, sizes: Ints) -> Codes:
    eights = np.ndarray((len(folded) + 9,), dtype="<u8", buffer=folded + bytes(16), strides=(1,))
    codes: NDArray[np.uint64] = eights.take(starts, mode="clip")  # they are all there, and a check would cost
    codes &= _MASK.take(sizes, mode="clip")
    codes *= _MIX
    if (long := (sizes > 8).nonzero()[0]).size:
        codes[long] ^= (eights[starts[long] + 8] & _MASK[sizes[long] - 8]) * _STIR
    return codes.view(np.uint32)[1::2].copy()  # the upper halves, which every byte has a part in


def _grams(codes: Codes, n: int) -> Codes:
    found, size = codes, 1
    for bit in f"{n:b}"[1:]:  # a polynomial of the codes, by doubling: 8 takes three rounds
        found = _chained(found, size, found[size:])
        size *= 2
        if bit == "1":
            found = _chained(found, 1, codes[size:])
            size += 1
    found = found ^ (found >> np.uint32(15))
    found *= np.uint32(_BASE)
    return found


def _chained(first: Codes, size: int, second: Codes) -> Codes:
    found = first[:-size] * np.uint32(pow(_BASE, size, 1 << 32))
    found += second
    return found


def grams(text: str, n: int) -> Codes:
    """One code for every `n` pieces that follow each other."""
    reading, index = _read(text)
    return reading.grams(index, n)


class Repeats(NamedTuple):
    """The grams of a text that stood there before: their places, and how many pieces before it was. `of`: all grams."""

    places: Ints
    back: Ints
    of: int


@lru_cache(maxsize=2)
def repeats(text: str, n: int) -> Repeats:
    # Code and place in one number: one sort brings equal grams together, in order.
    codes = grams(text, n)
    found = np.arange(len(codes), dtype=np.uint64)
    found.view(np.uint32)[1::2] = codes
    found.sort()
    again = ((found[1:] ^ found[:-1]) <= _PLACE).nonzero()[0]
    places = (found[again + 1] & _PLACE).astype(np.int64)
    return Repeats(places, places - (found[again] & _PLACE).astype(np.int64), len(found))


TOP = np.uint32(16)
"""What a code is shifted by to look it up in a table of 2¹⁶."""


_anchors = np.zeros(1 << 16, np.uint8)  # by the code's first bits, a bit for each spotter


@lru_cache(maxsize=2)
def _anchored(text: str) -> tuple[Ints, NDArray[np.uint8]]:
    """Which pieces are an anchor of a spotter, and of which ones."""
    found = _anchors.take(split(text).codes >> TOP, mode="clip")
    places = found.nonzero()[0]
    return places, found[places]


class Spotter:
    """Counts a pattern of bytes (of folded text) that can only begin at one of the `anchors`, which are words.

    All spotters (eight at most) share one look at the text; the pattern tells off what only looks like an anchor.
    """

    _made = 0

    def __init__(self, anchors: str, pattern: str) -> None:
        self._pattern: re.Pattern[bytes] = re.compile(pattern.encode(), re.VERBOSE)
        self._bit = np.uint8(1 << Spotter._made)
        Spotter._made += 1
        _anchors[split(anchors).codes >> TOP] |= self._bit
        _anchored.cache_clear()

    def count(self, text: str) -> int:
        words, match = split(text), self._pattern.match
        places, of = _anchored(text)
        likely = places[(of & self._bit).nonzero()[0]]
        return len([1 for place in words.starts.take(likely).tolist() if match(words.folded, place)])
