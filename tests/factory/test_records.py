"""An id is the same everywhere and for ever, and another one as soon as something that determines the row differs."""

import hashlib
import json
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.records import Candidate, Completion, Problem, Request, canonical, content_id, joint_logprobs

PROBLEM = Problem("Compute 1 + 2.", "3")
REQUEST = Request("b1-x", '{"model":"m"}', '{"strategy":"sample"}', 0)

GOLDEN = [  # (row, its id): lakes out there hold these; a change needs a new `HASHING`
    (PROBLEM.id, "b1-e057de1d7ca50314ba5ea5861a8aee14"),
    (REQUEST.id, "b1-d9625e64c99d674aadbfd55a5657b45e"),
    (content_id("ü", 1, 1.5, None, {"b": 1, "a": [True]}), "b1-96749b0401b6d99d0b356129f5d04591"),
]


@pytest.mark.parametrize(("found", "golden"), GOLDEN)
def test_an_id_never_changes(found: str, golden: str) -> None:
    assert found == golden


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=[])), min_size=1, max_size=4))
def test_the_quick_way_of_plain_words_gives_the_same_id(parts: list[str | None]) -> None:
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert content_id(*parts) == "b1-" + hashlib.blake2b(text, digest_size=16).hexdigest()


def test_an_id_does_not_depend_on_the_order_of_keys() -> None:
    assert content_id({"a": 1, "b": {"c": 2, "d": 3}}) == content_id({"b": {"d": 3, "c": 2}, "a": 1})
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


@pytest.mark.parametrize(("one", "other"), [
    (("a", "b"), ("ab", "")), (("1",), (1,)), ((1,), (1.0,)), ((True,), (1,)), ((None,), ("null",)),
    (([1, 2],), (1, 2)),
])
def test_different_values_have_different_ids(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert content_id(*one) != content_id(*other)


@pytest.mark.parametrize("field", ["prompt", "reference", "verifier"])
def test_what_determines_a_problem_changes_its_id(field: str) -> None:
    assert replace(PROBLEM, **{field: "else"}).id != PROBLEM.id


@pytest.mark.parametrize("field", ["source", "domain", "split", "licence", "meta"])
def test_what_only_describes_a_problem_leaves_its_id(field: str) -> None:
    assert replace(PROBLEM, **{field: "else"}).id == PROBLEM.id


@pytest.mark.parametrize("field", ["problem_id", "teacher", "strategy", "sample"])
def test_everything_that_was_asked_changes_the_id_of_a_trace(field: str) -> None:
    assert replace(REQUEST, **{field: 7 if field == "sample" else "else"}).id != REQUEST.id


def test_a_text_that_is_no_unicode_has_an_id() -> None:
    assert content_id("\ud800") != content_id("\ufffd")


def test_a_number_that_is_no_json_has_none() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_id(float("nan"))


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PROBLEM.prompt = "Compute 2 + 2."  # type: ignore[misc]


def test_a_candidate_has_no_place_for_gold() -> None:
    assert not {"reference", "meta", "problem"} & {field.name for field in fields(Candidate)}


def part(mean: float | None, least: float | None, tokens: int) -> Completion:
    return Completion("", "", "", "stop", completion_tokens=tokens, mean_logprob=mean, min_logprob=least)


@pytest.mark.parametrize(("parts", "expected"), [
    ([part(-1.0, -2.0, 3), part(-3.0, -9.0, 1)], (-1.5, -9.0)), ([part(-1.0, -2.0, 3)], (-1.0, -2.0)),
    ([part(-1.0, -2.0, 3), part(None, None, 1)], (None, None)), ([], (None, None)),
    ([part(-1.0, -2.0, 0)], (None, None)),
])
def test_log_probabilities_of_parts_weigh_by_their_tokens(
        parts: list[Completion], expected: tuple[float | None, float | None]) -> None:
    assert joint_logprobs(parts) == expected
