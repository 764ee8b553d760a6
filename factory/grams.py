"""Texts as numbers: the words of a batch of texts and their n-grams as 64-bit hashes, in numpy and without a loop.

A word is what stands between blanks, in lower case; brackets, quotes and the marks of a sentence are blanks too, unless
they stand alone, and signs of calculation are letters. So n words of anybody who splits at blanks are n or more of
ours. Hashes are the same in every process and on every machine.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

MARKS = b".,;:!?\"'`$()[]{}"
BLANK, MARK = ord(" "), 1
LOWERED = bytes(c if c > BLANK or not c else BLANK for c in bytes(range(256)).lower())
PLAINED = bytes(MARK if c in MARKS else c for c in LOWERED)
"""What each byte becomes: letters and signs themselves, in lower case."""

FOLDED = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-", "×": "*", "·": "*",
          "\u2028": " ", "\u2029": " ", "\x85": " "}
SPIN = np.uint64(0x9E3779B97F4A7C15)
MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
STIR = np.uint64(0xD6E8FEB86659FD93)
LONG = 32
"""Bytes of a word that are hashed in numpy."""
BATCH = 1 << 17
"""Characters hashed together: so much that numpy's overhead is small, and so little that it stays in the cache."""


@dataclass(frozen=True)
class Words:
    """The words of several texts: text i has the hashes `hashes[bounds[i]:bounds[i + 1]]`."""

    hashes: U64
    bounds: I64

    @property
    def counts(self) -> I64:
        return np.diff(self.bounds)


def fold(text: str) -> str:
    """`text` with typographic signs and compatibility forms as plain ones."""
    if text.isascii():
        return text
    for sign, as_plain in FOLDED.items():  # a search for each is quicker than one `translate`
        if sign in text:
            text = text.replace(sign, as_plain)
    return text if text.isascii() or unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


def plain(text: str) -> str:
    """The normal form in which two texts are the same: without case, line breaks and typography; every sign counts."""
    return " ".join(fold(text).lower().split())


def numbers(text: str) -> tuple[str, ...]:
    """The numbers and signs of calculation in `text`, sorted: what a rewording leaves and another problem changes."""
    return tuple(sorted(re.findall(r"\d+(?:[.,]\d+)*|[-+*/=<>^%](?=\s*[\w(\\$])", fold(text))))


def words(texts: Sequence[str]) -> Words:
    """The words of each text."""
    return _words(_joined(texts, PLAINED))


def digests(texts: Sequence[str]) -> U64:
    """A number for each text, the same where the text is the same but for case, blanks and typography."""
    found = _words(_joined(texts, LOWERED))
    place = np.arange(len(found.hashes)) - np.repeat(found.bounds[:-1], found.counts)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(stir(found.hashes + stir(place.astype(np.uint64))))])
    digest: U64 = stir(sums[found.bounds[1:]] - sums[found.bounds[:-1]])
    return digest


def _words(data: bytes) -> Words:
    every = np.frombuffer(data, np.uint8)
    letters = every > BLANK
    letters[_lonely(every, letters)] = True
    changes = np.flatnonzero(letters[1:] != letters[:-1])  # the first and the last byte are none
    before = changes[::2]  # where the byte before a word is
    return Words(_hashes(data, before, changes[1::2] - before), np.searchsorted(before, np.flatnonzero(every == 0)))


def _lonely(every: NDArray[np.uint8], letters: NDArray[np.bool_]) -> I64:
    """Where a run of marks begins that stands between blanks: its first mark makes a word."""
    marks = every == MARK
    blank = ~(letters | marks)
    first = np.flatnonzero(marks[1:] & blank[:-1]) + 1
    after = first + 1
    while (more := marks[after]).any():
        after += more
    found: I64 = first[blank[after]]
    return found


def _joined(texts: Sequence[str], table: bytes) -> bytes:
    """All texts with each byte as the table says, and a NUL before, between and behind them."""
    parts = [t.encode() if t.isascii() else fold(t).lower().encode("utf-8", "surrogatepass") for t in texts]
    data = b"\0".join([b"", *parts, b""]).translate(table)
    return data if data.count(0) == len(texts) + 1 else _joined([t.replace("\0", " ") for t in texts], table)


def spelled(text: str) -> list[str]:
    """The words of one text, without lonely marks: for people, and for a second look."""
    data = _joined([text], PLAINED)[1:-1].replace(bytes([MARK]), b" ")
    return [word for word in data.decode("utf-8", "surrogatepass").split(" ") if word]


def _hashes(data: bytes, before: I64, size: I64) -> U64:
    """A hash of the `size` bytes behind each place, read eight at a time; most words have no more."""
    # The eight bytes behind every place, as one number. Not aligned, which costs little.
    eights: U64 = np.ndarray((len(data),), "<u8", data + bytes(9), offset=1, strides=(1,))
    found = _head(eights, before, size)
    more = np.flatnonzero(size > 8)
    for at in range(8, LONG, 8):
        found[more] = stir(found[more]) ^ _head(eights, before[more] + at, size[more] - at)
        more = more[size[more] > at + 8]
    for index in more.tolist():
        word = data[before[index] + 1:before[index] + 1 + size[index]]
        found[index] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
    return found


def _head(eights: U64, before: I64, size: I64) -> U64:
    """A hash of `size` bytes, eight at most."""
    head = eights.take(before, mode="clip")  # they are all there, and a check would cost
    head &= MASKS.take(size, mode="clip")
    head *= SPIN
    head ^= head >> np.uint64(32)
    return head


def stir(values: Any) -> Any:
    """The values with every bit of each depending on every other bit (a bijection)."""
    values = (values ^ (values >> np.uint64(32))) * STIR
    values = (values ^ (values >> np.uint64(32))) * STIR
    return values ^ (values >> np.uint64(32))


def runs(hashes: U64, n: int) -> U64:
    """A hash of every `n` values in a row, by doubling: H(a + b values) = H(a) * SPIN^b + H(b)."""
    doubled, width = hashes, 1
    found, done = np.empty(0, np.uint64), 0
    while width <= n:
        if n & width:
            found = doubled if not done else _chained(found, done, doubled, width)
            done += width
        if 2 * width <= n:
            doubled = _chained(doubled, width, doubled, width)
        width *= 2
    return found


def _chained(first: U64, width: int, second: U64, second_width: int) -> U64:
    size = max(0, min(len(first), len(second) - width))
    return first[:size] * np.uint64(pow(int(SPIN), second_width, 1 << 64)) + second[width:width + size]


def grams(found: Words, n: int) -> Words:
    """The n-grams of the words of each text; a text of fewer words has one, of all its words."""
    slots = np.where(found.counts, np.maximum(found.counts, n), 0)
    bounds = np.concatenate([[0], np.cumsum(slots)])
    padded = found.hashes
    if (found.counts < n).any():
        padded = np.zeros(bounds[-1], np.uint64)
        padded[np.arange(len(found.hashes)) + np.repeat(bounds[:-1] - found.bounds[:-1], found.counts)] = found.hashes
    every = runs(padded, n)
    sizes = np.where(slots, slots - n + 1, 0)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    if len(every) != starts[-1]:
        every = every[np.arange(starts[-1]) + np.repeat(bounds[:-1] - starts[:-1], sizes)]
    return Words(every, starts)


def batches(texts: Iterable[str], characters: int = BATCH) -> Iterator[list[str]]:
    """`texts` in lists of about so many characters."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
