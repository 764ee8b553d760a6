r"""Python values: is the literal that a response ends with the reference's?

    python_literal(r"So it returns \boxed{[1, (2, 3)]}.", "[1, (2, 3)]").status  # "correct"

Types count, as `repr` shows them: `(1,)` is no `[1]`, `1.0` no `1`, `True` no `1`. The order of a dict or set does not.
"""

import ast
import re
import warnings
from typing import Any

from verifiers.answers import final_answer, without_thinking
from verifiers.verdict import Verdict

VERSION = 1

CHARACTERS = 100_000  # of a literal
DEPTH = 64


def python_literal(response: str, reference: str) -> Verdict:
    """Compare two literals; undecided when either side has none that can be read."""
    try:
        gold = read(reference)
    except ValueError as error:
        return Verdict("undecided", reason=f"the reference is no Python literal: {error}")
    texts = _texts(response)
    readings = {text: value for text in texts if (value := _reading(text)) is not None}
    for text, value in readings.items():
        if value == _typed(gold):
            return Verdict("correct", text)
    if readings:
        return Verdict("wrong", next(iter(readings)))
    return Verdict("undecided", texts[0] if texts else None, "there is no Python literal in the final answer")


def _reading(text: str) -> Any:
    """The typed value of `text`; None for what is no literal."""
    try:
        return _typed(read(text))
    except ValueError:
        return None


def read(text: str) -> Any:
    """The value of a literal, `set()` among them. ValueError, with the reason, for anything else."""
    text = text.strip()
    if len(text) > CHARACTERS:
        raise ValueError(f"longer than {CHARACTERS} characters")
    if max(_depths(text), default=0) > DEPTH:
        raise ValueError(f"more than {DEPTH} brackets in each other")
    try:
        with warnings.catch_warnings(action="ignore"):  # a model's own invalid escapes
            return ast.literal_eval(text)
    except SyntaxError as error:
        raise ValueError(error.msg) from error
    except (TypeError, RecursionError, MemoryError) as error:  # {[]: 1}; signs and signs and signs
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _depths(text: str) -> list[int]:
    depth, seen = 0, []
    for bracket in re.findall(r"[\[({\])}]", text):
        depth += 1 if bracket in "[({" else -1
        seen.append(depth)
    return seen


_FENCED = re.compile(r"```[a-zA-Z]*\n(.*?)```", re.DOTALL)


def _texts(response: str) -> list[str]:
    """Where the literal may stand: the final answer, plain or as TeX would write it; else the last fenced block."""
    answer = final_answer(response)
    if answer is None:
        return []
    plain = answer.text.strip().strip("`$").strip()
    texts = [plain, re.sub(r"\\([{}_%#&])", r"\1", plain), re.sub(r"^\\(?:text|texttt|mathtt)\{(.*)\}$", r"\1", plain)]
    if answer.where != "box":
        texts += [block.strip() for block in _FENCED.findall(without_thinking(response))[-1:]]
    return list(dict.fromkeys(texts))


def _typed(value: Any) -> Any:
    """Equal for values of equal `repr`, but for the order of dicts and sets."""
    name = type(value).__name__
    if isinstance(value, dict):
        return name, frozenset((_typed(key), _typed(held)) for key, held in value.items())
    if isinstance(value, set):
        return name, frozenset(map(_typed, value))
    return name, tuple(map(_typed, value)) if isinstance(value, (list, tuple)) else value
