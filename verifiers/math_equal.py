r"""Is the final answer of a response mathematically equal to the reference?

Two paths. The cheap one compares normalised text and exact rationals and settles most of a model's
real answers in microseconds; two plain numbers are always decided there. What stays open goes to
Math-Verify, both sides boxed, through its LaTeX grammar only: its other parser is
`sympy.parse_expr`, which is `eval`.

What is not covered: time and memory. The caps below stop the crude bombs, but sympy has no bounds
of its own, and Math-Verify's are signals, which need the main thread and cannot stop a long C
call, so they are off here. Run untrusted answers through `verifiers.pool`, which kills. And
Math-Verify swallows errors of its inner steps, so a failed simplification can still read "wrong".

Choices on which good checkers differ: no tolerance (0.33 is not 1/3); `x = 5` answers 5; a unit is
ignored when only one side has one, undecided when the two differ; 40 % against 0.4 is left to
Math-Verify; digits with a base are equal only in the same base; degrees and currency are ignored.
"""

import functools
import importlib
import logging
import re

from verifiers.answers import boxes, final_answer
from verifiers.multiple_choice import letter
from verifiers.normal_form import compact, number, tidy
from verifiers.verdict import Status, Verdict

VERSION = 1

_CHARACTERS, _NESTING, _DIGITS = 2_000, 30, 60


def math_equal(response: str, reference: str) -> Verdict:
    """Compare the final answer of `response` with `reference` (an answer; `$` or a box may stay).

    Undecided: no answer found, either side unreadable, over the caps, or an error. Never raises,
    except MemoryError, which belongs to whoever set the limit.
    """
    answer = final_answer(response)
    if answer is None:
        return Verdict("undecided", reason="no final answer found")
    gold = (boxes(reference) or [reference])[-1]
    status, reason = _compare(answer.text, gold)
    return Verdict(status, answer.text, "; ".join(filter(None, [reason, answer.note])))


def warm_up() -> None:
    """Import and try the slow path once. The pool calls it before a case's clock starts."""
    _math_verify(r"\frac{x}{2}", r"\frac12 x")


def _compare(answer: str, gold: str) -> tuple[Status, str]:
    if len(answer) > _CHARACTERS or len(gold) > _CHARACTERS:
        return "undecided", f"an answer of over {_CHARACTERS} characters"
    mine, theirs = tidy(answer), tidy(gold)
    if not compact(theirs):
        return "undecided", "the reference is empty"
    if not compact(mine):
        return "undecided", "no final answer found"
    mine = _without_name(mine, theirs)
    return _exactly(mine, theirs) or _symbolically(mine, theirs)


_NAME = re.compile(
    r"(?:m?\\angle )?\\?[a-zA-Z]+(?:_\w|_\{\w+\})?(?:\(\w+\))?\s*(?:=|\\approx|\\in(?![a-z]))"
)


def _without_name(mine: str, theirs: str) -> str:
    """`x = 5` as 5, when the reference names nothing. A false equation (`6 = 5`) stays one."""
    name = _NAME.match(mine)
    if name and not _NAME.match(theirs) and "=" not in mine[name.end() :]:
        return mine[name.end() :].strip()
    return mine


def _exactly(mine: str, theirs: str) -> tuple[Status, str] | None:
    """What strings and fractions can settle; None when they cannot."""
    if compact(mine) == compact(theirs):
        return "correct", "same text"
    return _as_numbers(mine, theirs) or _as_bases(mine, theirs) or _as_words(mine, theirs)


def _as_numbers(mine: str, theirs: str) -> tuple[Status, str] | None:
    ours, gold = number(mine), number(theirs)
    if ours is None or gold is None or (ours.unit == "%") != (gold.unit == "%"):
        return None
    if ours.value != gold.value:
        return "wrong", "another number"
    if ours.unit and gold.unit and ours.unit != gold.unit:
        return "undecided", f"the same number, but {ours.unit} is not {gold.unit}"
    return "correct", "same number"


