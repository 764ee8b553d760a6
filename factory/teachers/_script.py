"""What the scripted server does: how it answers, how it misbehaves, and its tokens. Nothing here touches a socket.

Every choice is a function of the script's seed, the request and how often that request came before, so two runs against
two servers of one script meet the same faults, and a success always says the same.
"""

import random
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from factory.protocols import UserError
from factory.teachers.scripted import scripted

FAULTS = ("http_500", "http_429", "reset", "half", "html", "hang")
"""Kinds of faults, each with its share of the requests."""

SIZES = ("context", "slots", "kv_tokens")
"""Settings that no engine can have 0 of."""


@dataclass(frozen=True)
class Script:
    """How the server behaves. Shares are from 0 to 1, times in seconds."""

    model: str = "scripted"
    seed: int = 0
    accuracy: float = 0.6
    truncation: float = 0.0
    repetition: float = 0.0
    mixing: float = 0.0
    steps: int = 0
    delay: float = 0.0
    token_delay: float = 0.0
    http_500: float = 0.0
    http_429: float = 0.0
    reset: float = 0.0
    half: float = 0.0
    html: float = 0.0
    hang: float = 0.0
    retry_after: str = ""
    slow_start: float = 0.0
    die_after: int = 0
    key_env: str = ""
    context: int = 1_000_000
    busy_above: int = 0
    engine: bool = True
    old_metrics: bool = False
    slots: int = 256
    kv_tokens: int = 1_000_000
    log: str = ""

    @classmethod
    def read(cls, settings: Sequence[str]) -> Self:
        """From KEY=VALUE texts. Raises UserError for what is none of the fields above."""
        kinds = {field.name: type(field.default) for field in fields(cls)}
        given: dict[str, Any] = {}
        for setting in settings:
            key, _, text = setting.partition("=")
            if key not in kinds:
                raise UserError(f"the script has no '{key}': use one of {', '.join(kinds)}")
            given[key] = _value(key, text, kinds[key])
        made = cls(**given)
        if sum(getattr(made, fault) for fault in FAULTS) > 1:
            raise UserError(f"the shares of {', '.join(FAULTS)} come to more than 1: lower some")
        return made

    def teacher(self) -> Any:
        """The teacher whose answers these are."""
        return scripted(accuracy=self.accuracy, truncation=self.truncation, seed=self.seed, steps=self.steps,
                        repetition=self.repetition, mixing=self.mixing)


def _value(key: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    value: Any
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = None
    if kind is float and type(value) is int:
        value = float(value)
    exact: bool = value.__class__ is kind  # a bool is no int here
    least = int(key in SIZES)
    if not exact or (kind is not bool and value < least) or (key in FAULTS and value > 1):
        number = kind.__name__ if kind is bool else f"{kind.__name__}, {least} or more"
        wanted = "a share from 0 to 1" if key in FAULTS else number
        raise UserError(f"the script's {key} = {text} has to be {wanted}: write it as --set KEY=VALUE")
    return value


class Faults:
    """Which requests go wrong, and how. A request that failed may succeed when it comes again."""

    def __init__(self, script: Script) -> None:
        self.shares = {fault: getattr(script, fault) for fault in FAULTS}
        self.seed = script.seed
        self._seen: Counter[str] = Counter()

    def next(self, request: str) -> str:
        """The fault that this request meets now; "" for none."""
        if not any(self.shares.values()):
            return ""
        self._seen[request] += 1
        drawn = random.Random(f"fault/{self.seed}/{request}/{self._seen[request]}").random()
        for fault, share in self.shares.items():
            if drawn < share:
                return fault
            drawn -= share
        return ""


# -- tokens: one a character, one for each tag, and one that ends a text ------------------------------------------

TAGS = ("<think>", "</think>")
END = len(TAGS)
FIRST = END + 1


def encode(text: str) -> list[int]:
    """The ids of a text; `decode` gives it back."""
    pieces = re.split(r"(</?think>)", text)
    return [token for piece in pieces
            for token in ([TAGS.index(piece)] if piece in TAGS else (ord(character) + FIRST for character in piece))]


def decode(tokens: Sequence[int]) -> str:
    return "".join(TAGS[token] if token < END else chr(token - FIRST) for token in tokens if token != END)


def render(messages: Sequence[Mapping[str, Any]]) -> str:
    """The prompt that the chat template makes."""
    return "".join(f"<|{message['role']}|>\n{message['content']}\n" for message in messages) + "<|assistant|>\n"


def parse(prompt: str) -> tuple[list[dict[str, str]], str]:
    """The messages of a rendered prompt, and what was written after it."""
    asked, _, written = prompt.rpartition("<|assistant|>\n")
    found = re.findall(r"<\|(\w+)\|>\n(.*?)\n(?=<\||\Z)", asked, re.DOTALL)
    messages = [{"role": role, "content": content} for role, content in found]
    return messages or [{"role": "user", "content": asked}], written


def go_on(script: Script, messages: list[dict[str, str]], written: str, seed: int) -> str:
    """What comes after `written`: the answer from its beginning, or the end of the thought, or the answer itself."""
    whole = str(script.teacher().answer(messages, seed).raw)
    thought, _, response = whole.rpartition("</think>")
    if not written:
        return whole
    if "</think>" in written:
        return response
    return f"\nSo, again.\n{thought.splitlines()[-1] if thought else ''}\n</think>{response}"
