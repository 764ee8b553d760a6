"""Rationalisation: what was wrong is asked again with the answer, and no trace holds the hint."""

import asyncio
from collections.abc import Sequence

import pytest

from factory.protocols import UserError
from factory.records import Completion, Message, Problem
from factory.strategies.rationalise import rationalise

PROBLEM = Problem("Compute 2 + 3.", "5", "exact_match")


class Teacher:
    """Answers what it is told to, in turn, and remembers what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), list[str]()

    async def __call__(self, messages: Sequence[Message]) -> Completion:
        self.asked.append(messages[-1]["content"])
        text = self.answers.pop(0)
        return Completion("", text, text, "stop", 10, 3, 1, tokens=(1, 2))


def ask(*answers: str, **params: str) -> tuple[Completion, Teacher]:
    teacher = Teacher(*answers)
    return asyncio.run(rationalise(PROBLEM, teacher, **params)), teacher  # type: ignore[arg-type]


def test_what_is_right_at_once_is_kept_and_never_told() -> None:
    made, teacher = ask(r"\boxed{5}")
    assert (made.raw, teacher.asked) == (r"\boxed{5}", ["Compute 2 + 3."])
    assert [(step.kind, step.text) for step in made.steps] == [("attempt", r"\boxed{5}")]


@pytest.mark.parametrize("first", [r"\boxed{4}", "no answer at all"])
def test_what_is_wrong_or_unreadable_is_asked_again_with_the_answer(first: str) -> None:
    made, teacher = ask(first, r"2 and 3 make \boxed{5}")
    assert teacher.asked[1].startswith("Compute 2 + 3.\n\n(The answer is 5.")
    assert made.raw == r"2 and 3 make \boxed{5}"
    assert (made.prompt_tokens, made.completion_tokens, made.thinking_tokens, made.tokens) == (20, 6, 2, ())
    assert [step.kind for step in made.steps] == ["attempt", "rationalisation"]


def test_the_prompt_may_be_framed_and_the_hint_is_yours() -> None:
    _, teacher = ask(r"\boxed{4}", r"\boxed{5}", prefix="Q: ", suffix=" A:", hint=" [{reference}]")
    assert teacher.asked == ["Q: Compute 2 + 3. A:", "Q: Compute 2 + 3. A: [5]"]


def test_a_hint_without_the_answer_is_refused() -> None:
    with pytest.raises(UserError, match=r"put \{reference\} into it"):
        ask(hint="Think again.")
