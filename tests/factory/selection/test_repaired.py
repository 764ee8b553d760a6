"""Pairs and journeys out of repaired traces, and the certificate that they need."""

from typing import Any

import pytest

from factory import thoughts
from factory.records import Candidate, Step
from factory.selection.repaired import repaired

FIRST = "<think>Easy.</think>\n```python\nprint(1)\n```"
LAST = "<think>Ah, two.</think>\n```python\nprint(2)\n```"


def attempt(index: int, text: str, status: str, reason: str = "") -> Step:
    return Step(index, "attempt", text, state=f'{{"status": "{status}", "reason": "{reason}"}}')


def candidate(*steps: Step, status: str = "correct", raw: str = LAST, trace_id: str = "a") -> Candidate:
    thinking, response = thoughts.split(raw)
    return Candidate(trace_id, "p", "Print 2.", raw, thinking, response, status, None, 9, steps=steps)


MENDED = (attempt(0, FIRST, "wrong", "test 1: got 1"), Step(1, "feedback", "Test 1 wants 2.", 0),
          attempt(2, LAST, "correct"))


def test_a_pair_is_the_last_attempt_over_the_first() -> None:
    [pick] = repaired([candidate(*MENDED)])
    assert pick.rejected
    assert (pick.chosen.raw, pick.rejected.raw, pick.rejected.status) == (LAST, FIRST, "wrong")
    assert (pick.rejected.thinking, pick.rejected.response) == thoughts.split(FIRST)
    assert pick.why == "mended at attempt 2; the first: test 1: got 1"


def test_a_journey_thinks_the_first_attempt_and_what_was_said_and_ends_with_the_last() -> None:
    [pick] = repaired([candidate(*MENDED)], form="journey")
    places = [pick.chosen.raw.index(text) for text in ("Easy.", "print(1)", "Test 1 wants 2.", "Ah, two.", "</think>",
                                                       "print(2)")]
    assert places == sorted(places)
    assert thoughts.split(pick.chosen.raw) == (pick.chosen.thinking, candidate().response)
    assert pick.chosen.raw.count("<think>") == pick.chosen.raw.count("</think>") == 1


@pytest.mark.parametrize("one", [
    candidate(),
    candidate(attempt(0, LAST, "correct")),
    candidate(attempt(0, FIRST, "undecided"), Step(1, "feedback", "?"), attempt(2, LAST, "correct")),
    candidate(attempt(0, FIRST, "wrong"), Step(1, "feedback", "?"), attempt(2, LAST, "wrong")),
    candidate(*MENDED, status="wrong"),
    candidate(*MENDED, status="undecided"),
], ids=["no steps", "right at once", "doubtful at first", "never mended", "hidden tests fail", "undecided"])
@pytest.mark.parametrize("form", ["pair", "journey"])
def test_without_the_certificate_there_is_nothing(one: Candidate, form: Any) -> None:
    assert repaired([one], form=form) == []


def test_at_most_so_many_of_a_problem_and_no_pair_of_very_unequal_length() -> None:
    three = [candidate(*MENDED, trace_id=name, raw=LAST + name) for name in "abc"]
    assert [len(repaired(three, per_problem=n)) for n in (1, 2, 9)] == [1, 2, 3]
    assert repaired([candidate(*MENDED, raw=LAST + "x" * 999)]) == []
