"""The scripted teacher: the same text for the same prompt and seed, and failures that a second attempt mends."""

import asyncio
from fractions import Fraction

import pytest

from factory.protocols import AskFailed, UserError
from factory.records import Completion
from factory.teachers.scripted import Scripted, scripted, solve


def ask(teacher: Scripted, prompt: str = "Compute 2 + 2.", seed: int = 0) -> Completion:
    return asyncio.run(teacher.ask([{"role": "user", "content": prompt}], seed))


def test_the_same_prompt_and_seed_give_the_same_text() -> None:
    assert ask(scripted()) == ask(scripted())
    assert ask(scripted()).raw != ask(scripted(), seed=1).raw
    assert ask(scripted()).raw != ask(scripted(seed=1)).raw


def test_an_accurate_one_solves_and_the_others_do_not() -> None:
    assert ask(scripted(accuracy=1)).response == r"The answer is \boxed{4}."
    assert ask(scripted(accuracy=0)).response != r"The answer is \boxed{4}."
    right = sum(r"\boxed{4}" in ask(scripted(accuracy=0.6), seed=i).response for i in range(300))
    assert 140 < right < 220


def test_it_thinks_in_tags() -> None:
    completion = ask(scripted())
    assert completion.raw.startswith("<think>")
    assert completion.thinking.startswith("Step 1:")
    assert (completion.finish_reason, completion.completion_tokens > 10) == ("stop", True)


def test_a_truncated_answer_has_no_response() -> None:
    completion = ask(scripted(truncation=1))
    assert (completion.finish_reason, completion.response) == ("length", "")
    assert completion.thinking


def test_a_failure_is_followed_by_success_with_the_text_of_the_unfailing() -> None:
    teacher = scripted(failure=1)
    with pytest.raises(AskFailed) as failed:
        ask(teacher)
    assert failed.value.retry
    assert ask(teacher) == ask(scripted())


def test_delay_and_concurrency_are_no_part_of_the_identity() -> None:
    assert scripted(delay=1, concurrency=2).identity == scripted().identity
    assert scripted(accuracy=0.5).identity != scripted().identity


@pytest.mark.parametrize("parameter", ["accuracy", "truncation", "failure"])
def test_a_share_outside_0_to_1_is_refused(parameter: str) -> None:
    with pytest.raises(UserError, match=f"teacher.{parameter} is 2"):
        scripted(**{parameter: 2})  # type: ignore[arg-type]


def test_a_concurrency_of_none_is_refused() -> None:
    with pytest.raises(UserError, match=r"teacher\.concurrency is 0: set it to 1 or more"):
        scripted(concurrency=0)


@pytest.mark.parametrize(("question", "value"), [
    ("Compute 3 * (4 + 5) - 2.", 25),
    ("Compute 2 - 3 - 4.", -5),
    ("Compute 1 / 3 * 6", 2),
    ("Compute -(2 + 3).", -5),
    ("Compute 1 / 0.", None),
    ("Compute (1 + 2.", None),
    ("Compute 1 2.", None),
    ("Compute __import__('os').", None),
    ("Compute " + "(" * 5000 + "1", None),
    ("How many?", None),
])
def test_arithmetic(question: str, value: int | None) -> None:
    assert solve(question) == (None if value is None else Fraction(value))
