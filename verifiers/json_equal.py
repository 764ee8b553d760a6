"""JSON answers: is the last JSON value of a response the reference's?

    json_equal("So:\\n```json\\n{\\"b\\": 1.0, \\"a\\": []}\\n```", '{"a": [], "b": 1}').status  # "correct"

The order of keys does not count, that of lists does. Numbers are compared exactly, and a number is neither a text nor
true or false. Lists and dicts as Python prints them (`['a', None, (1, 2)]`) are read too, a tuple as a list.

Where the order of a list means nothing the reference is `{"value": [[1, 2], [3]], "unordered": 1}`: the number says in
how many levels from the outside, 2 here if the order inside `[1, 2]` is free as well.
"""

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

from verifiers.answers import final_answer, without_thinking
from verifiers.verdict import Verdict

VERSION = 1

CHARACTERS = 200_000  # of a value, and of the end of a response in which one is looked for
DEPTH = 64
DIGITS = 1_000  # of a number


def json_equal(response: str, reference: str) -> Verdict:
    """Compare two JSON values; undecided when either side has none that can be read."""
    found = last_value(response)
    if found is None:
        return Verdict("undecided", reason="no JSON value found in the final answer")
    try:
        gold, levels = _gold(reference)
    except ValueError as error:
        return Verdict("undecided", found, f"the reference is no JSON answer: {error}")
    try:
        value = read(found)
    except ValueError as error:
        return Verdict("undecided", found, f"the final answer is no JSON: {error}")
    return Verdict("correct" if _same(_in_order(value, levels), _in_order(gold, levels)) else "wrong", found)


def _gold(reference: str) -> tuple[Any, int]:
    """The value, and in how many levels the order of its lists is free."""
    gold, levels = read(reference), 0
    if isinstance(gold, dict) and gold.keys() == {"value", "unordered"}:
        gold, levels = gold["value"], gold["unordered"]
    if type(levels) is not int or levels < 0:
        raise ValueError('"unordered" is the number of levels in which order is free')
    if gold is None:
        raise ValueError("null says that there is none")
    return gold, levels


def _in_order(value: Any, levels: int) -> Any:
    if levels == 0 or not isinstance(value, list):
        return value
    return sorted((_in_order(part, levels - 1) for part in value), key=_place)


def _place(value: Any) -> str:
    """Equal for equal values: 1 and 1.0 hash alike, however long they are written."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{_place(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_place, value)) + "]"
    return repr(hash(value)) if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else repr(value)


def _same(left: Any, right: Any) -> bool:
    """Are two values of `read` equal, with true apart from 1?"""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def read(text: str) -> Any:
    """A JSON value or Python literal; whole numbers are int, others Decimal.

    ValueError, with the reason, for anything else: over the caps, keys given twice, NaN.
    """
    text = text.strip()
    if len(text) > CHARACTERS:
        raise ValueError(f"longer than {CHARACTERS} characters")
    if _depth(text) > DEPTH:
        raise ValueError(f"more than {DEPTH} brackets in each other")
    try:
        return _decoder.decode(text)
    except ArithmeticError as error:
        raise ValueError("a number is over the caps") from error
    except ValueError as error:
        if (translated := _as_json(text)) is None:
            raise error
        return _decoder.decode(translated)


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in re.finditer(r"[\[({]|[\])}]", text):
        depth += 1 if bracket[0] in "[({" else -1
        deepest = max(deepest, depth)
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number longer than {DIGITS} digits")
    return int(digits)


_decoder = json.JSONDecoder(
    parse_int=_whole, parse_float=Decimal, object_pairs_hook=_unique, parse_constant=_no_number
)

_LITERAL = re.compile(
    r"(?P<text>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|(?P<name>True|False|None)\b"
    r"|(?P<other>[-+0-9.eE]+|[\[\]{}:\s])|(?P<comma>,)(?P<last>\s*[\]})])?|(?P<round>[()])"
)
_NAMES = {"True": "true", "False": "false", "None": "null", "(": "[", ")": "]"}


def _as_json(text: str) -> str | None:
    """A Python literal written as JSON; None when it holds anything else, a name or a call."""
    parts, position = [], 0
    while position < len(text):
        token = _LITERAL.match(text, position)
        if token is None:
            return None
        position = token.end()
        parts.append(_translated(token))
    return "".join(parts)


def _translated(token: re.Match[str]) -> str:
    if quoted := token["text"]:
        inner = quoted[1:-1].replace(r"\'", "'")
        return '"' + (inner if quoted[0] == '"' else re.sub(r'(?<!\\)"', r"\"", inner)) + '"'
    if token["last"]:
        return token["last"].replace(")", "]")
    return _NAMES.get(token[0], token[0])


_FENCED = re.compile(r"```[a-zA-Z]*\s(.*?)```", re.DOTALL)


def last_value(response: str) -> str | None:
    """The text of the JSON value that a response ends with, perhaps over several lines; None without.

    A box holds it whole. Otherwise it is the final answer's line, the last code fence, or the last pair of brackets.
    """
    answer = final_answer(response)
    if answer is None:
        return None
    if answer.where == "box" or _reads(answer.text):
        return re.sub(r"\\(?:left|right)(?![a-z])|\\(?=[{}])", "", answer.text)
    if answer.where == "phrase" and not re.search(r"[\[{(`]", answer.text):
        return None
    tail = without_thinking(response)[-CHARACTERS:]
    return _fenced(tail) or _bracketed(tail)


def _reads(text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _fenced(text: str) -> str | None:
    fenced = _FENCED.findall(text)
    return fenced[-1].strip() if fenced else None


def _bracketed(text: str) -> str | None:
    depth, end = 0, 0
    for bracket in reversed(list(re.finditer(r"[\[\]{}]", text))):
        end = end or bracket.end()
        depth += 1 if bracket[0] in "]}" else -1
        if depth <= 0:
            return text[bracket.start() : end] if depth == 0 else None
    return None
