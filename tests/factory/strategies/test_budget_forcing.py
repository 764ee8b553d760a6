"""Budget forcing keeps its ceilings, counts its waits, and leaves no closing tag in the thinking."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from factory.protocols import AskFailed, UserError
from factory.records import Completion, Message, Problem
from factory.strategies.budget_forcing import budget_forcing

END, EOS = 0, 1
PROBLEM = Problem("2+2?", "4")
PROMPT = "user: 2+2?\n"


class Model:
    """Writes its `parts` in turn: thoughts, of which each ends as it says (`|` closes it, `.` ends the text), and last
    an answer. A token is a character, but for the closing tag."""

    def __init__(self, *parts: str, context: int = 1000, tag: str = "</think>") -> None:
        self.parts, self.room, self.tag, self.calls = list(parts), context, tag, list[dict[str, Any]]()

    async def __call__(self, messages: Sequence[Message]) -> Completion:
        raise AssertionError("it is asked by tokens alone")

    async def context(self) -> int:
        return self.room

    async def encode(self, text: str | Sequence[Message]) -> list[int]:
        if not isinstance(text, str):
            return [ord(c) for message in text for c in f"{message['role']}: {message['content']}\n"]
        pieces = text.split(self.tag)
        ids = [ord(c) for c in pieces[0]]
        for piece in pieces[1:]:
            ids += [END, *map(ord, piece)]
        return ids

    async def complete(self, tokens: Sequence[int], **limits: Any) -> Completion:
        self.calls.append({"tokens": list(tokens), **limits})
        text = self.parts.pop(0)
        body, mark = (text[:-1], text[-1]) if text[-1] in "|." else (text, ".")
        ids = [*map(ord, body), END if mark == "|" else EOS]
        most = limits["max_tokens"]
        finish = "length" if len(ids) > most else "stop"
        kept = body[:most] if finish == "length" else body
        return Completion("", kept, kept, finish, len(tokens), min(most, len(ids)), mean_logprob=-1.0, min_logprob=-2.0,
                          tokens=(*tokens, *ids[:most]))

    def force(self, **options: Any) -> Completion:
        usual: dict[str, Any] = {"maximum": 100, "waits": 0, "answer_tokens": 20}
        return asyncio.run(budget_forcing(PROBLEM, self, **usual | options))


def story(made: Completion) -> list[tuple[str, str, Any]]:
    return [(step.kind, step.text, json.loads(str(step.state))) for step in made.steps]


def test_a_thought_that_ends_by_itself_is_left_alone() -> None:
    model = Model("<think>it is 4|", "4")
    made = model.force()
    assert (made.thinking, made.response, made.raw) == ("it is 4", "4", "<think>it is 4</think>4")
    assert (made.finish_reason, made.prompt_tokens, made.thinking_tokens) == ("stop", len(PROMPT), 14)
    assert made.completion_tokens == 14 + 1 + 2, "the thought, the tag, the answer with its end"
    assert story(made) == [("segment", "<think>it is 4", {"tokens": 14, "ended": "closed"}),
                           ("inserted", "</think>", {"before": 14}), ("segment", "4", {"tokens": 1, "ended": "stop"})]
    assert {step.value for step in made.steps} == {None}, "a value would be a label of a right or a wrong step"


@pytest.mark.parametrize("waits", [0, 1, 3])
def test_as_in_s1_every_end_is_suppressed_so_often(waits: int) -> None:
    made = Model(*["so|"] * (waits + 1), "4").force(waits=waits, opening="<think>")
    assert made.raw == "<think>" + "soWait" * waits + "so</think>4"
    assert [step.text for step in made.steps if step.kind == "inserted"] == ["<think>", *["Wait"] * waits, "</think>"]
    assert "think>" not in made.thinking + made.response


def test_the_minimum_is_reached_or_the_waits_are_used_up() -> None:
    reached = Model("abcd|", "efgh|", "4").force(minimum=12, waits=5)
    assert [step.text for step in reached.steps] == ["abcd", "Wait", "efgh", "</think>", "4"]
    given_up = Model("a|", "b|", "c|", "4").force(minimum=90, waits=2)
    assert [step.text for step in given_up.steps] == ["a", "Wait", "b", "Wait", "c", "</think>", "4"]


@pytest.mark.parametrize("maximum", [1, 7, 30])
def test_the_maximum_is_exact_and_the_answer_is_asked_for(maximum: int) -> None:
    model = Model("<think>" + "x" * 50, "4")
    made = model.force(maximum=maximum)
    assert made.thinking_tokens == maximum
    assert story(made)[0][2] == {"tokens": maximum, "ended": "length"}
    assert made.raw == ("<think>" + "x" * 50)[:maximum] + "\n</think>\n\nFinal Answer:4"
    assert made.response == "Final Answer:4"
    assert [call["max_tokens"] for call in model.calls] == [maximum, 20]


def test_waits_count_towards_the_maximum() -> None:
    model = Model("12345|", "12345|", "x" * 30, "4")
    made = model.force(maximum=20, waits=9)
    assert made.thinking_tokens == 20
    assert [call["max_tokens"] for call in model.calls] == [20, 20 - 9, 20 - 18, 20]
    assert made.raw == "12345Wait12345Waitxx\n</think>\n\nFinal Answer:4"


def test_no_wait_where_it_would_not_fit() -> None:
    made = Model("12345|", "4").force(maximum=9, waits=3)
    assert [step.text for step in made.steps] == ["12345", "</think>", "4"]


def test_a_text_that_ends_without_closing_goes_on_too() -> None:
    made = Model("it is 4.", "yes.", "4").force(waits=1)
    assert [(text, state.get("ended")) for _, text, state in story(made)] == [
        ("it is 4", "stop"), ("Wait", None), ("yes", "stop"), ("\n</think>\n\nFinal Answer:", None), ("4", "stop")]
    assert (made.thinking, made.response) == ("it is 4Waityes", "Final Answer:4")


def test_each_piece_goes_on_from_exactly_the_tokens_before() -> None:
    model = Model("<think>ab|", "cd|", "4")
    model.force(waits=1)
    written = [PROMPT, PROMPT + "<think>abWait", PROMPT + "<think>abWaitcd</think>"]
    assert [call["tokens"] for call in model.calls] == [asyncio.run(model.encode(text)) for text in written]
    assert [call.get("stop_token_ids") for call in model.calls] == [[END], [END], None]


def test_an_answer_that_is_cut_off_is_marked() -> None:
    made = Model("a|", "4" * 50).force(answer_tokens=5)
    assert (made.finish_reason, made.response) == ("length", "44444")
    assert made.tokens[made.prompt_tokens:] == (ord("a"), END, *map(ord, "44444"))


def test_the_context_is_the_upper_limit_and_the_answer_keeps_its_room() -> None:
    model = Model("x" * 500, "4", context=100)
    made = model.force(maximum=10_000)
    cue = len(asyncio.run(model.encode("\n</think>\n\nFinal Answer:")))
    assert made.thinking_tokens == 100 - len(PROMPT) - 20 - cue
    with pytest.raises(AskFailed, match="leaves no room") as failed:
        Model("x", context=len(PROMPT) + 20 + cue).force()
    assert not failed.value.retry


def test_s1_closes_its_thinking_by_a_turn() -> None:
    settings = {"closing": "<|im_start|>", "opening": "<|im_start|>think\n", "cue": "answer\nFinal Answer:"}
    model = Model("aa|", "answer\n4", tag="<|im_start|>")
    made = model.force(**settings)
    assert (made.thinking, made.response) == ("aa", "4")
    forced = Model("a" * 90, "4", tag="<|im_start|>").force(maximum=40, **settings)
    assert (forced.thinking, forced.response) == ("a" * (40 - len("think\n") - 1), "Final Answer:4")


def test_log_probabilities_are_those_of_all_pieces() -> None:
    made = Model("a|", "4").force()
    assert (made.mean_logprob, made.min_logprob) == (-1.0, -2.0)


def test_what_goes_round_the_prompt() -> None:
    model = Model("a|", "4")
    model.force(system="Be brief.", prefix="Q: ", suffix=" A:")
    assert "".join(map(chr, model.calls[0]["tokens"])) == "system: Be brief.\nuser: Q: 2+2? A:\n"


@pytest.mark.parametrize("options", [{"maximum": 0}, {"waits": -1}, {"answer_tokens": 0}])
def test_a_budget_that_is_none_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least 1, 0 and 1"):
        Model("a|", "4").force(**options)


def test_a_closing_tag_of_several_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="'</end>' is 6 tokens of this model"):
        Model("a|", "4").force(closing="</end>")
