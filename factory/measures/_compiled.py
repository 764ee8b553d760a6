"""The loops over the bytes and pieces of texts, compiled by numba: what numpy takes ten passes for. No measure itself.

Imported when a text is first read, since numba's import takes a second. What it compiles is kept beside this file or in
the user's cache (`NUMBA_CACHE_DIR`), and is made anew in each process where neither can be written.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from factory.measures.answers import ANSWER, BOX, VALUE

Bytes = NDArray[np.uint8]
Codes = NDArray[np.uint32]
Ints = NDArray[np.int64]
Places = NDArray[np.int32]
F = TypeVar("F", bound=Callable[..., Any])

_RUN = 16  # bytes of a run that are one piece
_BLANK, _SIGN, _LETTER = 0, 1, 2
_WIDE = 0xE2  # begins what is from U+2000 to U+2FFF: quotation marks, dashes, operators, signs of three bytes
_KINDS = np.array([_SIGN if byte == _WIDE else _LETTER if byte >= 128 or chr(byte).isalnum()
                   else _SIGN if 32 < byte < 127 else _BLANK for byte in range(256)], np.uint8)
_MASK = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
_MIX, _STIR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_BASE, _LOW = np.uint64(0x9E3779B1), np.uint64((1 << 32) - 1)
_UPPER, _FOLDED = np.uint64(32), np.uint64(15)  # bits

_SLOT = np.uint64(20)

_ANSWER, _BOXED, _FBOX = (np.frombuffer(word, np.uint8) for word in (b"answer", b"\\boxed", b"\\fbox"))
_MARKS = np.array([byte in b"\n.!?a\\" for byte in range(256)], np.uint8)
_OVER = np.zeros(1 << 16, np.bool_)
"""By two bytes, how the words begin with which a text starts over (`factory.solutions`)."""
for _two in re.findall("..", "wahoalandolei'i\xe2i wetojuvechcousmabuoksonoyehm"):
    _OVER[ord(_two[0]) << 8 | ord(_two[1])] = True
_JOINS, _OPENS = (np.array([int.from_bytes(word[-8:], "big") for word in words.split()], np.uint64) for words in (
    b"but okay ok so and now yes hmm",
    b"wait hold alternatively another double doublecheck let i we to just verifying checking confirming check using "
    b"maybe"))
"""The last eight letters of the first words with which a text starts over: those that others follow, and the others."""
_INSIDE = np.array([byte < 128 and chr(byte).isalnum() for byte in range(256)], np.uint8)
_WORD = np.array([0 if byte >= 128 else 1 if chr(byte).isalpha() else 2 * chr(byte).isdigit() for byte in range(256)],
                 np.uint8)
_NEAR = 60  # characters
LEADS = ("so", "therefore", "thus", "hence", "total", "give", "gives", "is", "are", "equal", "equals", "make", "makes",
         "get", "leave", "leaves", "be", "has", "have")
_LEADS = np.zeros(1024, np.uint64)
"""Each where its code is looked for; no two of them want the same place."""
for _lead in (int.from_bytes(word.encode()[:8], "little") for word in LEADS):
    _LEADS[(_lead * int(_MIX) & (1 << 64) - 1) >> int(_UPPER) & 1023] = _lead


def compiled(function: F) -> F:
    try:
        return numba.njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # there is no folder for the cache that can be written
        return numba.njit(nogil=True)(function)  # type: ignore[no-any-return]


@compiled
def _follows(folded: Bytes, at: int, behind: int, word: Bytes) -> bool:
    """Whether `word` stands at a place."""
    if at + len(word) > behind:
        return False
    for place in range(1, len(word)):  # noqa: SIM110 - `all` is slower here
        if folded[at + place] != word[place]:
            return False
    return True


@compiled
def _may_open(folded: Bytes, at: int, behind: int) -> bool:
    """Whether a text may start over with the word at a place, or with the one behind it."""
    word = np.uint64(0)
    while at < behind and 97 <= folded[at] <= 122:
        word = word << np.uint64(8) | np.uint64(folded[at])
        at += 1
    for one in _OPENS:
        if word == one:
            return True
    for one in _JOINS:
        if word == one:
            while at < behind and (folded[at] == 44 or folded[at] == 46):
                at += 1
            return at + 2 < behind and folded[at] == 32 and _OVER[np.int64(folded[at + 1]) << 8 | folded[at + 2]]
    return False


@compiled
def _led(folded: Bytes, begin: int, at: int) -> bool:
    """Whether "=" or one of `LEADS` stands before a place, in its sentence and not far."""
    place, word, size, chars = at - 1, np.uint64(0), 0, 0
    while place >= begin - 1:
        byte = folded[place] if place >= begin else np.uint8(10)
        if 97 <= byte <= 122:
            word = word << np.uint64(8) | np.uint64(byte)
            size += 1
        else:
            if 0 < size < 10 and _LEADS[np.int64(word * _MIX >> _UPPER) & 1023] == word:
                return True
            if byte == 61:
                return True
            if byte == 46 or byte == 10 or chars > _NEAR:
                return False
            word, size = np.uint64(0), 0
        chars += (byte & 0xC0) != 0x80
        place -= 1
    return False


@compiled
def pieces(folded: Bytes, eights: NDArray[np.uint64], places: Ints) -> tuple[Places, Places, Codes, Ints, Ints]:
    """The pieces of texts that stand in `folded` from `places[i]` to `places[i + 1] - 1`, behind each a blank: where
    they begin and end, their codes, by text the number of its first piece (and one number more), and how many words are
    between its blanks. `eights`: the eight bytes from each place on, as a number.
    """
    texts = len(places) - 1
    begins, behinds = np.empty(len(folded), np.int32), np.empty(len(folded), np.int32)
    first, bounds, words = np.zeros(texts + 1, np.int64), np.zeros(texts + 1, np.int64), np.zeros(texts, np.int64)
    runs = ended = np.uint64(0)
    signs = 0
    for text in range(texts):
        before, blanks = np.uint8(_BLANK), 0
        for at in range(places[text], places[text + 1]):  # without a jump: nobody can guess where a run ends
            byte = folded[at]
            signs = at + 3 if byte == _WIDE else signs
            kind = np.uint8(_SIGN) if at < signs else _KINDS[byte]
            begins[runs] = behinds[ended] = at
            runs += np.uint64((kind != before) & (kind != _BLANK))
            ended += np.uint64((kind != before) & (before != _BLANK))
            blanks += (kind != _BLANK) & (before == _BLANK)
            before = kind
        first[text + 1], words[text] = runs, blanks
    count = 0
    for run in range(first[texts]):
        count += max(1, behinds[run] - begins[run] - _RUN + 1)
    starts, ends, codes = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.uint32)
    count = 0
    for text in range(texts):
        for run in range(first[text], first[text + 1]):
            begin, end = begins[run], behinds[run]
            head = min(end - begin, _RUN)
            code = (eights[begin] & _MASK[min(head, 8)]) * _MIX
            code ^= (eights[begin + 8] & _MASK[max(head - 8, 0)]) * _STIR
            starts[count], ends[count], codes[count] = begin, begin + head, code >> _UPPER
            count += 1
            for rest in range(begin + head, end):
                starts[count], ends[count], codes[count] = rest, rest + 1, np.uint64(folded[rest]) * _MIX >> _UPPER
                count += 1
        bounds[text + 1] = count
    return starts, ends, codes, bounds, words


@compiled
def grams(codes: Codes, n: int) -> Codes:
    """One code for every `n` pieces that follow each other: a polynomial of theirs, stirred."""
    size = max(0, len(codes) - n + 1)
    found = np.empty(size, np.uint32)
    first, code = np.uint64(1), np.uint64(0)
    for _ in range(n - 1):
        first = first * _BASE & _LOW
    for at in range(len(codes)):
        code = (code * _BASE + np.uint64(codes[at])) & _LOW
        if at >= n - 1:
            found[at - n + 1] = (code ^ code >> _FOLDED) * _BASE & _LOW
            code = (code - np.uint64(codes[at - n + 1]) * first) & _LOW
    return found


@compiled
def again(said: Codes, n: int, bounds: Ints) -> tuple[Ints, Ints]:
    """How many of the grams `said` stood in their text before, by text; and where a text goes round: the first place,
    how many grams follow of which each stood the same number of pieces before, and that number, where they reach over
    as many pieces at least.
    """
    texts = len(bounds) - 1
    counts, rounds, found = np.zeros(texts, np.int64), np.empty((16, 3), np.int64), 0
    last = np.zeros(1, np.int32)
    for text in range(texts):
        begin, behind = bounds[text], bounds[text + 1] - n + 1
        bits = 4
        while 1 << bits < 2 * (behind - begin):
            bits += 1
        if len(last) < 1 << bits:
            last = np.zeros(1 << bits, np.int32)  # by code, one more than the last place: of another text where before
        first, back = begin, 0
        for at in range(begin, behind + 1):
            distance = 0
            if at < behind:
                slot = np.int64(said[at]) >> (32 - bits)
                while last[slot] > begin and said[last[slot] - 1] != said[at]:
                    slot = (slot + 1) & ((1 << bits) - 1)
                if last[slot] > begin:
                    distance = at + 1 - last[slot]
                    counts[text] += 1
                last[slot] = at + 1
            if distance != back:
                if back and at - first + n - 1 >= back:
                    if found == len(rounds):
                        rounds = np.concatenate((rounds, np.empty_like(rounds)))
                    rounds[found, 0], rounds[found, 1], rounds[found, 2] = first, at - first, back
                    found += 1
                first, back = at, distance
    return counts, rounds[:found].copy()


@compiled
def common(wanted: Codes, said: Codes) -> tuple[int, int]:
    """How many different codes are `wanted`, and how many of these are among `said`."""
    bits = 4
    while 1 << bits < 4 * len(wanted):
        bits += 1
    of, state = np.empty(1 << bits, np.uint32), np.zeros(1 << bits, np.uint8)
    different = found = 0
    for code in wanted:
        slot = np.int64(code) >> (32 - bits)
        while state[slot] and of[slot] != code:
            slot = (slot + 1) & ((1 << bits) - 1)
        different += not state[slot]
        of[slot], state[slot] = code, 1
    for code in said:
        slot = np.int64(code) >> (32 - bits)
        while state[slot] and of[slot] != code:
            slot = (slot + 1) & ((1 << bits) - 1)
        if state[slot] == 1:
            state[slot] = 2
            found += 1
    return different, found


@compiled
def marks(folded: Bytes, begin: int, behind: int, values: Bytes, bounds: Ints) -> tuple[Places, Places]:
    """Of the text between two places of `folded`: where it may start over, in rows of bytes and characters from
    `begin`; and where it may state an answer, in rows of bits and characters: `BOX`, `ANSWER`, and from `VALUE` on one
    for each of the `values` (at `bounds`) that a sentence may come to. Who asks has to look closer.
    """
    overs = np.empty(((behind - begin) // 3 + 1, 2), np.int32)
    stated = np.empty((behind - begin + 1, 2), np.int32)
    count = said = chars = 0
    table = _MARKS.copy()
    for value in range(len(bounds) - 1):
        table[values[bounds[value]]] = 1
    for at in range(begin, behind):
        byte = folded[at]
        chars += (byte & 0xC0) != 0x80
        if not table[byte]:
            continue
        if byte == 10 or byte == 46 or byte == 33 or byte == 63:  # \n . ! ?
            over = at + 1
            while byte != 10 and over < min(at + 3, behind) and folded[over] == 32:
                over += 1
            if ((byte == 10 or over > at + 1) and over + 1 < behind
                    and _OVER[np.int64(folded[over]) << 8 | folded[over + 1]] and _may_open(folded, over, behind)):
                overs[count, 0], overs[count, 1] = over - begin, chars + over - at - 1
                count += 1
        bits = 0
        if byte == 97 and _follows(folded, at, behind, _ANSWER):
            bits |= ANSWER
        if byte == 92 and (_follows(folded, at, behind, _BOXED) or _follows(folded, at, behind, _FBOX)):
            bits |= BOX
        for value in range(len(bounds) - 1):
            one = values[bounds[value]:bounds[value + 1]]
            if (byte == one[0] and _follows(folded, at, behind, one) and not (at > begin and _INSIDE[folded[at - 1]])
                    and not (at + len(one) < behind and _INSIDE[folded[at + len(one)]]) and _led(folded, begin, at)):
                bits |= VALUE << value
        if bits:
            stated[said, 0], stated[said, 1] = bits, chars - 1
            said += 1
    return overs[:count].copy(), stated[:said].copy()


@compiled
def novel(folded: Bytes, borders: Ints, alike: float, behind: int) -> NDArray[np.bool_]:
    """Which of the parts that follow each other from border to border share no more than `alike` of their words (of
    four letters or more) and numbers with any one of the `behind` parts before them."""
    parts, size = len(borders) - 1, 16
    while 2 * size < borders[parts] - borders[0]:
        size *= 2
    codes, part_of = np.zeros(size, np.uint64), np.zeros(size, np.int32)
    words, first, new = np.empty(size, np.int64), np.zeros(parts + 1, np.int64), np.ones(parts, np.bool_)
    count = 0
    for part in range(parts):
        at = borders[part]
        while at < borders[part + 1]:
            kind, begin, code = _WORD[folded[at]], at, _MIX
            while at < borders[part + 1] and _WORD[folded[at]] == kind:
                code = (code ^ np.uint64(folded[at])) * _STIR
                at += 1
            if kind == 0 or (kind == 1 and at - begin < 4):
                continue
            code ^= code >> _UPPER
            slot = np.int64(code * _MIX >> _SLOT) & (size - 1)
            while codes[slot] != 0 and codes[slot] != code:
                slot = (slot + 1) & (size - 1)
            codes[slot] = code
            if part_of[slot] != part + 1:
                part_of[slot] = part + 1
                if count == len(words):
                    words = np.concatenate((words, np.empty_like(words)))
                words[count] = slot
                count += 1
        first[part + 1] = count
        least = alike * (count - first[part])
        for other in range(part - 1, max(part - 1 - behind, -1), -1):
            if first[other + 1] - first[other] > least:
                both = 0
                for word in range(first[other], first[other + 1]):
                    both += part_of[words[word]] == part + 1
                if both > least:
                    new[part] = False
                    break
    return new


@compiled
def lines(raw: Bytes, places: Ints, characters: int) -> Ints:
    """By text, how many of its lines have so many characters or more, and how often the most frequent of them stands
    there."""
    texts = len(places) - 1
    found = np.zeros((texts, 2), np.int64)
    codes, counts = np.zeros(16, np.uint64), np.zeros(16, np.int64)
    for text in range(texts):
        at, behind, size, used = places[text], places[text + 1], 16, 0
        codes[:size] = 0
        while at < behind:
            code, length = _MIX, 0
            while raw[at] != 10:
                code = (code ^ np.uint64(raw[at])) * _STIR
                length += (raw[at] & 0xC0) != 0x80
                at += 1
            at += 1
            if length < characters:
                continue
            found[text, 0] += 1
            if 2 * used > size:
                old, olds, size = codes[:size].copy(), counts[:size].copy(), 4 * size
                if size > len(codes):
                    codes, counts = np.zeros(size, np.uint64), np.zeros(size, np.int64)
                codes[:size] = 0
                for place in range(len(old)):
                    if old[place]:
                        slot = np.int64(old[place] >> _SLOT) & (size - 1)
                        while codes[slot]:
                            slot = (slot + 1) & (size - 1)
                        codes[slot], counts[slot] = old[place], olds[place]
            code = (code ^ code >> _UPPER) * _MIX | np.uint64(1)
            slot = np.int64(code >> _SLOT) & (size - 1)
            while codes[slot] and codes[slot] != code:
                slot = (slot + 1) & (size - 1)
            if not codes[slot]:
                codes[slot], counts[slot] = code, 0
                used += 1
            counts[slot] += 1
            found[text, 1] = max(found[text, 1], counts[slot])
    return found
