"""Preference pairs besides `pairs`: by length, by a score, and all pairs of K."""

from typing import Any

import pytest

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection.best_over_worst import best_over_worst
from factory.selection.labelled import labelled
from factory.selection.pairs import pairs
from factory.selection.rankings import rankings
from factory.selection.shorter import shorter
from factory.selection.silc import silc


def trace(name: str, status: str, tokens: int, **more: Any) -> Candidate:
    raw = f"{name} " + "x" * tokens
    return Candidate(name, "p", "1+1?", raw, "", raw, status, "2", tokens, **more)


def sides(picks: list[Pick]) -> list[tuple[str, str | None]]:
    return [(p.chosen.trace_id, p.rejected.trace_id if p.rejected else None) for p in picks]


def test_shorter_takes_the_shortest_over_correct_ones_long_enough_longer() -> None:
    four = [trace("a", "correct", 100), trace("b", "correct", 140), trace("c", "correct", 150),
            trace("d", "correct", 400), trace("e", "wrong", 300), trace("f", "correct", 900)]
    assert sides(shorter(four, per_problem=9)) == [("a", "d"), ("a", "c")]
    assert sides(shorter(four, at_least=1.2, per_problem=9)) == [("a", "d"), ("a", "c"), ("a", "b")]
    assert sides(shorter(four)) == [("a", "d")]
    with pytest.raises(UserError, match="use more than 1"):
        shorter(four, at_least=1.0)


def test_silc_takes_the_next_longer_correct_over_the_shortest_wrong() -> None:
    five = [trace("a", "correct", 50), trace("b", "wrong", 100), trace("c", "correct", 150),
            trace("d", "correct", 400), trace("e", "wrong", 120)]
    assert sides(silc(five)) == [("c", "b")]
    assert silc([trace("a", "correct", 50), trace("b", "wrong", 100)]) == []
    assert silc([trace("a", "correct", 900), trace("b", "wrong", 100)]) == []


def test_best_over_worst_goes_by_a_measure_and_never_prefers_a_wrong_trace() -> None:
    four = [trace("a", "correct", 9, measures={"score": 1.0}), trace("b", "wrong", 9, measures={"score": 9.0}),
            trace("c", "correct", 9, measures={"score": 5.0}), trace("d", "wrong", 9, measures={"score": -1.0})]
    [pick] = best_over_worst(four, score="score")
    assert (pick.chosen.trace_id, pick.rejected and pick.rejected.trace_id) == ("c", "d")
    assert pick.why == "score 5 over -1"
    assert sides(best_over_worst(four, score="score", lowest=True)) == [("a", "b")]
    assert sides(best_over_worst(four, score="score", per_problem=3)) == [("c", "d")]


def test_a_score_that_is_not_measured_is_answered_with_those_that_are() -> None:
    with pytest.raises(UserError, match="no measure 'scor' to rank by: add it to `measures`, or use one of score"):
        best_over_worst([trace("a", "correct", 9, measures={"score": 1.0})], score="scor")


def test_rankings_are_all_pairs_of_which_one_side_is_better() -> None:
    four = [trace("a", "correct", 9), trace("b", "correct", 9), trace("c", "wrong", 9), trace("d", "wrong", 9),
            trace("e", "wrong", 9)]
    assert sides(rankings(four)) == [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]
    assert sides(rankings(four, k=3)) == [("a", "c"), ("b", "c")]
    scored = [trace("a", "correct", 9, measures={"s": 1.0}), trace("b", "correct", 9, measures={"s": 2.0})]
    assert sides(rankings(scored, score="s")) == [("b", "a")] and rankings(scored) == []


def test_labelled_takes_right_and_wrong_in_turn() -> None:
    five = [trace("a", "correct", 9), trace("b", "correct", 9), trace("c", "correct", 9), trace("d", "wrong", 9),
            trace("e", "undecided", 9)]
    assert sides(labelled(five)) == [("a", None), ("d", None), ("b", None), ("c", None)]
    assert [p.why for p in labelled(five, per_problem=2)] == ["correct", "wrong"]


def test_the_length_gap_is_capped() -> None:
    three = [trace("a", "correct", 10), trace("b", "wrong", 999), trace("c", "correct", 900)]
    assert sides(pairs(three, max_length_ratio=2.0)) == [("c", "b")] and shorter(three, max_length_ratio=2.0) == []
    for select in (shorter, silc, pairs, rankings):
        with pytest.raises(UserError, match="1 or more"):
            select([], max_length_ratio=0.5)


def test_pairs_for_step_dpo_share_so_many_characters() -> None:
    two = [Candidate("a", "p", "?", "One. Two 2", "", "2", "correct", "2", 9),
           Candidate("b", "p", "?", "One. Two 3", "", "3", "wrong", "3", 9)]
    assert sides(pairs(two, min_shared=9)) == [("a", "b")] and pairs(two, min_shared=10) == []
