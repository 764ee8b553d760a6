"""The vote: equal answers are one class, ties and few answers decide nothing, near equals make no chain."""

from collections.abc import Sequence

import pytest

from verifiers.majority import COMPARED, Vote, contested, elect, majority
from verifiers.math_equal import math_equal
from verifiers.verdict import Status


def vote(answers: Sequence[str | None]) -> Vote:
    return elect(answers, {(a, b): math_equal(f"\\boxed{{{a}}}", b).status for a, b in contested(answers)})


def test_one_response_alone_is_undecided() -> None:
    found = majority(r"So it is \boxed{5}.", "")
    assert (found.status, found.answer, found.grade) == ("undecided", "5", "majority")
    assert majority("", "").reason == "no final answer found"


def test_equal_answers_are_one_class_however_they_are_written() -> None:
    found = vote(["1/2", r"\frac{1}{2}", "0.5", "3"])
    assert (found.share, found.answered) == (0.75, 4)
    assert [found.verdict(a).status for a in ("1/2", "0.5", "3")] == ["correct", "correct", "wrong"]
    assert found.verdict("0.5").reason == "share 0.75 of 4"
    assert found.verdict("0.5").grade == "majority"


@pytest.mark.parametrize(("answers", "reason"), [
    (["1", "1"], "2 answers, and a majority needs 3"), (["1", "1", "2", "2"], "a tie at share 0.50 of 4"),
    (["1", "2", "3"], "a tie at share 0.33 of 3"), ([], "0 answers, and a majority needs 3"),
])
def test_a_tie_and_few_answers_decide_nothing(answers: list[str | None], reason: str) -> None:
    found = vote(answers)
    assert found.winner is None
    assert (found.verdict("1").status, found.verdict("1").reason) == ("undecided", reason)


def test_a_trace_without_an_answer_does_not_vote() -> None:
    found = vote(["7", None, "7", "7", None])
    assert (found.share, found.answered) == (1.0, 3)
    assert (found.verdict(None).status, found.verdict(None).reason) == ("undecided", "no final answer found")


def test_what_cannot_be_compared_with_the_winner_is_undecided() -> None:
    status: dict[tuple[str, str], Status] = {("7", "odd"): "undecided"}
    found = elect(["7", "7", "odd"], status)
    assert found.verdict("odd").status == "undecided"


def test_a_chain_of_near_equals_does_not_grow() -> None:
    near: dict[tuple[str, str], Status] = {("a", "b"): "correct", ("b", "c"): "correct", ("a", "c"): "wrong"}
    found = elect(["a", "a", "b", "c"], near)
    assert [found.verdict(x).status for x in "abc"] == ["correct", "correct", "wrong"]


def test_the_order_of_the_answers_does_not_matter() -> None:
    answers = ["2", "1/2", "0.5", "2.0", "1/2", "3"]
    assert len({(vote(order).winner, vote(order).share) for order in (answers, answers[::-1], sorted(answers))}) == 1


def test_the_pairs_are_bounded() -> None:
    assert len(contested([str(n) for n in range(5000)])) == COMPARED * (COMPARED - 1) // 2
