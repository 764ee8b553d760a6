r"""Is the final answer of a response mathematically equal to the reference?

The cheap path compares normalised text and exact rationals; two plain numbers are always decided there. What stays
open is read by our own grammar and compared by type: exact rationals at random points, 60 digits (and more) where that
is not possible, lists, intervals, matrices and equations part by part. Nothing of a model is ever evaluated as code.

Every value is capped before it is worked out; what is over the caps, unreadable or without a value is `undecided`. What
is not covered: the wall clock. Run untrusted answers through `verifiers.pool`, which kills.

Choices on which good checkers differ: no tolerance (0.33 is not 1/3; `math_close` takes correct roundings); `x = 5`
answers 5; a unit is ignored when only one side has one, converted when both are known, undecided when equal numbers
stand before different ones; 40 % is 0.4 and also 40; digits with a base are equal only in the same base; degrees and
currency are ignored; a bare list has no order, a tuple has; the last of several boxes counts; a sentence counts by the
one number that it names.
"""

import re
from fractions import Fraction

from verifiers.answers import boxes, final_answer
from verifiers.compare import same, words
from verifiers.grammar import Node, Unreadable, read
from verifiers.multiple_choice import letter
from verifiers.normal_form import compact, number, tidy
from verifiers.numeric import symbols
from verifiers.prose import is_sentence, quantities, scale, singular, spelled, split, subject
from verifiers.verdict import Status, Verdict

VERSION = 2

_CHARACTERS, _REFERENCE = 2_000, 20_000


def math_equal(response: str, reference: str) -> Verdict:
    """Compare the final answer of `response` with `reference` (an answer; `$` or a box may stay).

    Undecided: no answer found, either side unreadable, over the caps, or an error. Never raises,
    except MemoryError, which belongs to whoever set the limit.
    """
    if len(reference) > _REFERENCE:
        return Verdict("undecided", reason=f"a reference of over {_REFERENCE} characters")
    if response.strip() == reference.strip() and 0 < len(reference) < _CHARACTERS:
        return Verdict("correct", reference.strip(), "same text")
    answer = final_answer(response)
    if answer is None:
        return Verdict("undecided", reason="no final answer found")
    gold = _gold(reference)
    status, reason = _compare(answer.text, gold)
    return Verdict(status, answer.text[:_CHARACTERS], "; ".join(filter(None, [reason, answer.note])))


def _gold(reference: str) -> str:
    """The answer in a reference, which may be boxed, or a whole solution."""
    if found := boxes(reference):
        return found[-1]
    solution = len(reference) > 80 and is_sentence(tidy(reference)) and final_answer(reference)
    return solution.text if solution else reference


def warm_up() -> None:
    """Import what 60 digits need. The pool calls it before a case's clock starts."""
    math_equal(r"\boxed{\sqrt{8}}", r"2\sqrt{2}")
    math_equal(r"\boxed{xy = 1}", "y = 1/x")


def _compare(answer: str, gold: str) -> tuple[Status, str]:
    if len(answer) > _CHARACTERS or len(gold) > _CHARACTERS:
        return "undecided", f"an answer of over {_CHARACTERS} characters"
    mine, theirs = spelled(tidy(answer)), spelled(tidy(gold))
    if not compact(theirs):
        return "undecided", "the reference is empty"
    if not compact(mine):
        return "undecided", "no final answer found"
    named, known = _without_name(mine, theirs), _without_name(theirs, mine)
    return _exactly(named, known) or _by_meaning(_whole(mine, theirs), _whole(theirs, mine), answer)


def _whole(text: str, other: str) -> str:
    """`1,000` as 1000, unless the other side is a list of as many items."""
    listed = ", " in other and text.count(",") == other.count(",") and ",0" not in text
    thousands = "," in text and not listed
    value = number(text) if thousands else None
    return str(value.value) if value and not value.unit else text


_NAME = re.compile(r"(?:m?\\angle )?\\?[a-zA-Z]+(?:_\w|_\{\w+\})?(?:\(\w+\))?\s*(?:=|\\approx|\\in(?![a-z]))")


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
    if ours.unit and gold.unit and ours.unit != gold.unit:
        return None
    return ("correct", "same number") if ours.value == gold.value else ("wrong", "another number")


_BASE = re.compile(r"([0-9A-Za-z]+)_\{?(\d+)\}?")


def _as_bases(mine: str, theirs: str) -> tuple[Status, str] | None:
    ours, gold = _BASE.fullmatch(mine), _BASE.fullmatch(theirs)
    if not ours or not gold:
        return None
    if ours[1].lstrip("0") == gold[1].lstrip("0") and ours[2] == gold[2]:
        return "correct", "same digits and base"
    return "wrong", "other digits or another base"


_CHOICE = re.compile(r"\([A-Z]\)|[A-Z]\.?\Z")
_WORDS = re.compile(r"[a-zA-Z]{2}[a-zA-Z ,'-]*")
_CLOCK = re.compile(r"\d+ ?: ?\d+(?: ?: ?\d+)?")


