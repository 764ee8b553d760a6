"""Texts as arrays, which is what makes the measures that compare a text with itself quick. No measure itself.

A piece is a run of letters and digits, or a run of signs; blanks are no pieces, and case is folded. What stands behind
the 16th byte of a run (a script without blanks, a row of zeros) is a piece byte by byte, so that a loop is seen there.
Pieces and grams are known by 32-bit codes: of a text of 100,000 pieces about one gram is taken for another.
"""

import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
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
_FOLD = bytes(range(256)).lower()  # half of what `lower` takes
_MASK = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)
_MIX, _STIR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_BASE = 0x9E3779B1
PLACE = np.uint64((1 << 32) - 1)


class Words(NamedTuple):
    """The pieces of a text: where they begin and end in `folded` (bytes, UTF-8), and their codes."""

    folded: bytes
    starts: Ints
    ends: Ints
    codes: Codes
    blank_separated: int
    """How many words there are between blanks."""


class Reading:
    """Several texts as arrays at once: of a short text, numpy's calls would cost more than what they do."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        raw = b"\n".join(self.encoded)
        kinds = np.frombuffer(bytearray((b" " + raw + b" ").translate(_KIND)), np.uint8)
        if b"\xe2" in raw:
            _mark_signs(raw, kinds[1:-1])
        turns, inked = kinds[1:] != kinds[:-1], kinds.astype(bool)
        self._words = turns & ~inked[:-1]  # where one begins that stands between blanks
        starts, ends = (turns & inked[1:]).nonzero()[0], (turns & inked[:-1]).nonzero()[0]
        self.folded = raw.translate(_FOLD)
        self.starts, self.ends = _cut(starts, ends)
        self.codes = _codes(self.folded, self.starts, self.ends - self.starts)
        self.places = [0, *accumulate(len(one) + 1 for one in self.encoded)]
        """Where each text begins in `folded`, and one place more."""
        self.bounds: list[int] = np.searchsorted(self.starts, self.places).tolist()
        """The number of each text's first piece, and one number more."""
        self._grams: dict[int, Codes] = {1: self.codes}
        self._ordered: dict[int, NDArray[np.uint64]] = {}
        self._again: dict[int, Again] = {}
        self.spotted: dict[object, list[int]] = {}

    @cached_property
    def blank_separated(self) -> list[int]:
        """How many words each text has between blanks."""
        begins = np.searchsorted(self._words.nonzero()[0], self.places)
        found: list[int] = np.diff(begins).tolist()
        return found

    def words(self, index: int) -> Words:
        mine = slice(self.bounds[index], self.bounds[index + 1])
        return Words(self.folded, self.starts[mine], self.ends[mine], self.codes[mine], self.blank_separated[index])

    def grams(self, index: int, n: int) -> Codes:
        """One code for every `n` pieces of a text that follow each other."""
        first, behind = self.range(index, n)
        return self._every_gram(n)[first:behind]

    def range(self, index: int, n: int) -> tuple[int, int]:
        """The pieces of a text at which a gram begins: the first, and the one behind the last."""
        first, behind = self.bounds[index], self.bounds[index + 1]
        return first, max(first, behind - n + 1)

    def _every_gram(self, n: int) -> Codes:
        if n not in self._grams:
            self._grams[n] = _grams(self.codes, n)
        return self._grams[n]

    def ordered(self, n: int) -> NDArray[np.uint64]:
        """Each gram's code and, in the lower 32 bits, its place: one sort brings equal grams together, in order.

        Grams that reach over the end of a text are among them.
        """
        if n not in self._ordered:
            codes = self._every_gram(n)
            found = np.arange(len(codes), dtype=np.uint64)
            found.view(np.uint32)[1::2] = codes
            found.sort()
            self._ordered[n] = found
        return self._ordered[n]

    def again(self, n: int) -> "Again":
        if n not in self._again:
            self._again[n] = _again(self, n)
        return self._again[n]


