"""What crosses the wall: exact builtin values and nothing else, and nothing a hostile process writes does harm."""

import math
import random
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from typing import Any

import pytest

from verifiers.cell.wire import DEPTH, OPAQUE, Malformed, pack, unpack

PLAIN: list[Any] = [
    None, True, False, 0, -1, 10**5000, 1.5, -0.0, math.inf, 2 + 3j, "", "aé\udc80\0", b"\0:;", bytearray(b"x"), [], (),
    {}, set(), frozenset(), [1, [2, (3, {4}, frozenset([5]))]], {"a": [{}], 1: None, (1, 2): b""}, [[[]], [], [[[]]]],
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    back = unpack(pack(value, 1 << 20))
    assert back == value
    assert type(back) is type(value)


def test_not_a_number_stays_one() -> None:
    assert math.isnan(unpack(pack(math.nan, 100)))


@pytest.mark.parametrize("kind", [OrderedDict, Counter, lambda pairs: defaultdict(int, pairs)])
def test_the_dicts_of_the_standard_library_are_dicts(kind: Any) -> None:
    back = unpack(pack(kind({"a": 1}), 100))
    assert back == {"a": 1}
    assert type(back) is dict


class AlwaysEqual(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class Lie(list[int]):
    def __iter__(self) -> Any:
        return iter([7])


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize("value", [AlwaysEqual(3), Lie([1]), Point(1, 2), deque([1]), iter([1]), object(), len])
def test_anything_else_is_opaque_and_equals_nothing(value: Any) -> None:
    back = unpack(pack([value], 100))
    assert back[0] is OPAQUE
    assert back != [value]
    assert OPAQUE != OPAQUE


def test_what_contains_itself_or_is_too_deep_or_too_large_is_opaque() -> None:
    itself: list[Any] = []
    itself.append(itself)
    deep: list[Any] = []
    for _ in range(DEPTH + 1):
        deep = [deep]
    for value in (itself, deep, "x" * 101, list(range(101))):
        assert unpack(pack(value, 100)) is OPAQUE


def test_strict_packing_refuses_what_is_not_plain() -> None:
    with pytest.raises(ValueError, match="only plain data"):
        pack([object()], 100, strict=True)


@pytest.mark.parametrize("data", [
    b"", b"x", b"i", b"izz;", b"i1", b"l2;N", b"NN", b"s5:ab", b"s-1:", b"l-1;", b"l99999999999;", b"e1;l0;",
    b"d1;l0;N", b"s1:\xff", b"fhello;", b"j1;", b"{}", b"l1;" * 5000, b"s99999999999999999999:",
    b'{"ok": true, "value": 7}',
])
def test_what_pack_does_not_write_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(data)


def test_random_bytes_are_malformed_or_plain() -> None:
    random.seed(1)
    alphabet = b"NTFifjsbaltezdo0123456789:;,-.xp"
    for _ in range(3000):
        data = bytes(random.choices(alphabet, k=random.randrange(1, 30)))
        try:
            unpack(data)
        except Malformed:
            continue


@pytest.mark.parametrize("opening", [b"d%d;", b"e%d;"])
def test_keys_chosen_to_collide_are_refused_before_they_cost_hours(opening: bytes) -> None:
    count, prime = 40_000, 2**61 - 1  # multiples of it have one hash
    filler = b"N" if opening.startswith(b"d") else b""
    data = opening % count + b"".join(b"i%x;" % (prime * n) + filler for n in range(count))
    with pytest.raises(Malformed, match="one hash"):
        unpack(data)
