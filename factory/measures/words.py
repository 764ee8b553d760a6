"""Texts as arrays, which is what makes the measures that compare a text with itself quick. No measure itself.

The loops over them are in `_compiled`, which is imported when the first text is read.

A piece is a run of letters and digits, or a run of signs; blanks are no pieces, and case is folded. What stands behind
the 16th byte of a run (a script without blanks, a row of zeros) is a piece byte by byte, so that a loop is seen there.
Pieces and grams are known by 32-bit codes: of a text of 100,000 pieces about one gram is taken for another.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Codes = NDArray[np.uint32]
F = TypeVar("F", bound=Callable[..., Any])

_FOLD = bytes(range(256)).lower()  # half of what `lower` takes


def fold(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").translate(_FOLD)


class Words(NamedTuple):
    """The pieces of a text: where they begin and end in `folded` (bytes, UTF-8), and their codes."""

    folded: bytes
    starts: Places
    ends: Places
    codes: Codes
    blank_separated: int
    """How many words there are between blanks."""


class Reading:
    """Several texts as arrays at once: of a short text, numpy's calls would cost more than what they do."""

    def __init__(self, texts: Sequence[str]) -> None:
        from factory.measures import _compiled

        self.encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        self.folded = b"\n".join([*self.encoded, b""]).translate(_FOLD)
        self.places = [0, *accumulate(len(one) + 1 for one in self.encoded)]
        """Where each text begins in `folded`, and one place more."""
        self.bytes = np.frombuffer(self.folded, np.uint8)
        eights = np.ndarray((len(self.folded) + 9,), dtype="<u8", buffer=self.folded + bytes(16), strides=(1,))
        self.starts, self.ends, self.codes, self._bounds, words = _compiled.pieces(
            self.bytes, eights, np.array(self.places))
        self.bounds: list[int] = self._bounds.tolist()
        """The number of each text's first piece, and one number more."""
        self.blank_separated: list[int] = words.tolist()
        """How many words each text has between blanks."""
        self._grams: dict[int, Codes] = {1: self.codes}
        self._again: dict[int, Again] = {}
        self._lines: dict[int, list[tuple[int, int]]] = {}
        self.spotted: dict[object, list[int]] = {}

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
            from factory.measures import _compiled

            self._grams[n] = _compiled.grams(self.codes, n)
        return self._grams[n]

    def again(self, n: int) -> "Again":
        if n not in self._again:
            from factory.measures import _compiled

            counts, rounds = _compiled.again(self._every_gram(n), n, self._bounds)
            self._again[n] = Again(counts.tolist(), rounds)
        return self._again[n]

    def lines(self, characters: int) -> list[tuple[int, int]]:
        """How many lines of each text have so many characters or more, and how often the most frequent of them is
        there."""
        if characters not in self._lines:
            from factory.measures import _compiled

            raw = np.frombuffer(b"\n".join([*self.encoded, b""]), np.uint8)
            self._lines[characters] = _compiled.lines(raw, np.array(self.places), characters).tolist()
        return self._lines[characters]


class Again(NamedTuple):
    """Grams that stood in their text before: how many there are in each text. And where a text goes round, in rows: the
    piece at which the first gram begins that was said before, how many follow it that each stood the same number of
    pieces before, and that number; those that reach over as many pieces at least."""

    counts: list[int]
    rounds: Ints


_prepared: dict[str, tuple[Reading, int]] = {}
_by_trace: list[Any] = []


def by_trace(function: F) -> F:
    """A function of a trace's texts that several measures ask: what it says is kept until other texts are prepared."""
    kept = lru_cache(maxsize=512)(function)
    _by_trace.append(kept)
    return cast(F, kept)


def prepare(texts: Sequence[str]) -> None:
    """Read texts together whose measures will be asked for next; 100,000 characters or so, which stay in the cache."""
    reading = Reading(texts)
    for kept in _by_trace:
        kept.cache_clear()
    _prepared.clear()
    _prepared.update((text, (reading, index)) for index, text in enumerate(texts))