class Again(NamedTuple):
    """Grams that stood in their text before. `back`: by place, how many pieces before it was, 0 for what is new.
    `counts`: how many there are in each text."""

    back: NDArray[np.int32]
    counts: list[int]


def _again(reading: Reading, n: int) -> Again:
    ordered, bounds = reading.ordered(n), np.array(reading.bounds)
    same = ((ordered[1:] ^ ordered[:-1]) <= PLACE).nonzero()[0]
    places = (ordered.take(same + 1) & PLACE).astype(np.int64)
    before = (ordered.take(same) & PLACE).astype(np.int64)
    text = np.searchsorted(bounds, places, "right")  # one more than its index
    inside = (before >= bounds.take(text - 1)) & (places + n <= bounds.take(text, mode="clip"))
    places, text = places[inside], text[inside]
    back = np.zeros(len(reading.codes), np.int32)
    back[places] = places - before[inside]
    return Again(back, np.bincount(text, minlength=len(bounds) + 1)[1:].tolist())


_prepared: dict[str, tuple[Reading, int]] = {}


def prepare(texts: Sequence[str]) -> None:
    """Read texts together whose measures will be asked for next; 100,000 characters or so, which stay in the cache."""
    reading = Reading(texts)
    _prepared.clear()
    _prepared.update((text, (reading, index)) for index, text in enumerate(texts))


@lru_cache(maxsize=2)  # the measures of one trace follow each other, and each would do the same again
def read(text: str) -> tuple[Reading, int]:
    """Where `text` was read: the reading, and its number there."""
    return _prepared.get(text) or (Reading([text]), 0)


@lru_cache(maxsize=2)
def encoded(text: str) -> bytes:
    reading, index = _prepared.get(text, (None, 0))
    return reading.encoded[index] if reading else text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=2)
def split(text: str) -> Words:
    reading, index = read(text)
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
    reading, index = read(text)
    return reading.grams(index, n)


def pieces_between(whole: str, part: str, ends: Sequence[int]) -> list[int]:
    """How many pieces `part` has up to each of its places `ends`, each counted from the one before.

    Where `part` stands in `whole`, the reading of that is used, which is there already.
    """
    at = whole.find(part[:_HEAD])
    if at < 0 or not whole.startswith(part, at):
        whole, at = part, 0
    reading, index = read(whole)
    begin = reading.places[index]
    places = [begin + _bytes(whole, at + end) for end in (0, *ends)]
    found = np.searchsorted(reading.starts, places)
    if at and found[0] and reading.ends[found[0] - 1] > places[0]:  # it begins amid a run, of which it has the rest
        found[0] -= 1
    sizes: list[int] = np.diff(found).tolist()
    return sizes


_HEAD = 64  # characters by which a part is found


def _bytes(text: str, end: int) -> int:
    """Bytes of the first `end` characters."""
    return end if text.isascii() else len(text[:end].encode("utf-8", "surrogatepass"))


TOP = np.uint32(16)
"""What a code is shifted by to look it up in a table of 2¹⁶."""


_anchors = np.zeros(1 << 16, np.uint8)  # by the code's first bits, a bit for each spotter


@lru_cache(maxsize=2)
def _anchored(reading: Reading) -> tuple[Ints, NDArray[np.uint8]]:
    """Which pieces are an anchor of a spotter, and of which ones."""
    found = _anchors.take(reading.codes >> TOP, mode="clip")
    places = (found != 0).nonzero()[0]  # of booleans, which is quick
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
        reading, index = read(text)
        if self not in reading.spotted:
            reading.spotted[self] = self._counts(reading)
        return reading.spotted[self][index]

    def _counts(self, reading: Reading) -> list[int]:
        """How often it stands in each text."""
        folded, match = reading.folded, self._pattern.match
        places, of = _anchored(reading)
        likely = reading.starts.take(places[(of & self._bit).nonzero()[0]]).tolist()
        found = [place for place in likely if match(folded, place)]
        return np.diff(np.searchsorted(found, reading.places)).tolist() if found else [0] * len(reading.encoded)
