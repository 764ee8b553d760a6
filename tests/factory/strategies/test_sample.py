"""`sample` asks once, with what the recipe puts around the prompt."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from factory.records import Completion, Message, Problem
from factory.strategies.sample import sample

REPLY = Completion(thinking="", response="2", raw="2", finish_reason="stop")


@pytest.mark.parametrize(("keys", "messages"), [
    ({}, [("user", "1+1?")]),
    ({"prefix": "Q: ", "suffix": " Box it."}, [("user", "Q: 1+1? Box it.")]),
    ({"system": "Think."}, [("system", "Think."), ("user", "1+1?")]),
])
def test_it_asks_once_and_gives_back_the_answer(keys: dict[str, Any], messages: list[tuple[str, str]]) -> None:
    asked: list[Sequence[Message]] = []

    async def ask(messages: Sequence[Message]) -> Completion:
        asked.append(messages)
        return REPLY

    assert asyncio.run(sample(Problem("1+1?", "2"), ask, **keys)) is REPLY
    assert [[(m["role"], m["content"]) for m in each] for each in asked] == [messages]
