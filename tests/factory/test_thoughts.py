"""Thinking and response are told apart whatever the tags do; in doubt text is thinking."""

import pytest

from factory.thoughts import join, split

CASES = [
    ("no tags", "The answer is 4.", "", "The answer is 4."),
    ("nothing", "", "", ""),
    ("the usual", "<think>\n2+2=4\n</think>\n\nThe answer is 4.", "2+2=4", "The answer is 4."),
    ("only the end: the template opened it", "2+2=4\n</think>\nThe answer is 4.", "2+2=4", "The answer is 4."),
    ("cut off while thinking", "<think>\n2+2=\\boxed{5}", "2+2=\\boxed{5}", ""),
    ("cut off at once", "<think>", "", ""),
    ("empty thought", "<think>\n\n</think>\n\nThe answer is 4.", "", "The answer is 4."),
    ("no response", "<think>2+2=4</think>", "2+2=4", ""),
    ("nested", "<think>a<think>b</think>c</think>d", "a<think>b</think>c", "d"),
    ("two thoughts", "<think>a</think>b<think>c</think>d", "a</think>b<think>c", "d"),
    ("opened again and cut off", "<think>a</think>b<think>c", "a</think>b<think>c", ""),
    ("words before the thought", "Sure.\n<think>a</think>b", "a", "Sure.\nb"),
    ("an end, then a whole thought", "a</think>b<think>c</think>d", "a</think>b<think>c", "d"),
    ("other brackets stay", "1 < 2 and <b>2</b>", "", "1 < 2 and <b>2</b>"),
]


@pytest.mark.parametrize(("text", "thinking", "response"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_tags(text: str, thinking: str, response: str) -> None:
    assert split(text) == (thinking, response)


@pytest.mark.parametrize(("text", "reasoning", "expected"), [
    ("The answer is 4.", "2+2=4\n", ("2+2=4", "The answer is 4.")),
    ("<think>x</think>4", "2+2=4", ("2+2=4", "<think>x</think>4")),
    ("", "2+2", ("2+2", "")),
    ("<think>a</think>b", "", ("a", "b")),
    ("<think>a</think>b", None, ("a", "b")),
])
def test_a_field_of_its_own_wins_when_it_holds_something(
        text: str, reasoning: str | None, expected: tuple[str, str]) -> None:
    assert split(text, reasoning) == expected


def test_joined_fields_split_into_the_same_parts() -> None:
    assert split(join("2+2=4", "The answer is 4.", closed=True)) == ("2+2=4", "The answer is 4.")
    assert split(join("2+2", "", closed=False)) == ("2+2", "")
