"""Small grids to fill so that no row and no column (and no box of a sudoku) holds a symbol twice.

Read: `r2c3 = 4`, "row 2, column 3 is 4", and whole grids, a row a line. A puzzle's blanks are 0, null, "_", "." or "".
Without the solution only what contradicts the puzzle itself is seen: a given that changed, a symbol twice in a line.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

Grid = tuple[tuple[str, ...], ...]


class Entry(NamedTuple):
    """A cell or a grid as filled in between `start` and `end`; `found` is empty when nothing contradicts it."""

    start: int
    end: int
    found: str


def grid(rows: object) -> Grid | None:
    """A square grid out of JSON, its blanks as ""; None when it is not one of 2 × 2 to 16 × 16."""
    if not isinstance(rows, list) or not 2 <= len(rows) <= 16:
        return None
    if any(not isinstance(row, list) or len(row) != len(rows) for row in rows):
        return None
    return tuple(tuple("" if cell in (0, None, "_", ".", "0") else str(cell).strip() for cell in row) for row in rows)


_CELL = re.compile(
    r"\br\s?(\d{1,2})\s?,?\s?c\s?(\d{1,2})\s*(?:=|is|:|must be|->|→)\s*(\w+)\b"
    r"|\brow\s+(\d{1,2})\s*,?\s*(?:and\s+)?col(?:umn)?\s+(\d{1,2})\)?\s*(?:=|is|:|must be|->|→)\s*(\w+)\b",
    re.IGNORECASE,
)


def entries(text: str, puzzle: Grid, solution: Grid | None = None) -> Iterator[Entry]:
    """The cells and whole grids that `text` fills in, in order. What is no symbol of the grid is passed over."""
    symbols = {cell for row in solution or puzzle for cell in row if cell}
    symbols |= {str(value) for value in range(1, len(puzzle) + 1)} if all(map(str.isdigit, symbols)) else set()
    found = [*_cells(text, puzzle, solution, symbols), *_blocks(text, puzzle, solution, symbols)]
    yield from sorted(found)


def _cells(text: str, puzzle: Grid, solution: Grid | None, symbols: set[str]) -> Iterator[Entry]:
    for match in _CELL.finditer(text):
        row, column, symbol = (part for part in match.groups() if part is not None)
        place = int(row) - 1, int(column) - 1
        if symbol in symbols and all(0 <= at < len(puzzle) for at in place):
            yield Entry(match.start(), match.end(), _contradiction(puzzle, solution, place, symbol))


def _contradiction(puzzle: Grid, solution: Grid | None, place: tuple[int, int], symbol: str) -> str:
    row, column = place
    given = puzzle[row][column] or (solution[row][column] if solution else "")
    if given:
        return "" if given == symbol else f"row {row + 1}, column {column + 1} is {given}"
    for at in _peers(len(puzzle), place):
        if puzzle[at[0]][at[1]] == symbol:
            return f"{symbol} is already in row {at[0] + 1}, column {at[1] + 1}"
    return ""


def _peers(size: int, place: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The cells that may not hold the same symbol: row and column. Whether there are boxes, the puzzle does not say."""
    for at in range(size):
        if at != place[1]:
            yield place[0], at
        if at != place[0]:
            yield at, place[1]


def _blocks(text: str, puzzle: Grid, solution: Grid | None, symbols: set[str]) -> Iterator[Entry]:
    """Runs of lines of as many symbols as the grid has, whole and without blanks."""
    block: list[tuple[str, ...]] = []
    start = 0
    for line in re.finditer(r"[^\n]*(?:\n|\Z)", text):
        cells = tuple(re.findall(r"\w+", line[0]))
        if len(cells) != len(puzzle) or not set(cells) <= symbols:
            block = []
            continue
        start = start if block else line.start()
        block.append(cells)
        if len(block) == len(puzzle):
            yield Entry(start, line.start() + len(line[0].rstrip()), _broken(block, puzzle, solution))
            block = []


def _broken(block: Sequence[Sequence[str]], puzzle: Grid, solution: Grid | None) -> str:
    filled = tuple(tuple(row) for row in block)
    for row, cells in enumerate(filled):
        for column, symbol in enumerate(cells):
            if found := _contradiction(puzzle, solution, (row, column), symbol):
                return found
    return _twice(filled)


def _twice(filled: Grid) -> str:
    for row, cells in enumerate(filled):
        for column, symbol in enumerate(cells):
            for at in _peers(len(filled), (row, column)):
                if filled[at[0]][at[1]] == symbol:
                    return f"{symbol} is twice in the line of row {row + 1}, column {column + 1}"
    return ""
