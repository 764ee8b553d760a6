"""Values that cross the wall, both ways: exact builtin types as tagged bytes, and nothing else.

`pack` looks only at `type(value) is …`, so a subclass with its own `__eq__` or `__iter__` is opaque; `unpack` builds
nothing but builtins and refuses what is malformed, too deep or too large. It reads what a hostile process wrote.

One value: N T F | i HEX ; | f HEX ; | j HEX , HEX ; | s/b/a LENGTH : BYTES | l/t/e/z COUNT ; ITEMS | d COUNT ; PAIRS
| o
(None, True, False, int, float, complex, str/bytes/bytearray, list/tuple/set/frozenset, dict, opaque).
"""

import sys
from collections import Counter, OrderedDict, defaultdict
from typing import Any

DEPTH = 1_000
_DICTS = (dict, defaultdict, OrderedDict, Counter)  # each equals a dict of its items
_TEXTS: dict[str, type] = {"s": str, "b": bytes, "a": bytearray}
_SEQUENCES: dict[str, Any] = {"l": list, "t": tuple, "e": set, "z": frozenset}
_TAGS: dict[Any, bytes] = {kind: tag.encode() for tag, kind in (_TEXTS | _SEQUENCES).items()}
_pairs, _members = dict.items, {kind: kind.__iter__ for kind in _SEQUENCES.values()}


class _Opaque:
    """What is no exact builtin value: it equals nothing, not even another of its kind."""

    def __repr__(self) -> str:
        return "<not plain data>"

    def __eq__(self, _: object) -> bool:
        return False

    __hash__ = object.__hash__


OPAQUE = _Opaque()


class Malformed(ValueError):
    """Bytes that `pack` does not write."""


def pack(value: object, limit: int, strict: bool = False) -> bytes:
    """`value` as bytes, at most `limit` of them: one that is larger or nested deeper than DEPTH is opaque.

    `strict`: what is no plain data is a ValueError instead.
    """
    out: list[bytes] = []
    size, waiting = 0, [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        data, inside = _one(item)
        size += len(data)
        too_much = size + len(inside) > limit or (inside and depth >= DEPTH)
        if strict and (too_much or data == b"o"):
            raise ValueError("only plain data crosses: numbers, texts, lists, tuples, sets and dicts of them")
        if too_much:
            return b"o"
        out.append(data)
        waiting.extend((part, depth + 1) for part in reversed(inside))
    return b"".join(out)


def _one(item: Any) -> tuple[bytes, list[Any]]:
    """The bytes of a value without its parts, and the parts."""
    kind: Any = type(item)
    if item is None or kind is bool:
        return (b"N" if item is None else b"T" if item else b"F"), []
    if kind is int:
        return b"i%x;" % item, []
    if kind is float:
        return b"f%s;" % item.hex().encode(), []
    if kind is complex:
        return b"j%s,%s;" % (item.real.hex().encode(), item.imag.hex().encode()), []
    if kind is str or kind is bytes or kind is bytearray:
        data = item.encode("utf-8", "surrogatepass") if kind is str else bytes(item)
        return b"%s%d:" % (_TAGS[kind], len(data)) + data, []
    if kind in _members:
        parts = list(_members[kind](item))
        return b"%s%d;" % (_TAGS[kind], len(parts)), parts
    if kind in _DICTS:
        pairs = list(_pairs(item))
        return b"d%d;" % len(pairs), [part for pair in pairs for part in pair]
    return _one_of_numpy(item)


def _one_of_numpy(item: Any) -> tuple[bytes, list[Any]]:
    """A scalar of numpy as the number, bool or text that it is; all else is opaque."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(item, numpy.generic):
        return b"o", []
    plain = item.item()
    return _one(plain) if type(plain) in (int, float, complex, bool, str, bytes) else (b"o", [])


def unpack(data: bytes) -> Any:
    """The value of `data`, with OPAQUE in it where something was no plain data. Malformed if it is not from `pack`."""
    try:
        return _Reader(data).whole()
    except (ValueError, TypeError, IndexError, OverflowError) as error:  # a set of lists, a surrogate, a cut
        raise Malformed(f"the result is malformed: {error}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def whole(self) -> Any:
        """Builds from the inside out: an open container waits on the stack until it has all its parts."""
        open_ones: list[tuple[str, int, list[Any]]] = []
        while True:
            done, value = self._next(open_ones)
            while done and open_ones:
                tag, count, parts = open_ones[-1]
                parts.append(value)
                if done := len(parts) == count:
                    open_ones.pop()
                    value = _build(tag, parts)
            if done:
                break
        if self._at != len(self._data):
            raise Malformed("there is more after the value")
        return value

    def _next(self, open_ones: list[tuple[str, int, list[Any]]]) -> tuple[bool, Any]:
        tag = chr(self._data[self._at])
        self._at += 1
        if tag in "NTFo":
            return True, {"N": None, "T": True, "F": False, "o": OPAQUE}[tag]
        if tag in "ifj":
            return True, _number(tag, self._until(b";"))
        if tag in _TEXTS:
            return True, self._text(tag, int(self._until(b":")))
        count = int(self._until(b";")) * (2 if tag == "d" else 1)
        if (tag not in _SEQUENCES and tag != "d") or not 0 <= count <= len(self._data) or len(open_ones) > DEPTH:
            raise Malformed(f"{tag!r} with {count} parts")
        if count:
            open_ones.append((tag, count, []))
        return not count, _build(tag, []) if not count else None

    def _text(self, tag: str, length: int) -> str | bytes | bytearray:
        part = self._data[self._at : self._at + length]
        if length < 0 or len(part) != length:
            raise Malformed("it ends in the middle of a text")
        self._at += length
        return part.decode("utf-8", "surrogatepass") if tag == "s" else bytes(part) if tag == "b" else bytearray(part)

    def _until(self, mark: bytes) -> str:
        end = self._data.index(mark, self._at)
        text = self._data[self._at : end].decode("ascii")
        self._at = end + 1
        return text


def _number(tag: str, text: str) -> int | float | complex:
    if tag == "i":
        return int(text, 16)
    if tag == "f":
        return float.fromhex(text)
    real, imaginary = map(float.fromhex, text.split(","))
    return complex(real, imaginary)


def _build(tag: str, parts: list[Any]) -> Any:
    if tag in "dez" and len(parts) > 1_000 and len(set(map(hash, parts))) * 8 < len(parts):
        raise Malformed("too many keys with one hash")  # chosen so that building it takes hours
    if tag == "d":
        return dict(zip(parts[::2], parts[1::2], strict=True))
    return parts if tag == "l" else _SEQUENCES[tag](parts)
