"""Traces cut after a solution: what is kept is the trace's own text, and nobody says that it is correct."""

import pytest

from factory.records import Candidate
from factory.selection._solutions import solutions
from factory.selection.diverse import diverse
from factory.selection.diverse_solutions import diverse_solutions
from factory.selection.first_solution import first_solution

FIRST = "Let x be the sum. 2 + 3 = 6.\nWait, that is off. 2 + 3 = 5.\n"
SECOND = "Let me check: 5 - 3 = 2, so the answer is 5.\n"
THIRD = "Let me check: 5 - 3 = 2, so the answer is 5 again.\n"
THINKING = (FIRST + SECOND + THIRD).strip()
RESPONSE = "The answer is \\boxed{5}."


def candidate(name: str = "a", thinking: str = THINKING, status: str = "correct", answer: str | None = "5",
              response: str = RESPONSE) -> Candidate:
    raw = f"<think>\n{thinking}\n</think>\n\n{response}" if thinking else response
    return Candidate(name, "p", "2+3?", raw, thinking, response, status, answer, 100)


def test_solutions_end_where_an_answer_is_stated_and_the_text_starts_over() -> None:
    found = solutions(THINKING, "5")
    assert [one.right for one in found] == [False, True, True, False]
    assert THINKING[found[1].start:found[1].end] == "Wait, that is off. 2 + 3 = 5.\n"


def test_the_cut_ends_with_the_first_correct_solution_and_keeps_the_response() -> None:
    [pick] = first_solution([candidate()])
    assert pick.chosen.thinking == FIRST.strip()
    assert pick.chosen.raw == f"<think>\n{FIRST.strip()}\n</think>\n\n{RESPONSE}"
    assert (pick.chosen.status, pick.chosen.response, pick.chosen.trace_id) == ("undecided", RESPONSE, "a")
    assert 30 < pick.chosen.completion_tokens < 60


def test_reflection_keeps_the_second_correct_solution() -> None:
    [pick] = first_solution([candidate()], reflection=True)
    assert pick.chosen.thinking == (FIRST + SECOND).strip()


def test_a_response_without_thinking_is_cut_itself() -> None:
    long = "2 + 3 = 5, so the answer is 5.\nWait, once more. The answer is 5.\n\nWait, is it? It is 5."
    [pick] = first_solution([candidate(thinking="", response=long)])
    assert pick.chosen.raw == pick.chosen.response == "2 + 3 = 5, so the answer is 5."


def test_what_needs_no_cut_is_taken_whole_and_what_never_states_its_answer_not_at_all() -> None:
    whole = candidate(thinking="2 + 3 = 5.")
    assert [p.chosen for p in first_solution([whole])] == [whole]
    assert first_solution([candidate(thinking="Hm, who knows."), candidate(answer=None)]) == []


def test_the_shortest_after_the_cut_is_taken_and_can_be_preferred_to_the_longest() -> None:
    two = [candidate("a"), candidate("b", thinking="2 + 3 = 5.\n" + SECOND * 9), candidate("c", status="wrong")]
    assert [p.chosen.trace_id for p in first_solution(two)] == ["b"]
    [pick] = first_solution([candidate("a"), candidate("b", thinking=THINKING + SECOND * 9)], over_longest=True)
    assert (pick.chosen.trace_id, pick.rejected and pick.rejected.trace_id) == ("a", "b")


@pytest.mark.parametrize(("most", "rejected"), [(5.0, ["b"]), (50.0, ["c"]), (1.5, [])])
def test_the_longest_that_is_not_too_much_longer_is_rejected(most: float, rejected: list[str]) -> None:
    three = [candidate(name, thinking=THINKING + SECOND * more) for name, more in (("a", 0), ("b", 2), ("c", 40))]
    found = first_solution(three, over_longest=True, max_length_ratio=most)
    assert [pick.rejected.trace_id for pick in found if pick.rejected] == rejected


def test_diverse_solutions_stop_where_one_says_the_same_again() -> None:
    other = "Alternatively, count on your fingers from two: three, four, five, which gives 5.\n"
    thinking = ("2 + 3 = 5.\n" + other + other + other).strip()
    [pick] = diverse_solutions([candidate(thinking=thinking)])
    assert pick.chosen.thinking == ("2 + 3 = 5.\n" + other).strip()


def test_diverse_takes_the_least_alike() -> None:
    texts = {"a": "one two three four", "b": "one two three four five", "c": "six seven eight nine ten eleven"}
    three = [Candidate(n, "p", "?", t, "", t, "correct", "5", len(t)) for n, t in texts.items()]
    assert [p.chosen.trace_id for p in diverse(three)] == ["a", "c"]
    assert [p.chosen.trace_id for p in diverse(three, per_problem=3, at_most_alike=0.5)] == ["a", "c"]


@pytest.mark.parametrize("text", ["", "\n", "Wait", "= ", "answer:", "\\boxed{", "Wait, " * 9000])
def test_odd_texts_are_no_trouble(text: str) -> None:
    assert all(0 <= one.start < one.end <= len(text) for one in solutions(text, "5"))
