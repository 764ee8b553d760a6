"""Each measure on the smallest text that shows what it counts; all of them are numbers on any text."""

import math

import pytest

from factory import plugins
from factory.measures.boxed import boxed
from factory.measures.length import length
from factory.measures.reflection import reflection
from factory.measures.repetition import repetition
from factory.measures.tokens import tokens
from factory.measures.truncation import truncation
from factory.records import Completion, Problem, Request, Trace

PROBLEM = Problem("1+1?", "2")
NEED_MORE = ("token_length", "log_probability", "reward", "process_reward")  # a tokenizer, log-probabilities, models


def trace(raw: str, response: str | None = None, finish_reason: str = "stop", completion_tokens: int = 0) -> Trace:
    completion = Completion("", raw if response is None else response, raw, finish_reason,
                            completion_tokens=completion_tokens)
    return Trace(Request(PROBLEM.id, "{}", "{}", 0), completion)


def test_length_is_characters_of_the_raw_text_and_tokens_are_the_teachers() -> None:
    assert length(PROBLEM, trace("<think>é</think>2", response="2")) == 17
    assert tokens(PROBLEM, trace("2", completion_tokens=5)) == 5


@pytest.mark.parametrize(("raw", "n", "value"), [
    ("", 8, 0), ("short", 8, 0), ("a b c d", 1, 0), ("a a a a", 1, 0.75), ("a b a b a b", 2, 0.6),
    ("one two three four five six seven eight " * 100, 8, 1 - 8 / 793),
])
def test_repetition_is_the_share_of_grams_seen_before(raw: str, n: int, value: float) -> None:
    assert repetition(PROBLEM, trace(raw), n=n) == pytest.approx(value)


@pytest.mark.parametrize(("raw", "finish_reason", "value"), [
    ("<think>a</think>2", "stop", 0), ("a</think>2", "stop", 0), ("2", "stop", 0),
    ("<think>a</think>2", "length", 1), ("<think>a", "stop", 1), ("<think>a</think>b<think>c", "stop", 1),
])
def test_truncation_is_a_limit_reached_or_thinking_unclosed(raw: str, finish_reason: str, value: float) -> None:
    assert truncation(PROBLEM, trace(raw, finish_reason=finish_reason)) == value


@pytest.mark.parametrize("raw", [
    "Wait, no.", "Hmm.", "Check: 37-12=25, ok.", "That does not match.", "Let me re-read it.", "It doesn\u2019t match",
    "a mistake", "to verify this", "Actually 3", "we double-check", "redo: 4",
])
def test_reflection_finds_a_look_back(raw: str) -> None:
    assert reflection(PROBLEM, trace(raw)) == 1000 / len(raw.split())


@pytest.mark.parametrize("raw", ["", "1+1=2", "the waiter in checkered factual dress", "Let me think.", "a match"])
def test_reflection_leaves_other_words_alone(raw: str) -> None:
    assert reflection(PROBLEM, trace(raw)) == 0


@pytest.mark.parametrize(("response", "value"), [
    (r"So \boxed{2}.", 1), (r"\boxed{\frac{1}{2}}", 1), (r"\boxed{\{1, 2\}}", 1), (r"\boxed {2}", 1),
    (r"<think>\boxed{3}</think>\boxed{2}", 1),
    ("2", 0), (r"\boxed{2} or \boxed{3}", 0), (r"\boxed{\frac{1}{2}", 0), (r"\boxed{ }", 0), (r"<think>\boxed{2}", 0),
])
def test_boxed_is_one_whole_box_in_the_response(response: str, value: float) -> None:
    assert boxed(PROBLEM, trace(response)) == value


@pytest.mark.parametrize("name", [name for name in plugins.names("measure") if name not in NEED_MORE])
@pytest.mark.parametrize("raw", [
    "", " ", "<think>", "</think>", "\\boxed{", "思考" * 50, "{" * 1000, "wait " * 1000, "a" * 1000, "\ud800", "“–”…",
    "```", "answer:", "é" * 40, "\u2003", "<think>\n</think>\n", "Wait, " * 300 + "the answer is 2.",
])
def test_every_measure_has_a_version_and_is_a_number_on_any_text(name: str, raw: str) -> None:
    value = plugins.function("measure", name)(PROBLEM, trace(raw))
    assert plugins.module("measure", name).VERSION >= 1 and isinstance(value, float) and math.isfinite(value)


@pytest.mark.parametrize("name", plugins.names("measure"))
def test_every_measure_says_what_it_is(name: str) -> None:
    assert plugins.module("measure", name).__doc__
