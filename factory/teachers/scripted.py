"""A teacher without a model, for dry runs and tests of the stages: it writes long reasoning out of a hash.

`factory.teachers._script_server` puts it behind HTTP, with the faults of a server.

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
MIXED = ("Это всё ещё верно.", "让我们再检查一下。", "もう一度確かめよう。")


def scripted(*, accuracy: float = 0.6, delay: float = 0.0, truncation: float = 0.0, failure: float = 0.0,
             seed: int = 0, concurrency: int = 64, sampling: Mapping[str, Any] = {}, steps: int = 0,
             repetition: float = 0.0, mixing: float = 0.0) -> "Scripted":
    """A teacher that is right with chance `accuracy`, cut off with `truncation`, and fails a first attempt with
    `failure`; `delay` is in seconds an answer. It thinks in about so many `steps` (0: 3 to 12), gets stuck in one with
    chance `repetition`, and slips into other languages with `mixing`. Of `sampling` only `logprobs` does something; all
    of it is in its identity.
    """
    shares = {"accuracy": accuracy, "truncation": truncation, "failure": failure, "repetition": repetition,
              "mixing": mixing}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UserError(f"teacher.{name} is {share}: set a share from 0 to 1")
    if steps < 0 or delay < 0:
        raise UserError(f"teacher.steps is {steps} and teacher.delay {delay}: set 0 or more")
    if concurrency < 1:
        raise UserError(f"teacher.concurrency is {concurrency}: set it to 1 or more")
    return Scripted(shares, delay, seed, concurrency, sampling, steps)


class Scripted:
    """See `scripted`."""

    def __init__(self, shares: Mapping[str, float], delay: float, seed: int, concurrency: int,
                 sampling: Mapping[str, Any], steps: int) -> None:
        self.shares, self.delay, self.seed, self.steps = shares, delay, seed, steps
        self.concurrency, self.sampling = concurrency, sampling
        later = {"steps": steps, "repetition": shares["repetition"], "mixing": shares["mixing"]}
        self.identity: Mapping[str, Any] = {
            "plugin": "scripted", **{name: shares[name] for name in ("accuracy", "truncation", "failure")},
            "seed": seed, "sampling": dict(sampling), **{name: value for name, value in later.items() if value}}
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
        if self._rng(prompt, seed).random() < self.shares["failure"] and (prompt, seed) not in self._failed:
            self._failed.add((prompt, seed))
            raise AskFailed("scripted failure of a first attempt", retry=True)
        return self.answer(messages, seed)

    def answer(self, messages: Sequence[Message], seed: int) -> Completion:
        """What it says, at once and without fail: a function of the messages and the seed."""
        prompt = canonical([dict(message) for message in messages])
        rng = self._rng(prompt, seed)
        rng.random()  # the one that decides on a failure
        cut, right = rng.random() < self.shares["truncation"], rng.random() < self.shares["accuracy"]
        size = rng.randint(3, 12)
        text = self._write(self._value(messages[-1]["content"], right, rng), rng, size)
        if cut:
            text = text[:text.index(thoughts.CLOSE) * 2 // 3]
        thinking, response = thoughts.split(text)
        chances = [-rng.expovariate(4) for _ in text.split()] if self.sampling.get("logprobs") else []
        return Completion(thinking, response, text, "length" if cut else "stop", len(prompt.split()), len(text.split()),
                          len(thinking.split()), sum(chances) / len(chances) if chances else None,
                          min(chances, default=None))

    def _rng(self, prompt: str, seed: int) -> random.Random:
        return random.Random(f"{self.seed}/{seed}/{prompt}")

    def _value(self, question: str, right: bool, rng: random.Random) -> Fraction:
        value = solve(question)
        if value is None:
            return Fraction(rng.randint(0, 99))
        return value if right else value + rng.choice([-10, -2, -1, 1, 2, 10])

    def _write(self, value: Fraction, rng: random.Random, size: int) -> str:
        own = random.Random(rng.random()) if self.steps or self.shares["repetition"] or self.shares["mixing"] else rng
        size = own.randint(self.steps // 2 + 1, self.steps + self.steps // 2) if self.steps else size
        stuck = own is not rng and own.random() < self.shares["repetition"]
        mixed = own is not rng and own.random() < self.shares["mixing"]
        steps = [f"Step {i + 1}: {rng.choice(MUSINGS)}" for i in range(size)]
        steps += [steps[-1]] * 30 if stuck else []
        steps[size // 2:size // 2] = MIXED if mixed else ()
        answer = str(value) if value.denominator == 1 else f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
        return thoughts.join("\n".join(["", *steps, f"That gives {value}.", ""]),
                             f"The answer is \\boxed{{{answer}}}.", closed=True)


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
