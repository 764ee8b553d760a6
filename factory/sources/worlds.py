"""Procedural arithmetic worlds: seed + index -> a problem with an exact answer, without end and without a download.

Six families (`FAMILIES`), one difficulty knob (`level`), and three splits that cannot overlap: the split of a problem
is a hash of its own prompt, so two seeds, two counts or two people never share a problem across train, dev and test.

>>> next(iter(worlds(split="test", count=1, families=["gcd"]))).verifier
'math_equal'
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.records import Problem

Split = Literal["train", "dev", "test"]


@dataclass(frozen=True)
class Operation:
    """One line of arithmetic, `left sign right = value`; exact in the integers."""

    left: int
    sign: Literal["+", "-", "*", "/"]
    right: int

    @property
    def value(self) -> int:
        match self.sign:
            case "+":
                return self.left + self.right
            case "-":
                return self.left - self.right
            case "*":
                return self.left * self.right
            case "/":
                return self.left // self.right


@dataclass(frozen=True)
class Task:
    """A prompt, the operations that solve it in order, and the exact answer."""

    prompt: str
    operations: tuple[Operation, ...]
    answer: int


def expression(rng: random.Random, level: int) -> Task:
    """`a * (b + c) - d`: brackets first, then the product, then the rest."""
    b, c, d = (rng.randint(2, 4 + 5 * level) for _ in range(3))
    a = rng.randint(2, 3 + 2 * level)
    inner = Operation(max(b, c), "+" if b == c else rng.choice("+-"), min(b, c))  # type: ignore[arg-type]
    product = Operation(a, "*", inner.value)
    last = Operation(product.value, "+" if product.value < d else rng.choice("+-"), d)  # type: ignore[arg-type]
    text = f"{a} * ({inner.left} {inner.sign} {inner.right}) {last.sign} {d}"
    return Task(f"Compute {text}.", (inner, product, last), last.value)


def linear(rng: random.Random, level: int) -> Task:
    """`a x + b = c` with a whole solution."""
    a, x, b = rng.randint(2, 3 + 2 * level), rng.randint(2, 4 + 4 * level), rng.randint(1, 8 + 8 * level)
    c = a * x + b
    move, divide = Operation(c, "-", b), Operation(a * x, "/", a)
    return Task(f"Solve for x: {a} x + {b} = {c}.", (move, divide), x)


_CHAIN_WORDS = {"+": "Add {}.", "-": "Subtract {}.", "*": "Multiply by {}."}


def chain(rng: random.Random, level: int) -> Task:
    """Operations one after the other on a running value that stays positive and under 400."""
    start = value = rng.randint(2, 10 + 10 * level)
    operations: list[Operation] = []
    while len(operations) < 1 + level:
        step = Operation(value, rng.choice("++--*"), rng.randint(2, 6 + 6 * level))  # type: ignore[arg-type]
        if step.sign == "*":
            step = Operation(value, "*", rng.randint(2, 4))
        if 0 < step.value < 400:
            operations.append(step)
            value = step.value
    words = " ".join(_CHAIN_WORDS[o.sign].format(o.right) for o in operations)
    return Task(f"Start with {start}. {words} What is the result?", tuple(operations), value)


_NAMES = ("Mia", "Tom", "Ana", "Leo", "Eva", "Sam")
_THINGS = ("apples", "coins", "books", "cards", "pens", "eggs")


def word(rng: random.Random, level: int) -> Task:
    """A small story: some things, some boxes of them, some given away."""
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    have, boxes, each = rng.randint(2, 10 * level + 9), rng.randint(2, 2 + 2 * level), rng.randint(2, 5 + 2 * level)
    product = Operation(boxes, "*", each)
    total = Operation(have, "+", product.value)
    gone = Operation(total.value, "-", rng.randint(1, min(total.value - 1, 10 + 10 * level)))
    story = (
        f"{name} has {have} {thing} and buys {boxes} boxes with {each} {thing} each. "
        f"Then {name} gives away {gone.right}. How many {thing} does {name} have now?"
    )
    return Task(story, (product, total, gone), gone.value)


def gcd(rng: random.Random, level: int) -> Task:
    """Euclid's algorithm: each division is a quotient, a product and a difference."""
    factor = rng.randint(2, 4 + 4 * level)
    a, b = factor * rng.randint(2, 4 + 3 * level), factor * rng.randint(2, 4 + 3 * level)
    a, b = max(a, b), min(a, b)
    prompt, operations = f"What is the greatest common divisor of {a} and {b}?", []
    while b:
        product = Operation(a // b, "*", b)
        difference = Operation(a, "-", product.value)
        operations += [product, difference]
        a, b = b, difference.value
    return Task(prompt, tuple(operations), a)


def remainder(rng: random.Random, level: int) -> Task:
    """The rest of a division, through the largest multiple."""
    b = rng.randint(3, 5 + 3 * level)
    a = b * rng.randint(2, 4 + 4 * level) + rng.randint(0, b - 1)
    product = Operation(a // b, "*", b)
    difference = Operation(a, "-", product.value)
    return Task(f"What is the remainder when {a} is divided by {b}?", (product, difference), difference.value)


FAMILIES: dict[str, Callable[[random.Random, int], Task]] = {
    f.__name__: f for f in (expression, linear, chain, word, gcd, remainder)
}


def split_of(prompt: str) -> Split:
    """Where a prompt belongs, decided by the prompt alone: 80 % train, 10 % dev, 10 % test."""
    bucket = hashlib.blake2b(prompt.encode(), digest_size=4).digest()[0] % 10
    return "test" if bucket == 0 else "dev" if bucket == 1 else "train"


def tasks(split: Split, seed: int, families: Sequence[str], levels: Sequence[int]) -> Iterator[tuple[str, int, Task]]:
    """Endless (family, level, task) of one split; item i depends on (split, seed, i) alone. May repeat a task."""
    index = 0
    while True:
        rng = random.Random(f"{split}/{seed}/{index}")
        family, level = rng.choice(list(families)), rng.choice(list(levels))
        task = FAMILIES[family](rng, level)
        while split_of(task.prompt) != split:
            task = FAMILIES[family](rng, level)
        yield family, level, task
        index += 1


def worlds(
    split: Split = "train",
    count: int = 100,
    seed: int = 0,
    families: Sequence[str] = tuple(FAMILIES),
    levels: Sequence[int] = (1, 2),
) -> Iterator[Problem]:
    """`count` different problems of one split.

    Parameters: `families` of `FAMILIES`, `levels` >= 1 (larger numbers, more steps). Raises ValueError for an unknown
    family or split, or when the worlds asked for hold fewer than `count` different problems.
    """
    _refuse(split, families, levels)
    seen: set[str] = set()
    repeats = 0
    for family, level, task in tasks(split, seed, families, levels):
        if len(seen) >= count:
            return
        if task.prompt in seen:
            repeats += 1
            if repeats > 200 + 20 * count:
                raise ValueError(f"these worlds hold only about {len(seen)} different {split} problems: "
                                 "ask for fewer, or add families or levels")
            continue
        seen.add(task.prompt)
        meta = json.dumps({"family": family, "level": level})
        yield Problem(task.prompt, str(task.answer), "math_equal", f"worlds/{family}", "arithmetic", split,
                      "Apache-2.0", meta)


def _refuse(split: str, families: Sequence[str], levels: Sequence[int]) -> None:
    if split not in ("train", "dev", "test"):
        raise ValueError(f"worlds has no split '{split}': use train, dev or test")
    if unknown := [f for f in families if f not in FAMILIES]:
        raise ValueError(f"worlds has no family '{unknown[0]}': use {', '.join(FAMILIES)}")
    if not families or not levels or min(levels) < 1:
        raise ValueError("worlds needs at least one family and levels from 1 up")
