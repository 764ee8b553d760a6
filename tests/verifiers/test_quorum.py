"""Seven of ten make a test, nine of ten make a problem."""

import pytest

from verifiers.quorum import elect, needed


def column(right: int, of: int = 10, other: str | None = "b") -> list[list[str | None]]:
    """One input: `right` programs say "a", the others something else."""
    return [["a"] if n < right else [other] for n in range(of)]


@pytest.mark.parametrize(("right", "elected"), [(10, ["a"]), (7, ["a"]), (6, [None]), (0, ["b"])])
def test_an_input_is_a_test_where_seven_of_ten_agree(right: int, elected: list[str | None]) -> None:
    assert elect(column(right)).elected == elected


@pytest.mark.parametrize(("right", "sound"), [(10, True), (9, True), (8, False), (7, False)])
def test_a_problem_is_sound_where_nine_of_ten_pass_all(right: int, sound: bool) -> None:
    assert elect(column(right)).sound is sound


def test_programs_that_fail_alike_do_not_agree() -> None:
    assert elect(column(0, other=None)).elected == [None]
    assert not elect(column(0, other=None)).sound


def test_each_of_two_programs_may_fail_one_of_two_tests_and_that_is_one_too_many() -> None:
    outputs = [["a", "a"] for _ in range(8)] + [["a", "b"], ["b", "a"]]
    assert elect(outputs) == (["a", "a"], list(range(8)), False)


def test_an_input_without_a_quorum_is_held_against_nobody() -> None:
    outputs = [["a", str(n)] for n in range(10)]
    assert elect(outputs) == (["a", None], list(range(10)), True)


def test_without_an_input_there_is_nothing_to_trust() -> None:
    assert elect([[] for _ in range(10)]) == ([], list(range(10)), False)
    assert elect([]) == ([], [], False)


def test_needed_is_not_fooled_by_floats() -> None:
    assert [needed(0.7, 10), needed(0.9, 10), needed(0.7, 11), needed(0.9, 20)] == [7, 9, 8, 18]
