"""The plan: every sample once; with `adaptive` no more than are needed, and none where it is hopeless."""

from collections import deque

import pytest

from factory.recipe import Adaptive
from factory.records import Problem
from factory.stages.plan import Asked, Plan, beta_cdf


def asked(prompt: str = "p", samples: int = 16, verifier: str = "math_equal") -> Asked:
    return Asked(Problem(prompt, "1", verifier), deque(range(samples)))


def plan(*problems: Asked, complete: bool = False, **rule: float) -> Plan:
    made = Plan(Adaptive.model_validate(rule) if rule else None)
    made.add(problems)
    made.complete = complete
    return made


def launch(made: Plan) -> list[int]:
    """All that may be asked now."""
    found = []
    while (ask := made.next()) is not None:
        found.append(ask[1])
    return found


def answer(made: Plan, problem: Problem, sample: int, status: str, text: str = "") -> list[int]:
    made.landed(problem.id, sample, unjudged=True)
    return list(made.judged(problem.id, status, text or str(sample)))


def test_without_a_rule_every_sample_of_every_problem_is_handed_out_once() -> None:
    made = plan(asked("a", 3), asked("b", 2), complete=True)
    found = [made.next() for _ in range(5)]
    assert [(p.prompt, s) for p, s in found if p] == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]  # type: ignore[misc]
    assert made.next() is None
    assert not made.empty
    for problem, sample in filter(None, found):
        made.landed(problem.id, sample, unjudged=False)
    assert made.empty
    assert made.open == {}


def test_no_more_are_in_flight_than_could_be_needed() -> None:
    one = asked()
    made = plan(one, correct=3)
    assert launch(made) == [0, 1, 2]
    assert answer(made, one.problem, 0, "correct") == []
    assert launch(made) == []
    answer(made, one.problem, 1, "wrong")
    assert launch(made) == [3]


def test_a_trace_that_waits_for_its_verdict_holds_its_place() -> None:
    one = asked()
    made = plan(one, correct=2)
    launch(made)
    made.landed(one.problem.id, 0, unjudged=True)
    assert launch(made) == []
    made.judged(one.problem.id, "undecided", "x")
    assert launch(made) == [2]
    assert one.judged == 0


def test_equal_traces_count_once_and_a_problem_with_enough_is_forgotten() -> None:
    one = asked()
    made = plan(one, correct=2, high=1.0)
    launch(made)
    answer(made, one.problem, 0, "correct", "same")
    answer(made, one.problem, 1, "correct", "same")
    assert launch(made) == [2]
    answer(made, one.problem, 2, "correct", "other")
    assert made.open == {}


@pytest.mark.parametrize(("status", "certainty", "judged"), [
    ("wrong", 0.8, 8), ("wrong", 0.9, 13), ("correct", 0.8, 8)])
def test_a_problem_that_is_hopeless_or_too_easy_is_given_up(status: str, certainty: float, judged: int) -> None:
    one = asked(samples=64)
    made = plan(one, correct=1 if status == "wrong" else 2, certainty=certainty)
    while samples := launch(made):
        for sample in samples:
            if one.problem.id in made.open:
                answer(made, one.problem, sample, status, "the same")
    assert one.judged == judged


def test_between_low_and_high_it_goes_on_to_the_last_sample() -> None:
    one = asked(samples=40)
    made = plan(one, correct=40, least=4)
    landed = 0
    while samples := launch(made):
        for sample in samples:
            answer(made, one.problem, sample, "correct" if sample % 2 else "wrong")
            landed += 1
    assert landed == 40


def test_at_the_tail_more_are_asked_than_needed_and_the_rest_is_called_off() -> None:
    one = asked(samples=16)
    made = plan(one, correct=2, complete=True)
    assert launch(made)[:2] == [0, 1]
    answer(made, one.problem, 0, "wrong")
    flying = launch(made)
    assert len(one.flying) > 2
    assert answer(made, one.problem, 1, "correct") == []
    called_off = answer(made, one.problem, flying[0], "correct")
    assert set(called_off) == one.flying != set()
    for sample in called_off:
        made.landed(one.problem.id, sample, unjudged=False)
    assert made.empty


def test_while_other_problems_are_left_nothing_is_asked_in_excess() -> None:
    one, other = asked("a"), asked("b")
    made = plan(one, other, correct=2)
    launch(made)
    assert (len(one.flying), len(other.flying)) == (2, 2)


def test_a_problem_without_a_reference_is_asked_in_full() -> None:
    made = plan(asked(verifier="majority", samples=6), correct=1)
    assert launch(made) == list(range(6))


def test_what_is_settled_already_is_not_asked_and_what_is_unjudged_is_waited_for() -> None:
    settled, waiting = asked("a"), asked("b")
    settled.note("correct", "x")
    waiting.waiting.append(("t", "y", "7"))
    made = plan(settled, waiting, correct=1, complete=True)
    made.rule = Adaptive.model_validate({"correct": 1})
    assert waiting.unjudged == 1
    assert settled.problem.id not in made.open
    made.judged(waiting.problem.id, "correct", "y")
    assert made.empty


def test_the_beta_function_is_that_of_the_tables() -> None:
    assert beta_cdf(0.5, 0.5, 0.5) == pytest.approx(0.5)
    assert beta_cdf(0.3, 2, 5) == pytest.approx(1 - 0.7**6 - 6 * 0.3 * 0.7**5)
    assert beta_cdf(0.9, 3, 1) == pytest.approx(0.9**3)
    assert [beta_cdf(x, 2, 2) for x in (0.0, 1.0)] == [0.0, 1.0]
    assert beta_cdf(0.5, 300, 300) == pytest.approx(0.5)


def test_the_first_samples_are_asked_in_any_case_and_more_only_until_one_is_right() -> None:
    easy, hard = asked("easy", 6), asked("hard", 6)
    made = plan(easy, hard, complete=True, always=2, correct=1, least=6, low=0.0, high=1.0)
    assert launch(made) == [0, 1, 0, 1]
    assert answer(made, easy.problem, 0, "correct") == [], "the second one goes on"
    answer(made, easy.problem, 1, "wrong")
    for sample in range(6):
        answer(made, hard.problem, sample, "wrong")
        launch(made)
    assert made.empty
    assert (easy.judged, hard.judged) == (2, 6)
