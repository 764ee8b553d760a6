"""Procedural probes, made fresh for each release: nobody can have been trained on them.

How many r are in strawberry, is 9.9 larger than 9.11, long additions, the game of 24: what language models are known to
get wrong. The same release gives the same probes everywhere; the next one gives others.

>>> next(iter(probes(families=["addition"], count=1, release="0.1.0"))).verifier
'math_equal'
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations_with_replacement

from factory.plugins import did_you_mean
from factory.protocols import UserError
from factory.records import Problem
from verifiers.number_game import solution

_SYLLABLES = ("ber", "ry", "straw", "blue", "car", "bon", "cher", "ban", "an", "na", "gor", "il", "la", "mis", "sis",
              "sip", "pi", "tra", "ver", "let", "ter", "rob", "bin", "der", "ror", "mir", "tel", "lum", "oss", "eer")
REPEATS = 2000
"""So many in a row that were there before, and there are no others."""
Made = tuple[str, str, str]
"""Prompt, reference, verifier."""


def letters(rng: random.Random, level: int) -> Made:
    """A word of two syllables a level and one more, and a letter that is in it, or for a change one that is not."""
    word = "".join(rng.choice(_SYLLABLES) for _ in range(2 * level + 1))
    letter = rng.choice(word) if rng.random() < 0.9 else rng.choice("abcdefghijklmnopqrstuvwxyz")
    return (f"How many times does the letter {letter} occur in the word {word}? Put the number in \\boxed{{}}.",
            json.dumps({"word": word, "letter": letter}), "letter_count")


def decimals(rng: random.Random, level: int) -> Made:
    """Two decimals with one whole part and different numbers of places: the longer one is often the smaller one."""
    whole, short = rng.randint(0, 10**level), rng.randint(1, level)
    first = f"{whole}.{_digits(rng, short)}"
    second = f"{whole}.{_digits(rng, short + rng.randint(1, 2))}"
    if float(first) == float(second):
        second += "1"
    ask = rng.choice(("larger", "smaller"))
    pair = rng.sample([first, second], 2)
    return (f"Which number is {ask}, {pair[0]} or {pair[1]}? Put it in \\boxed{{}}.",
            json.dumps({"numbers": pair, "ask": ask}), "decimal_compare")


def _digits(rng: random.Random, n: int) -> str:
    """n digits of which the last is not 0."""
    return "".join(str(rng.randint(0, 9)) for _ in range(n - 1)) + str(rng.randint(1, 9))


def addition(rng: random.Random, level: int) -> Made:
    """Two numbers of about four digits a level, with carries."""
    a, b = (rng.randint(10 ** (4 * level - 2), 10 ** (4 * level)) for _ in range(2))
    return f"What is {a} + {b}? Put the sum in \\boxed{{}}.", str(a + b), "math_equal"


def game24(rng: random.Random, level: int) -> Made:
    """A hand that makes 24, of numbers from 1 to 9 at level 1, else to 13."""
    numbers = list(rng.choice(_hands(9 if level == 1 else 13)))
    asked = (f"Use the numbers {', '.join(map(str, numbers))}, each exactly once, with + - * / and brackets to make "
             "24. Put one expression in \\boxed{}.")
    return asked, json.dumps({"numbers": numbers, "target": 24}), "number_game"


@cache
def _hands(most: int) -> list[tuple[int, ...]]:
    return [hand for hand in combinations_with_replacement(range(1, most + 1), 4) if solution(hand, 24)]


FAMILIES: dict[str, Callable[[random.Random, int], Made]] = {
    f.__name__: f for f in (letters, decimals, addition, game24)}


def probes(*, count: int = 200, families: Sequence[str] = tuple(FAMILIES), levels: Sequence[int] = (1, 2, 3),
           release: str = "", split: str = "test") -> Iterator[Problem]:
    """`count` different probes, of the `families` and `levels` (1 to 6) in turn. `release`: whose they are; by default
    this package's version."""
    if unknown := [name for name in families if name not in FAMILIES]:
        raise UserError(f"probes has no family '{unknown[0]}'{did_you_mean(unknown[0], list(FAMILIES))}")
    if not families or not levels or not all(1 <= level <= 6 for level in levels) or count < 1:
        raise UserError("probes needs a family, levels from 1 to 6, and a count of 1 or more")
    of, seen, number, repeats = release or installed(), set[str](), 0, 0
    while len(seen) < count:
        family, level = families[number % len(families)], levels[number // len(families) % len(levels)]
        prompt, reference, verifier = FAMILIES[family](random.Random(f"probes/{of}/{family}/{number}"), level)
        number += 1
        repeats = repeats + 1 if prompt in seen else 0
        if repeats > REPEATS:
            raise UserError(f"these probes are only about {len(seen)}: ask for fewer, or add families or levels")
        if not repeats:
            seen.add(prompt)
            meta = json.dumps({"family": family, "level": level, "release": of})
            yield Problem(prompt, reference, verifier, f"probes/{family}", "probes", split, "Apache-2.0", meta)


def installed() -> str:
    """This package's version."""
    try:
        return version("cot-factory")
    except PackageNotFoundError:  # used from a folder, not installed
        return "0"
