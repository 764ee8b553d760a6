"""IFEval's 25 kinds of instruction: one text that follows and one that does not for each, and what cannot be told."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from verifiers.ifeval import ifeval
from verifiers.ifeval_checks import CHECKS

SHARED = Path(__file__).parents[3] / "shared" / "data" / "problems" / "ifeval.jsonl.gz"


def reference(*instructions: tuple[str, dict[str, Any]]) -> str:
    names, arguments = [name for name, _ in instructions], [given for _, given in instructions]
    return json.dumps({"instruction_id_list": names, "kwargs": arguments})


KINDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["sea", "wind"]}, "Wind over the SEA", "Wind"),
    ("keywords:frequency", {"keyword": "sea", "frequency": 2, "relation": "at least"}, "sea, sea", "sea"),
    ("keywords:frequency", {"keyword": "sea", "frequency": 2, "relation": "less than"}, "the sea", "sea sea"),
    ("keywords:forbidden_words", {"forbidden_words": ["sea"]}, "seaside", "the Sea."),
    ("keywords:letter_frequency", {"letter": "n", "let_frequency": 2, "let_relation": "at least"}, "Nun", "no"),
    ("language:response_language", {"language": "ko"}, "안녕하세요 여러분", "Good morning"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "It is. So be it.", "It is."),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two three", "one two"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "one two", "one two three"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weekend"},
     "One.\n\nWeekend, at last.", "Weekend.\n\nOne."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] and [address]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Dear.\nP.S. Bye", "Dear."),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Dear.\nP.P.S Bye", "Dear.\nP.S. Bye"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n* b", "* a\n* b\n- c"),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a b* and **c**", "*a* ** **"),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2},
     "SECTION 1\na\nSECTION 2\nb", "SECTION 1\na"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', '{"a": 1} there'),
    ("detectable_format:title", {}, "<<poem of joy>>\nla", "<<>> la"),
    ("combination:two_responses", {}, "One.\n******\nTwo.", "One.\n******\nOne."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Write it."}, "Write it.\nDone.", "Done. Write it."),
    ("startend:end_checker", {"end_phrase": "The end."}, "So it goes. the end.", "The end. Not quite."),
    ("startend:quotation", {}, '"All of it."', '"Part" of it.'),
    ("change_case:english_capital", {}, "ALL OF IT, 3 TIMES", "ALL of IT"),
    ("change_case:english_lowercase", {}, "all of it", "all of It"),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "less than"},
     "ONE of it", "ONE AND TWO"),
    ("punctuation:no_comma", {}, "none here", "one, here"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "follows", "breaks"), KINDS)
def test_each_kind_of_instruction(name: str, arguments: dict[str, Any], follows: str, breaks: str) -> None:
    assert ifeval(follows, reference((name, arguments))).status == "correct"
    verdict = ifeval(breaks, reference((name, arguments)))
    assert (verdict.status, verdict.reason) == ("wrong", f"not followed: {name}")


def test_every_kind_is_tested() -> None:
    assert {name for name, *_ in KINDS} == set(CHECKS) and len(CHECKS) == 25


def test_all_instructions_have_to_hold_and_the_thinking_does_not_count() -> None:
    both = reference(("punctuation:no_comma", {}), ("change_case:english_lowercase", {}))
    assert ifeval("<think>A, B</think>fine", both).status == "correct"
    assert ifeval("Fine", both).reason == "not followed: change_case:english_lowercase"
    assert ifeval("fine, so", both).status == "wrong"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("startend:rhyme", {}, "text"),
        ("keywords:existence", {"keywords": "sea"}, "text"),
        ("keywords:existence", {}, "text"),
        ("keywords:frequency", {"keyword": "sea", "frequency": 2, "relation": "about"}, "sea"),
        ("keywords:frequency", {"keyword": "sea", "frequency": 2, "relation": "at least"}, "sea and seaside"),
        ("length_constraints:number_words", {"num_words": "3", "relation": "at least"}, "text"),
        ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "Dr. A. Smith came."),
        ("language:response_language", {"language": "de"}, "Das ist gut."),
        ("language:response_language", {"language": "hi"}, "नमस्ते दुनिया"),
        ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "* a\n-5 degrees"),
    ],
)
def test_what_cannot_be_told_is_undecided(name: str, arguments: dict[str, Any], text: str) -> None:
    assert ifeval(text, reference((name, arguments))).status == "undecided"
    with_comma = reference((name, arguments), ("punctuation:no_comma", {}))
    assert ifeval(f"{text},", with_comma).status == "wrong"  # a broken one settles it


@pytest.mark.parametrize("text", ["", "   ", "<think>a b c", "<think>a</think>"])
def test_no_response_is_undecided(text: str) -> None:
    assert ifeval(text, reference(("punctuation:no_comma", {}))).status == "undecided"


@pytest.mark.parametrize(
    "bad",
    ["", "{", "[]", "null", "{}",
     '{"instruction_id_list": [], "kwargs": []}', '{"instruction_id_list": ["a"], "kwargs": []}',
     '{"instruction_id_list": [1], "kwargs": [{}]}', '{"instruction_id_list": ["a"], "kwargs": ["b"]}', "[" * 100_000],
)  # fmt: skip
def test_an_unusable_reference_is_undecided(bad: str) -> None:
    verdict = ifeval("text", bad)
    assert verdict.status == "undecided" and "reference" in verdict.reason


def test_arguments_that_are_null_and_kwargs_that_are_null_are_as_good_as_absent() -> None:
    given = {"num_words": 1, "relation": "at least", "keyword": None}
    assert ifeval("text", reference(("length_constraints:number_words", given))).status == "correct"
    assert ifeval("text", '{"instruction_id_list": ["punctuation:no_comma"], "kwargs": [null]}').status == "correct"


def test_a_long_response_takes_no_time_and_raises_nothing() -> None:
    for text in ("[" * 50_000, "*" * 50_000, "<<" * 25_000, "a. " * 15_000, "." * 50_000, "\ud800" * 999):
        for name, arguments, *_ in KINDS:
            assert ifeval(text, reference((name, arguments))).seconds == 0.0
    assert ifeval("a" * 200_001, reference(("punctuation:no_comma", {}))).status == "undecided"


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data are not here")
def test_every_published_instruction_is_known_and_its_arguments_fit() -> None:
    with gzip.open(SHARED, "rt") as file:
        for row in map(json.loads, file):
            verdict = ifeval("Some text. And more of it.", json.dumps(row["meta"]))
            assert "unknown" not in verdict.reason and "arguments" not in verdict.reason, verdict.reason