_BASE = re.compile(r"([0-9A-Za-z]+)_\{?(\d+)\}?")


def _as_bases(mine: str, theirs: str) -> tuple[Status, str] | None:
    ours, gold = _BASE.fullmatch(mine), _BASE.fullmatch(theirs)
    if not ours or not gold:
        return None
    if ours[1].lstrip("0") == gold[1].lstrip("0") and ours[2] == gold[2]:
        return "correct", "same digits and base"
    return "wrong", "other digits or another base"


_WORDS = re.compile(r"[a-zA-Z]{2}[a-zA-Z ,'-]*")
_CLOCK = re.compile(r"\d+ ?: ?\d+(?: ?: ?\d+)?")


def _as_words(mine: str, theirs: str) -> tuple[Status, str] | None:
    """Choices, words and clock times: no algebra would help with these."""
    if theirs.strip("()").isupper() and (choice := letter(theirs)) and (chosen := letter(mine)):
        return ("correct", "same choice") if chosen == choice else ("wrong", "another choice")
    if _CLOCK.fullmatch(mine) and _CLOCK.fullmatch(theirs):
        return "wrong", "another time or ratio"
    if not _WORDS.fullmatch(mine) or not _WORDS.fullmatch(theirs):
        return None
    if mine.casefold() == theirs.casefold():
        return "correct", "same words"
    return None if _alike(mine, theirs) else ("wrong", "other words")


def _alike(mine: str, theirs: str) -> bool:
    """Worth a closer look: a word in common, or the same letters (`xy` and `yx`, one product)."""
    ours, gold = mine.casefold(), theirs.casefold()
    return sorted(ours) == sorted(gold) or bool(set(ours.split()) & set(gold.split()))


_CODE = re.compile(r"__|\b(?:import|lambda|exec|eval|open|os|sys|globals|getattr)\b")
_TOWER = re.compile(  # 9^9^9, 2^99999, 99999!, 9!!
    r"\d\s*\^[\s{(]*\d+[\s})]*\^|\^[\s{(]*-?\d{4,}|\d{4,}[\s})]*!|![\s})]*[!^]"
)
# Four letters that are no command: the grammar would read a word as a product of its letters.
_PROSE = re.compile(
    r"(?<![\\a-zA-Z])(?!(?:pmatrix|vmatrix|cases|array|align|aligned)\b)[a-zA-Z]{4,}"
)


def _refusal(text: str) -> str:
    """Why `text` must not reach sympy; empty when it may."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > _NESTING:
        return f"nested deeper than {_NESTING}"
    if re.search(rf"\d{{{_DIGITS},}}", text):
        return f"a number of over {_DIGITS} digits in an expression"
    if _CODE.search(text):
        return "code instead of an answer"
    if _PROSE.search(text):
        return "words, which algebra cannot compare"
    return "powers or factorials too large to work out" if _TOWER.search(text) else ""


def _symbolically(mine: str, theirs: str) -> tuple[Status, str]:
    if refusal := _refusal(mine) or _refusal(theirs):
        return "undecided", refusal
    try:
        return _math_verify(mine, theirs)
    except MemoryError:
        raise
    except Exception as error:  # anything can come out of sympy, and none of it says "wrong"
        return "undecided", f"Math-Verify failed: {type(error).__name__}"


def _math_verify(mine: str, theirs: str) -> tuple[Status, str]:
    # Through importlib: the package is slow to import and has no types.
    library = importlib.import_module("math_verify")
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns: its time-outs are off
    parse = functools.partial(
        library.parse,
        extraction_config=[library.LatexExtractionConfig()],
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    if not (gold := parse(rf"\boxed{{{theirs}}}")):
        return "undecided", "the reference cannot be read"
    if not (ours := parse(rf"\boxed{{{mine}}}")):
        return "undecided", "the answer cannot be read"
    equal = library.verify(gold, ours, timeout_seconds=None, raise_on_error=True)
    return ("correct", "equal by Math-Verify") if equal else ("wrong", "not equal by Math-Verify")
