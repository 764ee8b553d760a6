"""What holds for every selector, and then what each one picks."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import pytest

from factory import plugins
from factory.protocols import UserError
from factory.records import Candidate, Pick, Step
from factory.selection.best_over_worst import best_over_worst
from factory.selection.by_tests import by_tests
from factory.selection.diverse import diverse
from factory.selection.diverse_solutions import diverse_solutions
from factory.selection.everything_correct import everything_correct
from factory.selection.first_solution import first_solution
from factory.selection.labelled import labelled
from factory.selection.longest import longest
from factory.selection.pairs import pairs
from factory.selection.rankings import rankings
from factory.selection.repaired import repaired
from factory.selection.shorter import shorter
from factory.selection.shortest import shortest
from factory.selection.silc import silc

Select = Callable[..., Sequence[Pick]]
ALL: list[Select] = [shortest, longest, everything_correct, pairs, diverse]
NAMED: list[Select] = [*ALL, labelled, first_solution, diverse_solutions, shorter, silc, rankings]
BOUND: dict[str, Select] = {
    "best_over_worst": lambda candidates: best_over_worst(candidates, score="score"),
    "by_tests": lambda candidates: by_tests(candidates, cluster="score", weights={}),
    "repaired": lambda candidates: repaired([replace(c, steps=MENDED) for c in candidates])}
EVERY: list[Select] = [*NAMED, *BOUND.values()]
MENDED = (Step(0, "attempt", "It is 1, " * 20, state='{"status": "wrong"}'), Step(1, "feedback", "no", 0),
          Step(2, "attempt", "It is 2, " * 20, 1, state='{"status": "correct"}'))


def candidate(trace_id: str, status: str = "correct", tokens: int = 10, raw: str = "", **more: Any) -> Candidate:
    raw = raw or f"text of {trace_id}"
    return Candidate(trace_id, "p", "1+1?", raw, "", raw, status, "2", tokens, **more)


def ids(picks: Sequence[Pick]) -> list[str]:
    return [p.chosen.trace_id for p in picks]


def test_every_selector_is_tested_here() -> None:
    assert {*BOUND, *(f.__name__ for f in NAMED)} == set(plugins.names("selector"))


def test_a_candidate_has_no_reference_to_leak() -> None:
    assert not {"reference", "gold", "tests", "problem", "meta"} & {f.name for f in fields(Candidate)}


@pytest.mark.parametrize("select", ALL)
def test_undecided_is_never_chosen_and_never_rejected(select: Select) -> None:
    assert list(select([candidate("a", "undecided"), candidate("b", "undecided")])) == []
    assert list(select([candidate("a", "undecided"), candidate("b", "wrong")])) == []
    sides = select([candidate("a"), candidate("b", "undecided"), candidate("c", "wrong")], per_problem=9)
    assert {c.trace_id for p in sides for c in (p.chosen, p.rejected) if c} <= {"a", "c"}


@pytest.mark.parametrize("select", EVERY)
def test_no_selector_uses_an_undecided_trace_or_depends_on_the_order(select: Select) -> None:
    said = "So the answer is 2.\nWait, let me check: it is 2."
    five = [candidate(name, status, tokens, f"{said} {name} {'x ' * tokens}", measures={"score": tokens})
            for name, status, tokens in (("a", "correct", 60), ("b", "undecided", 10), ("c", "correct", 90),
                                         ("d", "wrong", 50), ("e", "undecided", 200))]
    picks = [list(select(order)) for order in itertools.permutations(five)]
    assert all(p == picks[0] for p in picks) and picks[0]
    assert {c.trace_id for p in picks[0] for c in (p.chosen, p.rejected) if c} <= {"a", "c", "d"}


@pytest.mark.parametrize("select", EVERY)
def test_no_candidates_no_picks(select: Select) -> None:
    assert list(select([])) == []


@pytest.mark.parametrize("select", ALL)
def test_the_order_of_candidates_does_not_matter(select: Select) -> None:
    four = [candidate("a"), candidate("b"), candidate("c", "wrong"), candidate("d", "wrong")]
    picks = [list(select(order, per_problem=1)) for order in itertools.permutations(four)]
    assert all(p == picks[0] for p in picks) and ids(picks[0]) == ["a"]


@pytest.mark.parametrize("select", ALL)
def test_none_per_problem_is_refused(select: Select) -> None:
    with pytest.raises(UserError, match="1 or more"):
        select([candidate("a")], per_problem=0)


@pytest.mark.parametrize("select", [shortest, longest, everything_correct, diverse])
def test_a_text_is_taken_once_whatever_its_blanks_and_case(select: Select) -> None:
    twins = [candidate("a", raw="It is 2."), candidate("b", raw="it is\n 2. "), candidate("c", raw="It is 3.")]
    assert ids(select(twins, per_problem=9)) == ["a", "c"]


def test_shortest_and_longest_go_by_completion_tokens() -> None:
    three = [candidate("a", tokens=20), candidate("b", tokens=10), candidate("c", tokens=30),
             candidate("d", "wrong", tokens=1), candidate("e", "wrong", tokens=99)]
    assert ids(shortest(three)) == ["b"] and ids(longest(three)) == ["c"]
    assert ids(shortest(three, per_problem=2)) == ["b", "a"] and ids(longest(three, per_problem=2)) == ["c", "a"]
    assert [p.why for p in shortest(three, per_problem=2)] == ["shortest of 3 correct",
                                                               "shortest of 3 correct, number 2"]


def test_everything_correct_takes_all_up_to_its_cap() -> None:
    three = [candidate("b"), candidate("a"), candidate("c"), candidate("d", "wrong")]
    assert ids(everything_correct(three)) == ["a", "b", "c"]
    assert ids(everything_correct(three, per_problem=2)) == ["a", "b"]
