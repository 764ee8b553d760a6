"""The worlds: the same for everybody, exactly answered, and never a problem in two splits."""

import itertools
import json
import math
import re
from collections.abc import Callable

import pytest

from factory.records import Problem
from factory.sources.worlds import FAMILIES, Split, split_of, tasks, worlds

SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def numbers(prompt: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", prompt)]


def expression(prompt: str) -> int:
    text = prompt.removeprefix("Compute ").removesuffix(".")
    assert re.fullmatch(r"[\d +*()-]+", text)  # ours, not a model's: it may be evaluated here
    return int(eval(text))


def linear(prompt: str) -> int:
    a, b, c = numbers(prompt)
    [x] = [x for x in range(-c, c + 1) if a * x + b == c]
    return x


def chain(prompt: str) -> int:
    words = {"Add": int.__add__, "Subtract": int.__sub__, "Multiply": int.__mul__}
    value = int(re.match(r"Start with (\d+)\.", prompt)[1])  # type: ignore[index]
    for verb, number in re.findall(r"(Add|Subtract|Multiply by|Multiply)(?: by)? (\d+)", prompt):
        value = words[verb.split()[0]](value, int(number))
    return value


def word(prompt: str) -> int:
    have, boxes, each, gone = numbers(prompt)
    return have + boxes * each - gone


def gcd(prompt: str) -> int:
    return math.gcd(*numbers(prompt))


def remainder(prompt: str) -> int:
    return numbers(prompt)[0] % numbers(prompt)[1]


SOLVE: dict[str, Callable[[str], int]] = {f.__name__: f for f in (expression, linear, chain, word, gcd, remainder)}


def prompts(**keys: object) -> list[str]:
    return [problem.prompt for problem in worlds(**keys)]  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_is_the_answer_of_an_independent_solver(family: str) -> None:
    found = list(worlds(count=120, families=[family], levels=[1, 2, 3, 5]))
    assert [problem.reference for problem in found] == [str(SOLVE[family](problem.prompt)) for problem in found]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_operations_of_a_task_are_exact_and_end_at_its_answer(family: str) -> None:
    for _, _, task in itertools.islice(tasks("train", 0, [family], [1, 2, 4]), 200):
        assert all(o.sign != "/" or o.left == o.right * o.value for o in task.operations)
        assert task.answer in [o.value for o in task.operations] + [o.right for o in task.operations]


def test_the_same_arguments_give_the_same_problems() -> None:
    assert list(worlds(count=50, seed=3)) == list(worlds(count=50, seed=3))
    assert prompts(count=50, seed=3) != prompts(count=50, seed=4)


def test_the_first_problem_is_the_same_on_every_machine() -> None:
    assert next(iter(worlds(seed=0))).prompt == "What is the remainder when 29 is divided by 3?"


def test_more_problems_begin_with_the_same_ones() -> None:
    assert prompts(count=80)[:40] == prompts(count=40)


def test_there_are_exactly_as_many_different_problems_as_asked_for() -> None:
    assert len(set(prompts(count=300))) == 300
    assert prompts(count=0) == []


def test_no_two_splits_share_a_problem_whatever_the_seed() -> None:
    found = {split: {p for seed in range(4) for p in prompts(split=split, count=300, seed=seed, levels=[1])}
             for split in SPLITS}
    assert not any(found[a] & found[b] for a, b in itertools.combinations(SPLITS, 2))
    assert all(split_of(prompt) == split for split in SPLITS for prompt in found[split])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_and_a_level_are_what_was_asked_for(family: str) -> None:
    for problem in worlds(count=10, families=[family], levels=[2]):
        assert json.loads(problem.meta) == {"family": family, "level": 2}
        assert problem.source == f"worlds/{family}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_higher_level_has_larger_numbers_or_more_steps(family: str) -> None:
    def size(level: int) -> int:
        found = itertools.islice(tasks("train", 0, [family], [level]), 200)
        return sum(len(task.operations) * 100 + sum(numbers(task.prompt)) for _, _, task in found)
    assert size(1) < size(3) < size(6)


def test_a_problem_says_what_it_is() -> None:
    problem = next(iter(worlds(split="dev", count=1)))
    assert isinstance(problem, Problem)
    assert (problem.verifier, problem.domain, problem.split, problem.licence) == (
        "math_equal", "arithmetic", "dev", "Apache-2.0")


@pytest.mark.parametrize(("keys", "said"), [
    ({"families": ["gdc"]}, "worlds has no family 'gdc': use expression"),
    ({"families": []}, "at least one family"), ({"levels": []}, "at least one family"),
    ({"levels": [0]}, "levels from 1"),
    ({"split": "tset"}, "worlds has no split 'tset': use train, dev or test"),
    ({"families": ["remainder"], "levels": [1], "split": "dev", "count": 60}, "hold only about"),
])
def test_what_cannot_be_made_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        prompts(**keys)
