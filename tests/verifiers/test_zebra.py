"""Zebra grids: every cell, in any of three shapes."""

import json

import pytest

from verifiers.zebra import cells, zebra

ROWS = json.dumps(
    {"header": ["House", "Name", "Pet"], "rows": [["1", "Eric", "cat"], ["2", "Arnold", "guinea  pig"]]}
)
NAMED = {"House 1": {"Name": "Eric", "Pet": "cat"}, "House 2": {"Name": "Arnold", "Pet": "guinea pig"}}
LISTED = {"houses": [{"name": "eric", "pet": "Cat"}, {"name": "arnold", "pet": "Guinea pig"}]}
SHUFFLED = {"houses": [{"House": 2, "Pet": "guinea pig", "Name": "Arnold"}, {"House": 1, "Name": "Eric", "Pet": "cat"}]}
SOLVED = {"reasoning": "By clue {1} …", "solution": NAMED}


@pytest.mark.parametrize("reference", [ROWS, json.dumps(NAMED), json.dumps(LISTED)])
@pytest.mark.parametrize("grid", [NAMED, LISTED, SHUFFLED, SOLVED, json.loads(ROWS)])
@pytest.mark.parametrize("indent", [None, 2])
def test_the_same_grid_in_any_shape(reference: str, grid: object, indent: int | None) -> None:
    response = f"<think>Eric has a cat.</think>Here it is:\n```json\n{json.dumps(grid, indent=indent)}\n```"
    assert zebra(response, reference).status == "correct"
    assert cells(response, reference) == (4, 4)


def test_one_wrong_cell_is_a_wrong_puzzle() -> None:
    response = json.dumps(NAMED).replace("cat", "dog")
    verdict = zebra(response, ROWS)
    assert (verdict.status, verdict.reason) == ("wrong", "3 of 4 cells are right")
    assert cells(response, ROWS) == (3, 4)


def test_houses_missing_or_too_many_are_wrong() -> None:
    assert zebra(json.dumps({"House 1": NAMED["House 1"]}), ROWS).status == "wrong"
    assert zebra(json.dumps(NAMED | {"House 3": {"Name": "Bob"}}), ROWS).status == "wrong"


@pytest.mark.parametrize(
    "response",
    ["", "Eric has the cat.", "[1, 2]", "{}", '{"rows": [[1]]}', '{"header": ["a"], "rows": [[1, 2]]}',
     '{"houses": 3}', '{"houses": ["Eric"]}', '{"houses": [{"Name": ["Eric"]}]}', '{"the": {"Name": "Eric"}}',
     '{"header": ["House", "Name"], "rows": [[1, "Eric"], [1, "Bob"]]}', "<think>" + json.dumps(NAMED)],
)  # fmt: skip
def test_no_grid_is_undecided(response: str) -> None:
    assert zebra(response, ROWS).status == "undecided"
    assert cells(response, ROWS) == (0, 4)


@pytest.mark.parametrize("reference", ["", "Eric", "{}", '{"houses": [{"Name": "___"}]}', '{"houses": [{"Name": ""}]}'])
def test_a_reference_without_a_complete_grid_is_undecided(reference: str) -> None:
    assert zebra(json.dumps(NAMED), reference).status == "undecided"
    assert cells(json.dumps(NAMED), reference) == (0, 0)