def _as_words(mine: str, theirs: str) -> tuple[Status, str] | None:
    """Choices, words and clock times: no algebra would help with these."""
    if _CHOICE.match(theirs) and (choice := letter(theirs)) and (chosen := letter(mine)):
        return ("correct", "same choice") if chosen == choice else ("wrong", "another choice")
    if _CLOCK.fullmatch(mine) and _CLOCK.fullmatch(theirs):
        return "wrong", "another time or ratio"
    if not _WORDS.fullmatch(mine) or not _WORDS.fullmatch(theirs):
        return None
    if words(mine) == words(theirs):
        return "correct", "same words"
    return None if _alike(mine, theirs) else ("wrong", "other words")


def _alike(mine: str, theirs: str) -> bool:
    """Worth a closer look: a word in common, or the same letters (`xy` and `yx`, one product)."""
    ours, gold = mine.casefold(), theirs.casefold()
    return sorted(ours) == sorted(gold) or bool(set(ours.split()) & set(gold.split()))


def _by_meaning(mine: str, theirs: str, said: str) -> tuple[Status, str]:
    """What the grammar and arithmetic can settle; sentences by the one quantity that they name."""
    if code := _as_code(mine, theirs):
        return code
    mine, unit = split(mine)
    theirs, other_unit = split(theirs)
    sentences = is_sentence(mine), is_sentence(theirs)
    if any(sentences):
        return _in_sentences(mine, theirs, said, sentences)
    try:
        left, right = read(mine), read(theirs)
        left, right = _answered(left, right), _answered(right, left)
        if unit and other_unit and singular(unit) != singular(other_unit):
            return _in_units(left, unit, right, other_unit)
        return _STATUS[same(left, right)]
    except RecursionError:
        return "undecided", "nested too deeply"
    except Unreadable as error:
        last = mine.rpartition("=")[2].strip()
        if "=" in mine and (_exactly(last, theirs) or ("",))[0] == "correct":
            return "correct", "its last side"
        return "undecided", f"it cannot be read: {error}"


def _answered(left: Node, right: Node) -> Node:
    """`m + n = 7` as 7 where a number was asked for: a response may spell out what the number is of."""
    if left.kind != "relation" or left.value != ("=",) or right.kind == "relation" or symbols(right):
        return left
    asked, value = left.parts
    return value if len(symbols(asked)) > 1 and not symbols(value) and value != _ZERO else left


_ZERO = Node("number", Fraction(0))
_STATUS: dict[bool | None, tuple[Status, str]] = {
    True: ("correct", "equal"),
    False: ("wrong", "not equal"),
    None: ("undecided", "too large, or without a value"),
}


def _in_units(left: Node, unit: str, right: Node, other_unit: str) -> tuple[Status, str]:
    """Known units of one kind are converted; of others, equal numbers prove nothing."""
    ours, theirs = scale(unit), scale(other_unit)
    if ours and theirs and ours[0] == theirs[0]:
        left, right = (
            Node("product", None, (node, Node("number", factor)))
            for node, (_, factor) in ((left, ours), (right, theirs))
        )
        return _STATUS[same(left, right)]
    return ("wrong", "not equal") if same(left, right) is False else ("undecided", f"{unit} is not {other_unit}")


def _in_sentences(mine: str, theirs: str, said: str, sentences: tuple[bool, bool]) -> tuple[Status, str]:
    for name, sentence in ((theirs, said), (mine, theirs)):
        if _NAME_ALONE.fullmatch(name) and name == subject(sentence):
            return "correct", "the sentence is about it"
    if all(sentences):
        return ("correct", "same words") if words(mine) == words(theirs) else ("undecided", "other words")
    sentence, value = (said, theirs) if sentences[0] else (theirs, mine)
    found = [] if _CODE.search(sentence) else quantities(sentence)
    if not found:
        return "undecided", "words, which algebra cannot compare"
    status, _ = _exactly(found[0], value) or _by_meaning(found[0], value, found[0])
    if status == "correct":
        return "correct", "the sentence says it"
    alone = len(found) == 1 and number(value) is not None
    return ("wrong", "the sentence says another number") if alone else ("undecided", "a sentence with several numbers")


_NAME_ALONE = re.compile(r"[A-Z][a-z]{2,}")
_CODE = re.compile(r"__|\w\(\)?['\"]|\blambda\b|\bimport\b|['\"]\)")


_WORD_OF_CODE = re.compile(r"-?(?:0[xX][0-9a-fA-F]{1,100}|(?=[0-9]*[a-zA-Z]+[0-9])[0-9a-zA-Z]{2,100})")


def _as_code(mine: str, theirs: str) -> tuple[Status, str] | None:
    """Letters and digits that are no product: 0x1f, A7."""
    if not _WORD_OF_CODE.fullmatch(mine) or not _WORD_OF_CODE.fullmatch(theirs):
        return None
    equal = mine.lower() == theirs.lower()
    return ("correct", "same text") if equal else ("wrong", "another text")
