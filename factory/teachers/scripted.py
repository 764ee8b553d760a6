"""A teacher without a model, for dry runs and tests of the stages: it writes long reasoning out of a hash.

It reads `Compute …` prompts with a small grammar and knows their answers; to any other prompt it answers with a number
that the prompt's hash picks. How often it is wrong, cut off or failing are its parameters. The same prompt and seed
give the same text on every machine.
"""

import asyncio
import random
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

from factory import thoughts
from factory.protocols import AskFailed, UserError
from factory.records import Completion, Message, canonical

MUSINGS = ("Let me restate the problem in my own words.", "Wait, let me check that again.",
           "Hmm, is there another way to see this?", "So far this looks right.", "Let me verify the last step.")


def scripted(*, accuracy: float = 0.6, delay: float = 0.0, truncation: float = 0.0, failure: float = 0.0,
             seed: int = 0, concurrency: int = 64, sampling: Mapping[str, Any] = {}) -> "Scripted":
    """A teacher that is right with chance `accuracy`, cut off with `truncation`, and fails a first attempt with
    `failure`; `delay` is in seconds an answer, `sampling` is a part of its identity and otherwise ignored.
    """
    for name, share in (("accuracy", accuracy), ("truncation", truncation), ("failure", failure)):
        if not 0 <= share <= 1:
            raise UserError(f"teacher.{name} is {share}: set a share from 0 to 1")
    return Scripted(accuracy, delay, truncation, failure, seed, concurrency, sampling)


class Scripted:
    """See `scripted`."""

    def __init__(self, accuracy: float, delay: float, truncation: float, failure: float, seed: int, concurrency: int,
                 sampling: Mapping[str, Any]) -> None:
        self.accuracy, self.delay, self.truncation, self.failure = accuracy, delay, truncation, failure
        self.seed, self.concurrency = seed, concurrency
        self.identity: Mapping[str, Any] = {
            "plugin": "scripted", "accuracy": accuracy, "truncation": truncation, "failure": failure, "seed": seed,
            "sampling": dict(sampling)}
        self._failed: set[tuple[str, int]] = set()

    def check(self) -> None:
        """Nothing can be missing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        pass

    async def ask(self, messages: Sequence[Message], seed: int) -> Completion:
        await asyncio.sleep(self.delay)
        prompt = canonical([dict(message) for message in messages])
        rng = random.Random(f"{self.seed}/{seed}/{prompt}")
        if rng.random() < self.failure and (prompt, seed) not in self._failed:
            self._failed.add((prompt, seed))
            raise AskFailed("scripted failure of a first attempt", retry=True)
        return self._reply(messages[-1]["content"], prompt, rng)

    def _reply(self, question: str, prompt: str, rng: random.Random) -> Completion:
        cut, right, size = rng.random() < self.truncation, rng.random() < self.accuracy, rng.randint(3, 12)
        value = solve(question)
        if value is None:
            value = Fraction(rng.randint(0, 99))
        elif not right:
            value += rng.choice([-10, -2, -1, 1, 2, 10])
        text = _write(value, rng, size)
        if cut:
            text = text[:text.index(thoughts.CLOSE) * 2 // 3]
        thinking, response = thoughts.split(text)
        return Completion(thinking, response, text, "length" if cut else "stop", len(prompt.split()), len(text.split()),
                          len(thinking.split()))


def _write(value: Fraction, rng: random.Random, size: int) -> str:
    steps = [f"Step {i + 1}: {rng.choice(MUSINGS)}" for i in range(size)]
    answer = str(value) if value.denominator == 1 else f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
    return thoughts.join("\n".join(["", *steps, f"That gives {value}.", ""]), f"The answer is \\boxed{{{answer}}}.",
                         closed=True)


# -- arithmetic, without eval ----------------------------------------------------------------------------------------


def solve(question: str) -> Fraction | None:
    """The value of a `Compute …` prompt, or None for anything that the grammar below does not cover.

    >>> solve("Compute 3 * (4 + 5) - 2.")
    Fraction(25, 1)
    """
    found = re.fullmatch(r"Compute ([\d\s+*/()-]{1,200})\.?", question.strip())  # bounded: so is the recursion
    tokens = re.findall(r"\d+|\S", found[1]) if found else []
    try:
        value = _sum(tokens)
    except (IndexError, ValueError, ZeroDivisionError):
        return None
    return None if tokens else value


def _sum(tokens: list[str]) -> Fraction:
    value = _product(tokens)
    while tokens and tokens[0] in "+-":
        value = value + _product(tokens) if tokens.pop(0) == "+" else value - _product(tokens)
    return value


def _product(tokens: list[str]) -> Fraction:
    value = _atom(tokens)
    while tokens and tokens[0] in "*/":
        value = value * _atom(tokens) if tokens.pop(0) == "*" else value / _atom(tokens)
    return value


def _atom(tokens: list[str]) -> Fraction:
    match tokens.pop(0):
        case "-":
            return -_atom(tokens)
        case "(":
            value = _sum(tokens)
            if tokens.pop(0) != ")":
                raise ValueError("a bracket is not closed")
            return value
        case token:
            return Fraction(int(token))
