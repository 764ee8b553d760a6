r"""Game of 24 and Countdown: do the given numbers, each used once, make the target?

    number_game(r"\boxed{8/(3-8/3)}", '{"numbers": [3, 3, 8, 8], "target": 24}').status  # "correct"

The final answer is an expression, worked out with exact fractions by the parser below. It may hold the given numbers,
`+ - * /` (also `× ÷ − · \times \cdot \div \frac{a}{b}`), round brackets, and a minus in front of an expression or a
bracket, which reaches no target that the four operations cannot reach. `… = 24` and `24 = …` are allowed; each side
must then be worth the target. Anything else of mathematics or of a programming language (`//`, `**`, `!`, decimals,
`024`, `1_0`, `==`) breaks the rules and is wrong; what is no expression at all, words for example, is undecided.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

from verifiers.answers import final_answer
from verifiers.json_equal import read
from verifiers.verdict import Verdict

VERSION = 1

CHARACTERS = 1_000  # of a final answer
DEPTH = 50  # of brackets
DIGITS = 20  # of one number
NUMBERS = 100  # given


class Game(NamedTuple):
    """The numbers to be used, once each, and what they have to make."""

    numbers: Counter[int]
    target: int


def number_game(response: str, reference: str) -> Verdict:
    """Check against `{"numbers": […], "target": 24}`: whole numbers from 0; without a target it is 24."""
    answer = final_answer(response)
    if answer is None:
        return Verdict("undecided", reason="no final answer found")
    game = _game(reference)
    if game is None:
        return Verdict("undecided", answer.text, 'the reference is not {"numbers": [whole numbers], "target": number}')
    try:
        fault = _fault(_unwrapped(answer.text), game)
    except _Unreadable as error:
        return Verdict("undecided", answer.text, str(error))
    return Verdict("wrong" if fault else "correct", answer.text, fault or answer.note)


SOLVED = 5
"""So many numbers at most are worked out in a moment."""


def own_answer(reference: str) -> str | None:
    """A response that is right by the reference itself; None for more than SOLVED numbers, which take too long.
    ValueError when the reference is malformed, or its numbers provably cannot make the target."""
    game = _game(reference)
    if game is None:
        raise ValueError('it is not {"numbers": [whole numbers], "target": number}')
    if game.numbers.total() > SOLVED:
        return None
    found = solution(tuple(game.numbers.elements()), game.target)
    if found is None:
        raise ValueError(f"{_listed(game.numbers)} cannot make {game.target}")
    return f"\\boxed{{{found}}}"


def solution(numbers: Sequence[int], target: int) -> str | None:
    """An expression of all the numbers that makes the target, by trying all of them; None: there is none."""
    return _solved([(Fraction(number), str(number)) for number in numbers], Fraction(target))


def _solved(items: list[tuple[Fraction, str]], target: Fraction) -> str | None:
    if len(items) == 1:
        return items[0][1] if items[0][0] == target else None
    for i, j in combinations(range(len(items)), 2):
        rest = [item for place, item in enumerate(items) if place not in (i, j)]
        for made in _joined(*items[i], *items[j]):
            if found := _solved([*rest, made], target):
                return found
    return None


def _joined(a: Fraction, left: str, b: Fraction, right: str) -> Iterator[tuple[Fraction, str]]:
    """Every value of two with one operation."""
    yield a + b, f"({left}+{right})"
    yield a * b, f"({left}*{right})"
    yield a - b, f"({left}-{right})"
    yield b - a, f"({right}-{left})"
    if b:
        yield a / b, f"({left}/{right})"
    if a:
        yield b / a, f"({right}/{left})"


class _Unreadable(Exception):
    """It is no expression."""


class _Forbidden(Exception):
    """It is an expression, though not of this game."""


def _game(reference: str) -> Game | None:
    try:
        game = read(reference)
    except ValueError:
        return None
    numbers = game.get("numbers") if isinstance(game, dict) else None
    target = game.get("target", 24) if isinstance(game, dict) else None
    if type(target) is not int or not isinstance(numbers, list) or not 0 < len(numbers) <= NUMBERS:
        return None
    if any(type(number) is not int or not 0 <= number < 10**DIGITS for number in numbers):
        return None
    return Game(Counter(numbers), target)


_LEAD_IN = re.compile(r"[^0-9()\\$*/=]*?(?::|\b(?:is|be|use)\b)\s*(?=[0-9($\\*`-])")
_WRAPPED = re.compile(r"(\*\*|`|\$)(.+)\1", re.DOTALL)


def _unwrapped(text: str) -> str:
    if len(text) > CHARACTERS:
        raise _Unreadable(f"the final answer is longer than {CHARACTERS} characters")
    text = text.strip()
    if lead_in := _LEAD_IN.match(text):
        text = text[lead_in.end() :]
    text = text.removesuffix(".").strip()
    wrapped = _WRAPPED.fullmatch(text)
    return wrapped[2].strip() if wrapped else text


def _fault(text: str, game: Game) -> str:
    """Why the answer is wrong, or an empty string."""
    try:
        sides = _Parser(_tokens(text)).sides()
    except _Forbidden as error:
        return str(error)
    except ZeroDivisionError:
        return "it divides by zero"
    if len(sides) == 1 and sides[0].leaves == (game.target,) and game.numbers != Counter([game.target]):
        raise _Unreadable("the final answer is only the target, without the expression")
    if not any(Counter(side.leaves) == game.numbers for side in sides):
        return f"it does not use {_listed(game.numbers)} once each"
    values = [side.value for side in sides if side.value != game.target]
    return f"it is {values[0]}, not {game.target}" if values else ""


def _listed(numbers: Counter[int]) -> str:
    return ", ".join(map(str, sorted(numbers.elements())))


_TOKEN = re.compile(
    r"(?P<space>(?:[ \t\n\u00a0\u2009\u202f~]|\\[,;:! ]|\\(?:left|right|[bB]igg?[lr]?)(?=\s*[()]))+)"
    r"|(?P<number>[0-9]+)(?![\w.])"
    r"|(?P<times>\*(?!\*)|[×·⋅∗]|\\(?:times|cdot|ast)(?![a-zA-Z])|\\\*)"
    r"|(?P<over>/(?!/)|[÷∕]|\\div(?![a-zA-Z]))"
    r"|(?P<minus>[-−–])|(?P<equals>=(?!=))|(?P<frac>\\[dtc]?frac(?=\s*\{))|(?P<other>[+(){}])"
)
_SIGNS = {"times": "*", "over": "/", "minus": "-", "equals": "=", "frac": "frac"}

# Mathematics and Python beyond the four operations: an attempt that breaks the rules, if no sentence is around it.
_FUNCTIONS = "sqrt|pow|abs|int|float|round|log|ln|exp|floor|ceil|min|max|sum|mod|binom|factorial"
_FOREIGN = re.compile(
    rf"\*\*|//|==|[\d)]\s*[!%]|[\^√²³]|\d*\.\d|\d\.\s*[-+*/)]|\d_|\d[eEjJ]|\b0[xXbBoO]|(?![0-9])\d|(?:{_FUNCTIONS})\s*[({{]"
)
_SENTENCE = re.compile(rf"(?<![\\a-zA-Z0-9])(?!(?:{_FUNCTIONS})(?![a-zA-Z]))[a-zA-Z]{{2,}}")


def _tokens(text: str) -> list[str]:
    found, position = [], 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise _stranger(text, position)
        position = token.end()
        if token.lastgroup == "number":
            found.append(_number(token[0]))
        elif token.lastgroup != "space":
            found.append(_SIGNS.get(token.lastgroup or "", token[0]))
    return found


def _number(digits: str) -> str:
    if len(digits) > DIGITS:
        raise _Forbidden(f"a number is longer than {DIGITS} digits")
    if digits[0] == "0" and digits != "0":
        raise _Forbidden(f"{digits} has a leading zero")
    return digits


def _stranger(text: str, position: int) -> Exception:
    foreign = _FOREIGN.search(text)
    if foreign and not _SENTENCE.search(text):
        return _Forbidden(f"{foreign[0]!r} is not in the game: the given numbers, + - * / and round brackets")
    return _Unreadable(f"the final answer is not an expression: {text[position : position + 20]!r}")


class _Side(NamedTuple):
    value: Fraction
    leaves: tuple[int, ...]


class _Parser:
    """Recursive descent, working out as it goes. ZeroDivisionError, _Forbidden or _Unreadable."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at, self._depth = [*tokens, ""], 0, 0
        self._leaves: list[int] = []

    def sides(self) -> list[_Side]:
        """The sides of an equation, or the one expression there is."""
        sides = [self._side()]
        while self._take("="):
            sides.append(self._side())
        self._expect("")
        return sides

    def _side(self) -> _Side:
        self._leaves = []
        return _Side(self._sum(), tuple(self._leaves))

    def _sum(self) -> Fraction:
        value = -self._product() if self._take("-") else self._product()
        while sign := self._take("+", "-"):
            value = value + self._product() if sign == "+" else value - self._product()
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while sign := self._take("*", "/"):
            value = value * self._factor() if sign == "*" else value / self._factor()
        return value

    def _factor(self) -> Fraction:
        token = self._tokens[self._at]
        if token.isdigit():
            self._at += 1
            self._leaves.append(int(token))
            return Fraction(token)
        if self._take("frac"):
            return self._group("{", "}") / self._group("{", "}")
        return self._group("(", ")")

    def _group(self, opening: str, closing: str) -> Fraction:
        self._expect(opening)
        self._depth += 1
        if self._depth > DEPTH:
            raise _Unreadable(f"the final answer has more than {DEPTH} brackets in each other")
        value = self._sum()
        self._depth -= 1
        self._expect(closing)
        return value

    def _take(self, *wanted: str) -> str:
        token = self._tokens[self._at]
        if not token or token not in wanted:
            return ""
        self._at += 1
        return token

    def _expect(self, wanted: str) -> None:
        token = self._tokens[self._at]
        if token != wanted:
            raise _Unreadable(f"the final answer is not an expression: {token or 'its end'!r} where it breaks off")
        self._at += 1
