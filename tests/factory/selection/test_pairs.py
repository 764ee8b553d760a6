"""A pair is a correct trace over a wrong one, and which pairs is the recipe's preference."""

from typing import Any

import pytest

from factory.protocols import UserError
from factory.records import Candidate
from factory.selection.pairs import pairs, shared_prefix


def right(trace_id: str, raw: str, tokens: int = 0, **more: Any) -> Candidate:
    return Candidate(trace_id, "p", "1+1?", raw, "", raw, "correct", "2", tokens or len(raw), **more)


def wrong(trace_id: str, raw: str, tokens: int = 0, response: str | None = None, **more: Any) -> Candidate:
    return Candidate(trace_id, "p", "1+1?", raw, "", raw if response is None else response, "wrong", "3",
                     tokens or len(raw), **more)


def sides(candidates: list[Candidate], **keys: Any) -> list[tuple[str, str]]:
    return [(p.chosen.trace_id, p.rejected.trace_id) for p in pairs(candidates, **keys) if p.rejected]


def test_shared_prefix_takes_the_pair_that_parts_latest() -> None:
    four = [right("a", "xx and so 2"), right("b", "one and so 2"), wrong("c", "one and so 3"), wrong("d", "yy")]
    [pick] = pairs(four)
    assert (pick.chosen.trace_id, pick.rejected and pick.rejected.trace_id) == ("b", "c")
    assert pick.why == "correct over wrong by shared_prefix, 11 characters in common"


def test_shortest_takes_the_shortest_of_each_side() -> None:
    four = [right("a", "abc 2", 9), right("b", "xyz 2", 5), wrong("c", "abc 3", 9), wrong("d", "xyzz 3", 6)]
    assert sides(four, prefer="shortest") == [("b", "d")]


def test_each_trace_is_used_at_most_once() -> None:
    four = [right("a", "abcd 2"), right("b", "abc2"), wrong("c", "abcd 3"), wrong("d", "ab3")]
    assert sides(four, per_problem=9) == [("a", "c"), ("b", "d")]


def test_a_pair_of_very_unequal_length_is_left_out() -> None:
    two = [right("a", "2" * 10), wrong("b", "3" * 31)]
    assert sides(two) == []
    assert sides(two, max_length_ratio=3.1) == [("a", "b")]


def test_an_unfinished_trace_is_on_neither_side() -> None:
    assert sides([right("a", "it is 2"), wrong("b", "<think>it is", response="")]) == []
    assert sides([right("a", "it is 2"), wrong("b", "it is 3", measures={"truncation": 1.0})]) == []
    assert sides([right("a", "it is 2", measures={"truncation": 0.0}), wrong("b", "it is 3")]) == [("a", "b")]


def test_one_text_with_two_verdicts_is_no_pair() -> None:
    assert sides([right("a", "It is 2"), wrong("b", "it  is 2")]) == []


@pytest.mark.parametrize(("a", "b", "common"), [("", "x", 0), ("abc", "abd", 2), ("abc", "abc", 3), ("ab", "abc", 2)])
def test_shared_prefix_counts_what_both_begin_with(a: str, b: str, common: int) -> None:
    assert shared_prefix(a, b) == common


def test_an_unknown_preference_is_answered_with_the_right_ones() -> None:
    with pytest.raises(UserError, match="use shared_prefix or shortest"):
        pairs([], prefer="longest")  # type: ignore[arg-type]  # what a recipe may hold
