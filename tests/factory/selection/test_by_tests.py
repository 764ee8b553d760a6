"""The IOI strategy: which candidate is submitted next, when it stops, and what it may know."""

from dataclasses import replace
from typing import Any

import pytest

from factory.protocols import UserError
from factory.records import Candidate
from factory.selection.by_tests import by_tests, submissions


def candidate(trace_id: str, cluster: float, status: str = "wrong", public: float = 0.0, generated: float = 0.0,
              response: str = "", **measures: float) -> Candidate:
    told = {"behaviour": cluster, "public_failed": public, "generated_failed": generated, **measures}
    text = response or f"program {trace_id}"
    return Candidate(trace_id, "p", "Sort.", text, "", text, status, None, 9, told)


def sent(*candidates: Candidate, budget: int = 99, **keys: Any) -> str:
    """The ids in the order of submission."""
    return "".join(s.candidate.trace_id for s in submissions([candidates], budget, **keys))


def test_the_largest_cluster_comes_first_and_each_submission_counts_against_it() -> None:
    five = [candidate("a", 1), candidate("b", 2), candidate("c", 2), candidate("d", 2), candidate("e", 1)]
    assert sent(*five) == "baced"  # after one refusal the smaller cluster leads
    assert sent(*five, penalty=0.0) == "bcdae"
    assert sent(*five, size=0.0) == "abced"


def test_failed_public_tests_weigh_more_than_failed_generated_ones_and_those_more_than_size() -> None:
    assert sent(candidate("a", 1, public=1.0), candidate("b", 1, public=1.0), candidate("c", 2, generated=1.0),
                candidate("d", 3, generated=0.5)) == "dcab"


def test_within_a_cluster_the_best_candidate_is_sent_first() -> None:
    assert sent(candidate("a", 1, public=1.0), candidate("b", 1, public=0.0)) == "ba"


def test_a_learned_score_is_one_more_measure_with_a_weight() -> None:
    two = [candidate("a", 1, learned=0.2), candidate("b", 2, learned=0.9)]
    assert (sent(*two, weights={"learned": 1.0}), sent(*two, weights={"learned": -1.0})) == ("ba", "ab")


def test_one_response_is_submitted_once() -> None:
    assert sent(candidate("a", 1, response="print(1)"), candidate("b", 1, response="print(1) \n")) == "a"


def test_it_stops_at_the_first_accepted_and_at_the_budget() -> None:
    three = [candidate("a", 1, public=0.5), candidate("b", 2, "correct", public=0.2), candidate("c", 3)]
    assert sent(*three) == "cb"
    assert sent(*three, budget=1) == "c"
    [pick] = by_tests(three)
    assert (pick.chosen.trace_id, pick.rejected, pick.why) == ("b", None, "accepted at submission 2")
    assert by_tests(three, budget=1) == []


def test_rejected_is_the_refused_submission_that_it_believed_in_most() -> None:
    three = [candidate("a", 1, public=0.3), candidate("b", 2, "correct", public=0.4), candidate("c", 3)]
    [pick] = by_tests(three, rejected=True)
    assert pick.rejected and (pick.chosen.trace_id, pick.rejected.trace_id) == ("b", "c")
    assert by_tests([candidate("b", 2, "correct")], rejected=True) == []


def test_what_was_not_submitted_has_a_verdict_that_nobody_reads() -> None:
    many = [candidate(chr(97 + n), n % 4, "correct" if n == 7 else "wrong", public=n % 3 / 3) for n in range(20)]
    order = sent(*many)
    turned = {"correct": "wrong", "wrong": "correct"}
    assert sent(*(c if c.trace_id in order else replace(c, status=turned[c.status]) for c in many)) == order


def test_without_a_program_or_a_verdict_nothing_is_submitted() -> None:
    assert sent(candidate("a", -1), candidate("b", 1, "undecided")) == ""


def test_subtasks_take_turns_until_each_is_solved_or_empty() -> None:
    hard = [candidate("a", 1), candidate("b", 2)]
    easy = [candidate("c", 1, "correct"), candidate("d", 2)]
    long = [candidate("e", 1), candidate("f", 2), candidate("g", 3)]
    turns = [s.subtask for s in submissions([hard, easy, long], 99)]
    assert turns == [0, 1, 2, 0, 2, 2]
    assert [s.subtask for s in submissions([hard, easy, long], 4)] == [0, 1, 2, 0]


def test_a_measure_that_the_recipe_does_not_take_is_one_sentence() -> None:
    with pytest.raises(UserError, match="by_tests has no measure 'learned' to go by: add it to `measures`"):
        by_tests([candidate("a", 1)], weights={"learned": 1.0})
    with pytest.raises(UserError, match="budget is 0"):
        by_tests([], budget=0)
