"""Zebra puzzles: a grid of houses as JSON, right only when every cell of it is.

Three shapes are read on either side, the first two as ZebraLogic has them:
`{"header": ["House", "Name"], "rows": [["1", "Eric"], …]}`, `{"House 1": {"Name": "Eric"}, …}` (perhaps inside
`{"solution": …}`) and `{"houses": [{"Name": "Eric"}, …]}`. Letter case and spaces do not count.
"""

import re
from typing import Any

from verifiers.json_equal import last_value, read
from verifiers.verdict import Verdict

VERSION = 1

Grid = dict[tuple[str, str], str]  # (house, attribute) -> value


def zebra(response: str, reference: str) -> Verdict:
    """Compare whole grids; undecided when either side is no grid."""
    gold = _grid(reference)
    if not gold:
        return Verdict("undecided", reason="the reference is no complete grid of houses as JSON")
    found = last_value(response)
    grid = _grid(found or "")
    if not grid:
        return Verdict("undecided", found, "the final answer is no grid of houses as JSON")
    right = _agreeing(grid, gold)
    extra = "" if _houses(grid) <= _houses(gold) else " and there are houses too many"
    complete = right == len(gold) and not extra
    return Verdict("correct" if complete else "wrong", found, f"{right} of {len(gold)} cells are right{extra}")


def cells(response: str, reference: str) -> tuple[int, int]:
    """How many cells are right, of how many. An unreadable answer has none right; (0, 0): unusable reference."""
    gold = _grid(reference) or {}
    grid = _grid(last_value(response) or "") or {}
    return _agreeing(grid, gold), len(gold)


def _agreeing(grid: Grid, gold: Grid) -> int:
    return sum(grid.get(cell) == value for cell, value in gold.items())


def _houses(grid: Grid) -> set[str]:
    return {house for house, _ in grid}


def _grid(text: str) -> Grid | None:
    """The grid that a JSON text writes; None for anything else, and where a cell is empty or given twice."""
    try:
        return _cells(_by_house(read(text)))
    except (ValueError, AttributeError, TypeError, LookupError):  # not JSON, or of another shape
        return None


def _cells(houses: list[tuple[str, dict[str, Any]]]) -> Grid:
    grid: Grid = {}
    for house, attributes in houses:
        for attribute, value in attributes.items():
            cell = house, _plain(attribute)
            if cell in grid or not _plain(value).strip("_-?"):
                raise ValueError("a cell is empty or given twice")
            grid[cell] = _plain(value)
    return grid


def _by_house(given: Any) -> list[tuple[str, dict[str, Any]]]:
    given = given.get("solution", given)
    if "rows" in given:
        given = {"houses": [dict(zip(given["header"], row, strict=True)) for row in given["rows"]]}
    if "houses" in given:
        return [_numbered(str(place), house) for place, house in enumerate(given["houses"], start=1)]
    return [(_house_number(name), house) for name, house in given.items() if isinstance(house, dict)]


def _numbered(place: str, house: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A house under the number it names itself, else under its place in the list."""
    named = {name: value for name, value in house.items() if _plain(name) in ("house", "house number", "number")}
    rest = {name: value for name, value in house.items() if name not in named}
    return (_house_number(str(next(iter(named.values())))) if named else place), rest


def _house_number(name: str) -> str:
    digits = re.fullmatch(r"(?:house)?[\s_#]*0*([0-9]{1,9})", _plain(name))
    if not digits:
        raise ValueError("a house needs a number")
    return digits[1]


def _plain(text: Any) -> str:
    if isinstance(text, (dict, list)) or text is None:
        raise TypeError("a cell holds one value")
    return " ".join(str(text).casefold().split())
