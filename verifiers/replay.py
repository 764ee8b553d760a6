r"""Are the steps of a trace right? Replayed one by one, not only the answer at their end.

    replay("3 * 4 = 12, so 12 + 5 = 18.", "").reason  # "step 1 (arithmetic) is wrong: 12 + 5 = 18 (17 is not 18)"

What can be replayed: arithmetic lines, searches of the game of 24 and Countdown, letters of a word, small grids. The
reference is an answer as text, or a JSON object that says what the trace is about, every field of it optional:
`{"answer": "3", "word": "strawberry"}`, `{"numbers": [4, 5, 6, 10], "target": 24}`,
`{"grid": [[1, 0], [0, 0]], "solution": [[1, 2], [2, 1]]}`.

This is the one verifier that reads the thinking too. A step that is wrong and taken back directly afterwards ("wait,
no, 7 * 8 = 56") is reported as `corrected` and does not make the trace wrong: a slip that is noticed is what a trace
should teach. What a sentence only supposes, denies, asks or rounds is no step, nor is a definition (`x = 5`), nor
anything beside which a letter, a root or another base stands. So much is not seen (see `benchmarks/process.py`): that
every step that could be replayed is right is weaker than that the reasoning is.
"""

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from verifiers.math_equal import math_equal
from verifiers.number_game import number_game
from verifiers.replay_arithmetic import claims
from verifiers.replay_grid import Grid, entries, grid
from verifiers.replay_letters import remarks
from verifiers.replay_search import Move, moves
from verifiers.replay_step import Kind, Step, has_other_rules, is_supposed, repaired, taken_back
from verifiers.verdict import Verdict

VERSION = 1

_CHARACTERS = 2_000_000  # of a response; about ten seconds


def replay(response: str, reference: str) -> Verdict:
    """Correct: at least one step was replayed, all are right or corrected, and the answer agrees if there is one.

    Wrong: a step is, or the steps are right and the final answer is not. `reason` names the first wrong step by its
    index (from 0, among the replayed ones) and kind. Undecided: nothing to replay, or an unusable reference.
    """
    if len(response) > _CHARACTERS:
        return Verdict("undecided", reason=f"a response of over {_CHARACTERS} characters", grade="replayed")
    try:
        about = _read(reference)
    except ValueError as error:
        return Verdict("undecided", reason=str(error), grade="replayed")
    found, answer = _replayed(response, about), _answer(response, about)
    text = answer.answer if answer else None
    if wrong := _first(found):
        return Verdict("wrong", text, _sentence(wrong), "replayed")
    if not found:
        return Verdict("undecided", text, "no step that can be replayed", "replayed")
    return _with_answer(found, answer)


def steps(text: str, reference: str = "") -> list[Step]:
    """Every step of `text` that can be replayed, in order. Raises ValueError for an unusable reference."""
    return _replayed(text, _read(reference))


def first_wrong(text: str, reference: str = "") -> Step | None:
    """The first step that is wrong and not taken back; None when there is none. Raises like `steps`."""
    return _first(steps(text, reference))


class _About(NamedTuple):
    """The reference, read."""

    answer: str = ""
    word: str = ""
    numbers: tuple[Fraction, ...] = ()
    target: Fraction | None = None
    grid: Grid | None = None
    solution: Grid | None = None


class _Found(NamedTuple):
    kind: Kind
    start: int
    end: int
    found: str


def _read(reference: str) -> _About:
    try:
        fields = json.loads(reference) if reference.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        fields = None  # {1, 2} is an answer
    if not isinstance(fields, dict):
        return _About(answer=reference.strip())
    try:
        return _About(
            answer="" if fields.get("answer") is None else str(fields["answer"]).strip(),
            word=str(fields.get("word") or "").strip(),
            numbers=tuple(_fraction(number) for number in fields.get("numbers") or ()),
            target=None if fields.get("target") is None else _fraction(fields["target"]),
            grid=_grid(fields, "grid"),
            solution=_grid(fields, "solution"),
        )
    except (TypeError, ZeroDivisionError) as error:
        raise ValueError("the reference's numbers and target have to be numbers") from error


def _fraction(value: Any) -> Fraction:
    if not isinstance(value, int | float | str) or len(str(value)) > 40:
        raise ValueError("the reference's numbers and target have to be numbers")
    try:
        return Fraction(str(value))
    except ValueError as error:
        raise ValueError("the reference's numbers and target have to be numbers") from error


def _grid(fields: dict[str, Any], name: str) -> Grid | None:
    found = grid(fields.get(name))
    if fields.get(name) is not None and found is None:
        raise ValueError(f"the reference's {name} has to be a square list of rows, 2 × 2 to 16 × 16")
    if name == "solution" and found and len(found) != len(fields.get("grid") or ()):
        raise ValueError("the reference's solution needs a grid of the same size")
    return found


def _answer(response: str, about: _About) -> Verdict | None:
    """The verdict on the final answer alone; None when the reference holds none."""
    if about.answer:
        return math_equal(response, about.answer)
    if about.numbers and about.target is not None:
        game = {"numbers": [_plain(number) for number in about.numbers], "target": _plain(about.target)}
        return number_game(response, json.dumps(game))
    return None


def _plain(number: Fraction) -> int | str:
    return int(number) if number.denominator == 1 else str(number)


def _replayed(text: str, about: _About) -> list[Step]:
    searched = list(moves(text, about.numbers))
    found = [_Found("search", move.start, move.end, move.found) for move in searched]
    found += _arithmetic(text, searched)
    if about.word:
        found += [_Found(*remark) for remark in remarks(text, about.word)]
    if about.grid:
        found += [_Found("grid", *entry) for entry in entries(text, about.grid, about.solution)]
    ordered = sorted(found, key=lambda one: (one.start, one.end))
    return [_step(index, one, text) for index, one in enumerate(ordered)]


def _arithmetic(text: str, searched: list[Move]) -> Iterator[_Found]:
    inside = [(move.start, move.end) for move in searched]
    others = has_other_rules(text)
    for claim in claims(text):
        while inside and inside[0][1] <= claim.start:
            inside.pop(0)
        if claim.right is None or (inside and inside[0][0] < claim.end):
            continue
        supposed = not claim.right and (others or is_supposed(text, claim.start, claim.end))
        if not supposed or repaired(text, claim.end, text[claim.start : claim.end]):
            yield _Found("arithmetic", claim.start, claim.end, claim.found)


def _step(index: int, one: _Found, text: str) -> Step:
    said = text[one.start : one.end]
    corrected = bool(one.found) and (taken_back(text, one.end) or ("=" in said and repaired(text, one.end, said)))
    return Step(index, one.kind, said, one.start, not one.found, one.found, corrected)


def _first(found: list[Step]) -> Step | None:
    return next((step for step in found if not step.right and not step.corrected), None)


def _sentence(step: Step) -> str:
    said = " ".join(step.text.split())
    return f"step {step.index} ({step.kind}) is wrong: {said[:200]} ({step.found})"


def _with_answer(found: list[Step], answer: Verdict | None) -> Verdict:
    corrected = [str(step.index) for step in found if step.corrected]
    note = f"{len(found)} steps replayed" + (f", corrected: {', '.join(corrected)}" if corrected else "")
    if answer is None or answer.status == "correct":
        return Verdict("correct", answer.answer if answer else None, note, "replayed")
    problem = "the final answer is wrong" if answer.status == "wrong" else "the final answer cannot be told"
    return Verdict(answer.status, answer.answer, f"{note}, but {problem}: {answer.reason}", "replayed")
