"""Rows of public benchmarks, as their authors publish them, made into a prompt, a reference and what is worth keeping.

Each maker takes the fields of a row under our names and gives (prompt, reference, meta); BadRow says why not.
"""

import ast
import contextlib
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from factory.columns import as_text
from factory.protocols import BadRow

Fields = Mapping[str, Any]
Made = tuple[str, str, dict[str, Any]]

BOXED = "\n\nPut your final answer in \\boxed{}."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _text(fields: Fields, name: str) -> str:
    value = as_text(fields.get(name)).strip()
    if not value:
        raise BadRow("", f"'{name}' is missing or empty")
    return value


# -- mathematics -----------------------------------------------------------------------------------------------------


def math_problem(fields: Fields) -> Made:
    """MATH-500."""
    return _text(fields, "question") + BOXED, _text(fields, "answer"), {}


def aime(fields: Fields) -> Made:
    """A whole number from 0 to 999, with or without leading zeros, a box or the sign of degrees."""
    answer = re.sub(r"^\\boxed\{(.*)\}$", r"\1", _text(fields, "answer").strip("$ "))
    answer = re.sub(r"\s*(?:°|\^\{?\\circ\}?|\.0)$", "", answer)
    if not re.fullmatch(r"\d{1,3}", answer):
        raise BadRow("", f"the answer {answer[:40]!r} is no whole number from 0 to 999")
    return _text(fields, "question") + BOXED, str(int(answer)), {}


def gsm8k(fields: Fields) -> Made:
    """What follows `####`, or the whole answer where there is none."""
    answer = _text(fields, "answer").rpartition("####")[2].strip().lstrip("$").replace(",", "")
    if not answer:
        raise BadRow("", "'answer' ends at ####")
    return _text(fields, "question") + BOXED, answer, {}


def svamp(fields: Fields) -> Made:
    """A body and a question; the answer as a float, 145.0."""
    body = as_text(fields.get("body")).strip()
    question = _text(fields, "question")
    return f"{body} {question}".strip() + BOXED, _number(_text(fields, "answer")), {}


def gsm_hard(fields: Fields) -> Made:
    """The target is a float: of more than 15 digits, or not whole, it is only near the truth (`float_close`)."""
    value = _text(fields, "answer")
    _number(value)
    return _text(fields, "question") + BOXED, value, {}


def _number(text: str) -> str:
    """145 for 145.0."""
    try:
        value = float(text.replace(",", ""))
    except ValueError as error:
        raise BadRow("", f"the answer {text[:40]!r} is no number") from error
    if not math.isfinite(value):
        raise BadRow("", f"the answer is {text[:40]}")
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else text


# -- options ---------------------------------------------------------------------------------------------------------

_POINTS = re.compile(r"\b(?:the|options?|answers?|choices?) (?:above|below)\b"
                     r"|\b(?:all|none|both|neither|any|either) of (?:the|these|them|those)\b"
                     r"|\b[A-J] (?:and|or) [A-J]\b|\b(?:options?|answers?|choices?) \(?[A-J]\b|\([A-J]\) (?:and|or)",
                     re.IGNORECASE)
"""An option that speaks of other options by their place."""


def gpqa(fields: Fields) -> Made:
    right = _text(fields, "right")
    wrong = [_text(fields, f"wrong {n}") for n in (1, 2, 3)]
    return _with_options(fields, _text(fields, "question"), [right, *wrong], 0, ordered=False)


def mmlu_pro(fields: Fields) -> Made:
    options = _listed(fields.get("options"))
    place = as_text(fields.get("place"))
    right = int(place) if place.isdigit() else _place(_text(fields, "answer"), options)
    return _with_options(fields, _text(fields, "question"), options, right)


def commonsense_qa(fields: Fields) -> Made:
    """`choices` is {"label": […], "text": […]}, a list of {"label", "text"}, or of texts such as `(A) bank`."""
    choices = _loaded(fields.get("choices"))
    if isinstance(choices, list) and choices and all(isinstance(one, dict) for one in choices):
        choices = {name: [one.get(name) for one in choices] for name in ("label", "text")}
    if isinstance(choices, dict):
        labels, options = (_listed(choices.get(name)) for name in ("label", "text"))
        right = labels.index(_text(fields, "answer")) if _text(fields, "answer") in labels else -1
    else:
        options = [re.sub(r"^\(?[A-Z][).:]\s*", "", option) for option in _listed(choices)]
        right = _place(_text(fields, "answer"), options)
    return _with_options(fields, _text(fields, "question"), options, right)


