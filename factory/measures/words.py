"""Texts as arrays, which is what makes the measures that compare a text with itself quick. No measure itself.

A piece is a run of letters and digits, or a run of signs; blanks are no pieces, and case is folded. What stands behind
the 16th byte of a run (a script without blanks, a row of zeros) is a piece byte by byte, so that a loop is seen there.
Pieces and grams are known by 32-bit codes: of a text of 100,000 pieces about one gram is taken for another.
"""

import re
from functools import lru_cache
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


@lru_cache(maxsize=4)  # the measures of one trace follow each other, and each would do the same again
def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4)
def split(text: str) -> Words:
    raw = encoded(text)
    folded = raw.lower()
    kinds = np.frombuffer(bytearray((b" " + raw + b" ").translate(_KIND)), np.uint8)
    before, here, behind = kinds[:-2], kinds[1:-1], kinds[2:]
    if b"\xe2" in raw:
        _mark_signs(raw, here)
    inked = here != _BLANK
    begins, ends = (inked & (here != before)).nonzero()[0], (inked & (here != behind)).nonzero()[0] + 1
    words = int(np.count_nonzero(before[begins] == _BLANK))
    starts, ends = _cut(begins, ends)
    return Words(folded, starts, ends, _codes(folded, starts, ends - starts), words)


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
    codes: NDArray[np.uint64] = eights[starts]
    codes &= _MASK.take(sizes, mode="clip")
    codes *= _MIX
    if (long := (sizes > 8).nonzero()[0]).size:
        codes[long] ^= (eights[starts[long] + 8] & _MASK[sizes[long] - 8]) * _STIR
    return codes.view(np.uint32)[1::2].copy()  # the upper halves, which every byte has a part in


@lru_cache(maxsize=4)
def grams(text: str, n: int) -> Codes:
    """One code for every `n` pieces that follow each other."""
    found = codes = split(text).codes
    size = 1
    for bit in f"{n:b}"[1:]:  # a polynomial of the codes, by doubling: 8 takes three rounds
        found = found[:-size] * np.uint32(pow(_BASE, size, 1 << 32)) + found[size:]
        size *= 2
        if bit == "1":
            found = found[:-1] * np.uint32(_BASE) + codes[size:]
            size += 1
    found = found ^ (found >> np.uint32(15))
    found *= np.uint32(_BASE)
    return found


class Repeats(NamedTuple):
    """The grams of a text that stood there before: their places, and how many pieces before it was. `of`: all grams."""

    places: Ints
    back: Ints
    of: int


@lru_cache(maxsize=4)
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


class Spotter:
    """Counts a pattern of bytes (of folded text) that can only begin at one of the `anchors`, which are words."""

    def __init__(self, anchors: str, pattern: str) -> None:
        self._pattern: re.Pattern[bytes] = re.compile(pattern.encode(), re.VERBOSE)
        self._table = np.zeros(1 << 16, bool)  # by the code's first bits; the pattern itself tells the others off
        self._table[split(anchors).codes >> TOP] = True

    def count(self, text: str) -> int:
        words = split(text)
        likely = words.starts[self._table[words.codes >> TOP]].tolist()
        return sum(self._pattern.match(words.folded, place) is not None for place in likely)
