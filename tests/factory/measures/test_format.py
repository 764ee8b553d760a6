"""The measures of form: spans, final answers, errors stored as answers, leaks, code, lengths."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer

from factory.measures.answer_only_in_thinking import answer_only_in_thinking
from factory.measures.answers import response_of
from factory.measures.api_error import api_error
from factory.measures.code_share import code_share
from factory.measures.final_answers import final_answers
from factory.measures.hint_leak import hint_leak
from factory.measures.length import length
from factory.measures.log_probability import log_probability
from factory.measures.prompt_copied import prompt_copied
from factory.measures.thinking_spans import thinking_spans
from factory.measures.token_length import _counter, token_length
from factory.measures.verification import verification
from factory.records import Completion, Problem, Request, Trace
from factory.thoughts import split

PROBLEM = Problem("A warehouse holds 36 crates of 8 boxes each. How many boxes is that?", "288")
TEACHER = Path(__file__).parents[3] / "data" / "teacher"


def trace(raw: str) -> Trace:
    thinking, response = split(raw)
    return Trace(Request(PROBLEM.id, "{}", "{}", 0), Completion(thinking, response, raw, "stop"))


@pytest.mark.parametrize(("raw", "value"), [
    ("2", 0), ("<think>a</think>2", 1), ("a</think>2", 1), ("<think>a", 1), ("<think>a</think>b<think>c</think>d", 2),
    ("I think> 2", 0),
])
def test_thinking_spans(raw: str, value: float) -> None:
    assert thinking_spans(PROBLEM, trace(raw)) == value


@pytest.mark.parametrize(("raw", "value"), [
    (r"So \boxed{288}.", 1), (r"\boxed{288} and again \boxed{ 288 }", 1),
    (r"\boxed{2} or else it could be \boxed{3}", 2),
    (r"$\boxed{1}, \boxed{2}$ and $\boxed{3}$", 1), (r"\boxed{\frac{1}{2}}", 1), (r"\boxed{288", 0),
    (r"\boxed{1} " + r"\boxed{" * 20_000, 1),  # a loop: not a look at thousands of characters for each
    (r"<think>\boxed{288}</think>Well.", 0), (r"<think>\boxed{3}</think>\boxed{288}", 1), ("The answer is 288.", 1),
    ("Answer: 288", 1), ("**Answer:** 288\n\nThe answer is **288**.", 1), ("The answer is 3. No, the answer is 4.", 2),
    ("#### 288", 1), ("<answer>288</answer>", 1), ("### Final Answer\n\n288", 1), ("答案是 288", 1),
    ("", 0), ("Let us see.", 0),
    ('{"reasoning": "36 * 8", "answer": "288"}', 1), ('```json\n{"reasoning": "the answer is \\\\boxed{288}. So', 0),
    ('I reason first.\n```json\n{\n "reasoning": "x",\n "answer": 288\n}\n```', 1),
    ("There are 288 boxes.", 0), ("There are **288** boxes.", 0),
])
def test_final_answers_are_those_that_are_marked(raw: str, value: float) -> None:
    assert final_answers(PROBLEM, trace(raw)) == value


@pytest.mark.parametrize(("raw", "value"), [
    ("So there are 288 boxes.", 1), ("So there are **288** boxes.\n", 1), ("It is \\[ 288 \\]", 1), ("Let us see.", 0),
    ("There are 36 crates.\n\nI cannot say.", 0), ("<think>288", 0),
])
def test_any_takes_the_number_of_the_last_line(raw: str, value: float) -> None:
    assert final_answers(PROBLEM, trace(raw), form="any") == value


@pytest.mark.parametrize(("raw", "value"), [
    ("<think>36 * 8 = 288, so the answer is 288.</think>That was it.", 1), (r"<think>\boxed{288}</think>", 1),
    (r"<think>\boxed{288}</think>There are 288.", 0), ("<think>Hm.</think>I do not know.", 0),
    ("The answer is 288.", 0),
])
def test_an_answer_only_in_the_thinking_is_told(raw: str, value: float) -> None:
    assert answer_only_in_thinking(PROBLEM, trace(raw)) == value


@pytest.mark.parametrize("raw", [
    "Error after 6 attempts: Expecting value: line 10 column 1 (char 9)", "API Error: this query is blocked by APIs.",
    "Error: 429 Too Many Requests", "openai.RateLimitError: Error code: 429 - {'error': {}}", "503 Service Unavailable",
    "<html><head><title>502 Bad Gateway</title></head>", '{"error": {"message": "overloaded"}}', "Request timed out.",
    "Traceback (most recent call last):\n  File", "Connection error occurred", "<think>\nInternal Server Error",
])
def test_the_text_of_an_error_is_told_from_an_answer(raw: str) -> None:
    assert api_error(PROBLEM, trace(raw)) == 1


@pytest.mark.parametrize("raw", [
    "", "The error is 5 %, so the answer is 95.", "Error analysis: we round twice. " * 60, "404 boxes", "500",
    "We catch the error: KeyError: 'x' is raised, hence 3.", "{\"answer\": 5}", "<think>Error? No.</think>5",
])
def test_an_answer_that_speaks_of_errors_is_none(raw: str) -> None:
    assert api_error(PROBLEM, trace(raw)) == 0


@pytest.mark.parametrize("raw", [
    "The answer is 288.", "<think>The answer is 288. Now 36 * 8 = 288.</think>288", r"\boxed{288}", "288",
    "<think>As the answer is 288, we write</think>288", "<think>According to the hint, it is so.</think>288",
    "We know the answer, so we only have to explain it.", "Answer: **288**",
    "<think>The given answer is right.</think>288", "<think>Let me see. The answer is 288. Now, 36 * 8.</think>288",
    "<think>Okay, let's think. The answer is 288.</think>288",
])
def test_an_answer_before_any_derivation_is_a_leak(raw: str) -> None:
    assert hint_leak(PROBLEM, trace(raw)) == 1


@pytest.mark.parametrize("raw", [
    "36 * 8 = 288. The answer is 288.", "<think>We need 36 times 8. 36 × 8 = 288.</think>The answer is 288.", "", "289",
    "The answer is 2885.", "First multiply; the answer is 288.",
    "Let x be the product of 36 and 8. The answer is 288.", "Let us multiply 36 by 8. The answer is 288.",
    "Each correct answer is worth 5 points, so 36 of them 180.",
])
def test_a_derived_answer_is_no_leak(raw: str) -> None:
    assert hint_leak(PROBLEM, trace(raw)) == 0


def test_a_hint_in_the_prompt_may_be_spoken_of() -> None:
    asked = replace(PROBLEM, prompt="The hint is its first letter: e.")
    assert hint_leak(asked, trace("The hint says e, so 3 + 4.")) == 0


def test_prompt_copied_is_the_share_of_the_prompts_grams() -> None:
    asked = replace(PROBLEM, prompt="one two three four five six seven eight nine ten eleven")
    assert prompt_copied(asked, trace(f"The question: {asked.prompt.upper()} So it is 5.")) == 1
    assert prompt_copied(asked, trace("one two three four five six seven eight nine")) == 0.5
    assert prompt_copied(asked, trace("eleven ten nine eight seven six five four three two one")) == 0
    assert prompt_copied(replace(PROBLEM, prompt="What?"), trace("What?")) == 0
    with pytest.raises(ValueError, match="n of 1 or more"):
        prompt_copied(asked, trace(""), n=0)


@pytest.mark.parametrize(("raw", "value"), [
    ("", 0), ("no code", 0), ("ab```cd```ef", 1 / 6), ("a```" + "b" * 6, 0.6), ("```a```b```c```", 2 / 15),
    ("x `y` z", 0),
])
def test_code_share_is_what_stands_between_fences(raw: str, value: float) -> None:
    assert code_share(PROBLEM, trace(raw)) == pytest.approx(value)


def test_verification_counts_words_of_checking_and_not_of_doubt() -> None:
    text = "Wait. Let me double-check, plugging x = 2 back in. This satisfies it. Hmm, a checkered one."
    assert verification(PROBLEM, trace(text)) == pytest.approx(3000 / len(text.split()))


def test_length_can_be_that_of_a_part() -> None:
    text = trace("<think>abc</think>de")
    assert (length(PROBLEM, text), length(PROBLEM, text, of="thinking")) == (20, 3)
    assert length(PROBLEM, text, of="response") == 2


@pytest.mark.parametrize(("quick", "expected"), [(lambda text: len(text) + 1, "slow"), (lambda text: 1 / 0, "slow"),
                                                 (None, "quick")])
def test_a_quick_tokenizer_is_believed_only_where_it_agrees(quick: Callable[[str], int] | None, expected: str,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Tokenizer.from_file(str(TEACHER / "tokenizer.json"))
    asked: list[str] = []

    class Quick:
        def encode(self, text: str, special: bool) -> range:
            asked.append(text)
            return range(quick(text) if quick else len(slow.encode(text, add_special_tokens=special)))
    fake = SimpleNamespace(Tokenizer=SimpleNamespace(from_json_str=lambda _: Quick()))
    monkeypatch.setitem(sys.modules, "fastokens", fake)
    _counter.cache_clear()
    text = trace("Let me see: 2 + 3 = 5.")
    assert token_length(PROBLEM, text, tokenizer=str(TEACHER)) == len(slow.encode(text.completion.raw))
    assert (asked[-1] == text.completion.raw) == (expected == "quick")
    _counter.cache_clear()


def test_a_length_is_not_what_a_tokenizers_file_would_cut_or_fill_it_to(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(TEACHER / "tokenizer.json"))
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = trace("one two three four five six")
    whole = token_length(PROBLEM, text, tokenizer=str(TEACHER))
    assert token_length(PROBLEM, text, tokenizer=str(tmp_path)) == whole > 3


def test_token_length_is_counted_by_the_tokenizer_that_is_named() -> None:
    text = trace("1 + 1 = 2")
    folder, file = (token_length(PROBLEM, text, tokenizer=str(path)) for path in (TEACHER, TEACHER / "tokenizer.json"))
    assert folder == file > 0 == token_length(PROBLEM, text, tokenizer=str(TEACHER), of="thinking")


def test_a_tokenizer_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"there is no tokenizer '{tmp_path}': name a folder with tokenizer.json"):
        token_length(PROBLEM, trace("1"), tokenizer=str(tmp_path))


def test_log_probability_is_what_was_stored_and_no_value_where_nothing_was() -> None:
    text = trace("2")
    told = replace(text, completion=replace(text.completion, mean_logprob=-0.5, min_logprob=-7.0))
    assert (log_probability(PROBLEM, told), log_probability(PROBLEM, told, of="lowest")) == (-0.5, -7.0)
    with pytest.raises(ValueError, match="set logprobs = true"):
        log_probability(PROBLEM, text)


@pytest.mark.parametrize(("response", "value"), [
    (r"Write `<think>` before it. \boxed{288}", r"Write `<think>` before it. \boxed{288}"),
    ("<think>Hm.</think>288", "288"), ("<think>Hm.", ""), ("Hm.</think> 288", "288"),
])
def test_a_response_that_nobody_split_is_split_and_tags_that_are_talked_about_are_text(response: str,
                                                                                      value: str) -> None:
    assert response_of(replace(trace("2"), completion=Completion("", response, response, "stop"))) == value
