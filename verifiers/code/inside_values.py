"""Runs inside a sandbox. Values between program and tests: JSON with a tag wherever JSON has no such type.

Exact builtin types and a few value types of the standard library cross as copies, all else as a handle. Both sides use
this module; what the program's side sends is a claim, and the tests' side builds nothing from it but such values.
"""

import collections
import datetime
import decimal
import fractions
import json
import sys
from collections.abc import Callable
from typing import Any

DEPTH = 200
DIGITS = 13_000
"""Bits of an integer that JSON writes in digits."""

_LARGE = 1 << 64
_PLAIN = {int, float, str, bool, type(None)}
_SEQUENCES: dict[str, Any] = {"t": tuple, "s": set, "z": frozenset, "q": collections.deque}
_TAGS: dict[Any, str] = {kind: tag for tag, kind in _SEQUENCES.items()}
_MAPPINGS: dict[str, Any] = {"d": dict, "C": collections.Counter, "O": collections.OrderedDict}
_MAPPING_TAGS: dict[Any, str] = {kind: tag for tag, kind in _MAPPINGS.items()} | {collections.defaultdict: "d"}
_WRITERS: dict[type, Callable[[Any], list[Any]]] = {
    complex: lambda v: ["complex", v.real, v.imag], bytes: lambda v: ["bytes", v.hex()],
    bytearray: lambda v: ["bytearray", v.hex()], range: lambda v: ["range", v.start, v.stop, v.step],
    decimal.Decimal: lambda v: ["Decimal", str(v)], fractions.Fraction: lambda v: ["Fraction", str(v)],
    datetime.date: lambda v: ["date", v.isoformat()], datetime.time: lambda v: ["time", v.isoformat()],
    datetime.datetime: lambda v: ["datetime", v.isoformat()],
    datetime.timedelta: lambda v: ["timedelta", v.days, v.seconds, v.microseconds]}
_READERS: dict[str, Callable[..., Any]] = {
    "complex": complex, "bytes": bytes.fromhex, "bytearray": bytearray.fromhex, "range": range,
    "Decimal": decimal.Decimal, "Fraction": fractions.Fraction, "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat, "datetime": datetime.datetime.fromisoformat, "timedelta": datetime.timedelta}

Handle = Callable[[Any], Any]


class TooDeep(Exception):
    """More than DEPTH containers in each other, perhaps one in itself."""


def encode(value: Any, handle: Handle) -> Any:
    """The tree of a value; `handle` gives the tree of what is no data."""
    try:
        return _encode(value, handle, 0)
    except TooDeep:
        return handle(value)


def _encode(value: Any, handle: Handle, depth: int) -> Any:
    kind = type(value)
    if kind is int and value.bit_length() > DIGITS:
        return {"i": hex(value)}
    if kind in _PLAIN:
        return value
    if depth > DEPTH:
        raise TooDeep
    if kind is list:
        if _is_flat(value):
            return value
        return [_encode(item, handle, depth + 1) for item in value]
    if kind in _TAGS:
        return {_TAGS[kind]: [_encode(item, handle, depth + 1) for item in value]}
    if kind in _MAPPING_TAGS:
        pairs = [[_encode(k, handle, depth + 1), _encode(v, handle, depth + 1)] for k, v in dict.items(value)]
        return {_MAPPING_TAGS[kind]: pairs}
    if kind in _WRITERS:
        return {"v": _WRITERS[kind](value)}
    if _is_number_of_numpy(value):
        return _encode(value.item(), handle, depth + 1)
    if _is_named_tuple(kind):
        return {"n": [kind.__name__, list(kind._fields), [_encode(item, handle, depth + 1) for item in value]]}
    return handle(value)


def _is_flat(items: list[Any]) -> bool:
    """Of plain values only, so that it can be written as it is; a shortcut for long lists."""
    kinds = set(map(type, items))
    return kinds <= _PLAIN and (int not in kinds or (kinds == {int} and -_LARGE < min(items) <= max(items) < _LARGE))


def _is_number_of_numpy(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return bool(numpy and isinstance(value, getattr(numpy, "generic", ())))


def _is_named_tuple(kind: Any) -> bool:
    return getattr(kind, "__bases__", ()) == (tuple,) and hasattr(kind, "_fields") and hasattr(kind, "_asdict")


def decode(tree: Any, handle: Handle) -> Any:
    """The value of a tree; `handle` gives the value for a handle's tree."""
    if type(tree) is list:
        return tree[:] if set(map(type, tree)) <= _PLAIN else [decode(item, handle) for item in tree]
    if type(tree) is not dict:
        return tree
    tag, inner = next(iter(tree.items()))
    if tag in _SEQUENCES:
        return _SEQUENCES[tag](decode(item, handle) for item in inner)
    if tag in _MAPPINGS:
        return _MAPPINGS[tag]({decode(k, handle): decode(v, handle) for k, v in inner})
    if tag == "i":
        return int(inner, 16)
    if tag == "v":
        return _READERS[inner[0]](*inner[1:])
    if tag == "n":
        return _named_tuple(inner[0], *map(str, inner[1]))(*(decode(item, handle) for item in inner[2]))
    return handle(tree)


_named: dict[tuple[str, ...], Any] = {}


def _named_tuple(name: str, *fields: str) -> Any:
    if (name, *fields) not in _named:
        _named[name, *fields] = collections.namedtuple(str(name), fields, rename=True)  # type: ignore[misc]
    return _named[name, *fields]


def dumps(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def loads(message: bytes) -> Any:
    return json.loads(message)