def read(text: str) -> tuple[Reading, int]:
    """Where `text` was read: the reading, and its number there."""
    return _prepared.get(text) or _alone(text)


@lru_cache(maxsize=2)  # several measures are asked about it
def _alone(text: str) -> tuple[Reading, int]:
    return Reading([text]), 0


def encoded(text: str) -> bytes:
    reading, index = _prepared.get(text, (None, 0))
    return reading.encoded[index] if reading else text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=2)
def split(text: str) -> Words:
    reading, index = read(text)
    return reading.words(index)


def grams(text: str, n: int) -> Codes:
    """One code for every `n` pieces that follow each other."""
    reading, index = read(text)
    return reading.grams(index, n)


def stretch(whole: str, part: str) -> tuple[Reading, int, int]:
    """Where `part` was read: its bytes begin and end in `folded` there.

    Where it stands in `whole`, the reading of that is used, which is there already.
    """
    at = whole.find(part[:_HEAD])
    if at < 0 or not whole.startswith(part, at):
        whole, at = part, 0
    reading, index = read(whole)
    begin, behind = reading.places[index], reading.places[index + 1] - 1
    if behind - begin == len(whole):  # each character is a byte
        return reading, begin + at, begin + at + len(part)
    return reading, begin + _bytes(whole[:at]), behind - _bytes(whole[at + len(part):])


def pieces_between(reading: Reading, places: Sequence[int]) -> list[int]:
    """How many pieces begin from place to place of `folded`; the first may be the rest of a run."""
    found: list[int] = reading.starts.searchsorted(np.array(places, np.int32)).tolist()
    if found[0] and reading.ends[found[0] - 1] > places[0]:
        found[0] -= 1
    return [after - before for before, after in pairwise(found)]


_HEAD = 64  # characters by which a part is found


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


_TOP = np.uint32(16)  # what a code is shifted by to look it up in a table of 2¹⁶
_spotters: "list[Spotter]" = []


@cache
def _anchors(spotters: int) -> NDArray[np.uint8]:
    """By a code's first bits, a bit for each spotter that it is an anchor of."""
    table = np.zeros(1 << 16, np.uint8)
    for bit, spotter in enumerate(_spotters[:spotters]):
        table[split(spotter.anchors).codes >> _TOP] |= np.uint8(1 << bit)
    return table


@lru_cache(maxsize=2)
def _anchored(reading: Reading, spotters: int) -> tuple[Ints, NDArray[np.uint8]]:
    """Which pieces are an anchor of a spotter, and of which ones."""
    found = _anchors(spotters).take(reading.codes >> _TOP, mode="clip")
    places = (found != 0).nonzero()[0]  # of booleans, which is quick
    return places, found[places]


class Spotter:
    """Counts a pattern of bytes (of folded text) that can only begin at one of the `anchors`, which are words.

    All spotters (eight at most) share one look at the text; the pattern tells off what only looks like an anchor.
    """

    def __init__(self, anchors: str, pattern: str) -> None:
        self.anchors = anchors
        self._pattern: re.Pattern[bytes] = re.compile(pattern.encode(), re.VERBOSE)
        self._bit = np.uint8(1 << len(_spotters))
        _spotters.append(self)

    def count(self, text: str) -> int:
        reading, index = read(text)
        if self not in reading.spotted:
            reading.spotted[self] = self._counts(reading)
        return reading.spotted[self][index]

    def _counts(self, reading: Reading) -> list[int]:
        """How often it stands in each text."""
        folded, match = reading.folded, self._pattern.match
        places, of = _anchored(reading, len(_spotters))
        likely = reading.starts.take(places[(of & self._bit).nonzero()[0]]).tolist()
        found = [place for place in likely if match(folded, place)]
        ends = [bisect_left(found, place) for place in reading.places]
        return [after - before for before, after in pairwise(ends)]