def _loaded(value: Any) -> Any:
    """A value, or that of its JSON or Python text: what a CSV file has in its place."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError as error:
            with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
                return ast.literal_eval(value.strip())
            raise BadRow("", f"the options are no JSON: {error}") from error
    return value


def _listed(value: Any) -> list[str]:
    found = _loaded(value)
    if hasattr(found, "tolist"):
        found = found.tolist()
    if not isinstance(found, list | tuple) or len(found) < 2:
        raise BadRow("", "there are no options: a list of two or more is needed")
    return [as_text(option).strip() for option in found]


def _place(answer: str, options: Sequence[str]) -> int:
    letter = answer.strip("() .")
    if len(letter) == 1:
        return LETTERS.find(letter.upper())
    return list(options).index(answer) if answer in options else -1


def _with_options(fields: Fields, question: str, options: Sequence[str], right: int,
                  ordered: bool = True) -> Made:
    """Shuffled by the seed and the question alone, so that no row moves when others come or go; in the authors' order,
    where they had one (`ordered`) and an option speaks of others by their place. One with the text of the right one is
    left out: who took it would be called wrong."""
    if not 0 <= right < len(options) <= len(LETTERS):
        raise BadRow("", f"the right answer is none of the {len(options)} options")
    if not all(options):
        raise BadRow("", "an option is empty")
    order = [i for i in range(len(options)) if i == right or options[i] != options[right]]
    if not (ordered and any(_POINTS.search(option) for option in options)):
        random.Random(f"{fields['seed']}/{question}").shuffle(order)
    lines = "\n".join(f"{LETTERS[i]}) {options[place]}" for i, place in enumerate(order))
    asked = f"{question}\n\n{lines}\n\nAnswer with the letter of the right option in \\boxed{{}}."
    return asked, LETTERS[order.index(right)], {"order": order}


def strategy_qa(fields: Fields) -> Made:
    said = _text(fields, "answer").lower()
    if said not in ("true", "false", "yes", "no"):
        raise BadRow("", f"the answer {said[:40]!r} is not yes or no")
    return (_text(fields, "question") + "\n\nAnswer yes or no in \\boxed{}.",
            "yes" if said in ("true", "yes") else "no", {})


# -- programs --------------------------------------------------------------------------------------------------------

BLOCK = "one code block."


def human_eval(fields: Fields) -> Made:
    prompt = _text(fields, "prompt")
    asked = (f"Complete this Python function. Answer with the whole function, its imports included, in {BLOCK}\n\n"
             f"```python\n{prompt}\n```")
    return asked, _tests(fields, ("prompt", "test", "entry_point", "canonical_solution")), {}


def mbpp(fields: Fields) -> Made:
    """With its three tests in the prompt, as the authors ask it; MBPP+ is judged by its many."""
    shown = _shown(fields)
    asked = (f"{_text(fields, 'prompt')}\n\nYour Python code has to pass these tests:\n\n```python\n{shown}\n```\n\n"
             f"Answer with the whole program in {BLOCK}")
    return asked, _tests(fields, ("test", "test_list", "test_setup_code", "test_imports", "code")), {}


def _shown(fields: Fields) -> str:
    tests = fields.get("tests")
    own = tests.get("asserts") if isinstance(tests, dict) else None
    found = _loaded(fields.get("test_list") if own is None else own)
    found = found.tolist() if hasattr(found, "tolist") else found
    if not isinstance(found, list) or not found:
        raise BadRow("", "there is no test to show: 'test_list' is missing or empty")
    return "\n".join(map(str, found))


def live_code_bench(fields: Fields) -> Made:
    """Tests stay packed as they are published; the day of the contest is kept for the window of dates."""
    starter = as_text(fields.get("starter_code")).strip()
    how = (f"Complete this starter code:\n\n```python\n{starter}\n```\n\n" if starter else
           "Read from standard input and write to standard output.\n\n")
    asked = f"{_text(fields, 'prompt')}\n\n{how}Answer with the whole Python program in {BLOCK}"
    keys = ("public_test_cases", "private_test_cases", "metadata")
    return asked, _tests(fields, keys), {"contest_date": _text(fields, "date")[:10]}


def _tests(fields: Fields, keys: Sequence[str]) -> str:
    """A reference of `code_tests`: the row's own fields, whose form it knows."""
    if isinstance(fields.get("tests"), dict):
        return json.dumps({"tests": fields["tests"], "answer": fields.get("solution")}, sort_keys=True)
    row = {key: value.tolist() if hasattr(value := fields[key], "tolist") else value
           for key in keys if fields.get(key) is not None}
    if not row:
        raise BadRow("", "there are no tests")
    return json.dumps(row, sort_keys=True, default=str)


# -- puzzles ---------------------------------------------------------------------------------------------------------


def zebra_logic(fields: Fields) -> Made:
    """A grid of houses; its size says how many there are: S, M, L, XL as ZebraLogic counts them."""
    grid = _loaded(fields.get("solution"))
    header, rows = (_listed(grid.get(name) if isinstance(grid, dict) else None) for name in ("header", "rows"))
    cells = [_listed(row) for row in rows]
    if any("___" in row for row in cells):
        raise BadRow("", "its solution is hidden: take a copy of ZebraLogic that has the solutions")
    blank = {f"House {i}": dict.fromkeys(header[1:], "___") for i in range(1, len(cells) + 1)}
    asked = (f"{_text(fields, 'question')}\n\nAnswer with one JSON object of this form, every ___ filled in, in a code "
             f"block:\n\n```json\n{json.dumps(blank)}\n```")
    states = math.factorial(len(cells)) ** (len(header) - 1)
    size = "S" if states < 1e3 else "M" if states < 1e6 else "L" if states < 1e10 else "XL"
    return asked, json.dumps({"header": header, "rows": cells}), {"size": size}


def game24(fields: Fields) -> Made:
    given = fields.get("numbers")
    text = as_text(given.get("numbers") if isinstance(given, dict) else given)
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    if not re.fullmatch(r"[\d\s,\[\]]+", text) or len(numbers) < 2:
        raise BadRow("", f"{text[:40]!r} is no hand such as 4 4 7 7")
    asked = (f"Use the numbers {', '.join(map(str, numbers))}, each exactly once, with + - * / and brackets to make 24."
             "\n\nGive one expression in \\boxed{}.")
    return asked, json.dumps({"numbers": numbers, "target": 24}), {}
