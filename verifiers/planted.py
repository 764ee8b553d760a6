r"""Answers whose truth is known by construction: what a verifier is audited with, without it knowing.

A right one is the reference in another writing (`\frac{1}{2}` for `0.5`, a set in another order), a wrong one a value
that cannot be equal (one more, the other sign, another letter). What has no such writing gets none: an audit must not
blame a verifier for our own mistake. A verifier's module may bring `planted(reference, rng)`, a list of (kind,
response), for references of its own kind; without it only those of `MAKERS` can be audited.
"""

import random
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Literal

from verifiers.lookup import load_module

Kind = Literal["right", "wrong"]
Answers = dict[str, str]
"""How an answer was made -> the answer."""


def plant(verifier: str, reference: str, kind: Kind, rng: random.Random) -> tuple[str, str] | None:
    """(how it was made, response) of one item, or None when nothing is certain about this reference."""
    if own := getattr(load_module(verifier), "planted", None):
        found = [response for its_kind, response in own(reference, rng) if its_kind == kind]
        return (f"{verifier}.planted", rng.choice(found)) if found else None
    if verifier not in MAKERS or not _fits_a_box(reference):
        return None
    right, wrong = MAKERS[verifier](reference.strip().strip("$"))
    answers, others = (right, wrong) if kind == "right" else (wrong, right)
    if not answers:
        return None
    how = rng.choice(sorted(answers))
    return how, _response(answers[how], others[rng.choice(sorted(others))] if others else None, rng)


def _fits_a_box(text: str) -> bool:
    """Braces that are not in pairs would end the box early, and a box in it would be another answer."""
    depth = 0
    for token in re.findall(r"\\.|[{}]", text):
        depth += {"{": 1, "}": -1}.get(token, 0)
        if depth < 0:
            return False
    return depth == 0 and "boxed" not in text


_BOXED = (r"\boxed{%s}", r"So the result is \boxed{%s}.", "Putting it together:\n\n\\[\n\\boxed{%s}\n\\]",
          r"**Final answer:** $\boxed{%s}$", "First, 2 + 3 = 5 is clear.\n\nHence the answer is $\\boxed{%s}$.")
_PLAIN = ("The answer is $%s$.", "It all adds up.\n#### %s")
_CORRECTED = "One might think that it is \\boxed{%s}, but this forgets a case.\n\nSo the answer is \\boxed{%s}."


def _response(answer: str, decoy: str | None, rng: random.Random) -> str:
    """The answer as a model would say it; sometimes another one comes first, and the last one counts."""
    if decoy is not None and rng.random() < 0.15:
        return _CORRECTED % (decoy, answer)
    plain = _PLAIN if _LETTERS.fullmatch(answer) or _value(answer) is not None else ()
    return rng.choice(_BOXED + plain) % answer


# -- numbers ---------------------------------------------------------------------------------------------------------

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,11})")
_DECIMAL = re.compile(r"-?\d{1,9}\.\d{1,6}")
_FRACTION = re.compile(r"(-?)(?:\\[dt]?frac\{(\d{1,6})\}\{([1-9]\d{0,5})\}|(\d{1,6})/([1-9]\d{0,5}))")
_FAR = Fraction(1, 100)
"""Two decimals that differ by less, relative to the reference, may be one number rounded."""


def _value(text: str) -> Fraction | None:
    if _INTEGER.fullmatch(text) or _DECIMAL.fullmatch(text):
        return Fraction(text)
    if found := _FRACTION.fullmatch(text):
        sign, top, bottom, top2, bottom2 = found.groups()
        return Fraction(int(top or top2), int(bottom or bottom2)) * (-1 if sign else 1)
    return None


def _latex(value: Fraction, times: int = 1, command: str = "frac") -> str:
    sign = "-" if value < 0 else ""
    return rf"{sign}\{command}{{{abs(value.numerator) * times}}}{{{value.denominator * times}}}"


def _decimal(value: Fraction) -> str | None:
    """As a decimal, when six places are enough."""
    scaled = value * 10**6
    if scaled.denominator != 1:
        return None
    whole, places = divmod(abs(scaled.numerator), 10**6)
    return f"{'-' if value < 0 else ''}{whole}.{places:06d}".rstrip("0").rstrip(".")


def _numbers(text: str, value: Fraction) -> tuple[Answers, Answers]:
    right = {"as a fraction": _latex(value, 2), "with \\dfrac": _latex(value, 1, "dfrac"),
             "with a slash": f"{value.numerator}/{value.denominator}", "with spaces": f" {text} "}
    if (decimal := _decimal(value)) is not None:
        right["as a decimal"] = decimal + ("0" if "." in decimal else ".0")
    if value.denominator == 1 and abs(value) >= 10_000:
        right["with separators"] = f"{value.numerator:,}"
    return right, _other_numbers(text, value)


def _other_numbers(text: str, value: Fraction) -> Answers:
    """Other values in the writing of the reference."""
    write = str if value.denominator == 1 and "." not in text else _latex if "." not in text else _decimal
    changed = {"one more": value + 1, "one less": value - 1, "other sign": -value, "ten times": 10 * value}
    if value.denominator > 1 and "." not in text:
        changed["numerator changed"] = value + Fraction(1, value.denominator)
    if value:
        changed["turned over"] = 1 / value
    if swapped := _swapped(text):
        changed["digits swapped"] = swapped
    exact = "." not in text
    return {how: written for how, other in changed.items() if other != value and (
        exact or abs(other - value) > _FAR * abs(value)) and (written := write(other)) is not None}


def _swapped(text: str) -> Fraction | None:
    places = [m.start() for m in re.finditer(r"[1-9](?=\d)", text) if text[m.start()] != text[m.start() + 1]]
    if not places or not (_INTEGER.fullmatch(text) or _DECIMAL.fullmatch(text)):
        return None
    at = places[0]
    return Fraction(text[:at] + text[at + 1] + text[at] + text[at + 2:])


# -- letters, words, lists, expressions ------------------------------------------------------------------------------

_LETTERS = re.compile(r"\(?([A-Z])\)?")
_SEVERAL = re.compile(r"[A-Z](?:\s*,\s*[A-Z])+")
_WORDS = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]{2,}){0,9}")
_OPPOSITES = dict(yes="no", no="yes", true="false", false="true", even="odd", odd="even")
_LIST = re.compile(r"(\\\{|\(|\[)(\s*-?\d{1,9}(?:\s*,\s*-?\d{1,9})+\s*)(\\\}|\)|\])")
_EXPRESSION = re.compile(  # one value; no c, k or n, which may stand for any number
    r"(?:\d|[a-bd-jl-mo-zA-BD-JL-MO-Z](?![a-zA-Z])|[-+*/^(){} ]|\\(?:[dt]?frac|sqrt|pi|cdot|times)(?![a-zA-Z])){1,80}")


def _choice(text: str) -> tuple[Answers, Answers]:
    """One letter, or several in any order."""
    if one := _LETTERS.fullmatch(text):
        right = {"bare": one[1], "in brackets": f"({one[1]})", "as text": rf"\text{{{one[1]}}}"}
        return right, {f"{other} for {one[1]}": f"({other})" for other in "ABCD" if other != one[1]}
    letters = sorted(set(re.findall("[A-Z]", text)))
    if not _SEVERAL.fullmatch(text) or len(letters) == 1:
        return {}, {}
    return {"reversed": ", ".join(reversed(letters))}, {"one left out": ", ".join(letters[1:])}


def _words(text: str) -> Answers:
    return {"as text": rf"\text{{{text}}}", "other case": text.swapcase(), "with spaces": f" {text} "}


def _listed(text: str) -> tuple[Answers, Answers]:
    """A set, tuple or interval of integers."""
    found = _LIST.fullmatch(text)
    if not found:
        return {}, {}
    opening, inner, closing = found.groups()
    items = [int(part) for part in inner.split(",")]
    right = {"sized": rf"\left{opening}{inner}\right{closing}", "close": opening + ",".join(map(str, items)) + closing}
    if (opening == r"\{") != (closing == r"\}"):
        return {}, {}
    if opening == r"\{":
        right["reordered"] = opening + ", ".join(map(str, reversed(items))) + closing
    elif items[0] >= items[1]:
        return right, {}  # perhaps an empty interval, which is equal to other empty ones
    changed = [*sorted(items)[:-1], max(items) + 1] if opening == r"\{" else [*items[:-1], items[-1] + 1]
    return right, {"last one changed": opening + ", ".join(map(str, changed)) + closing}


def _expressed(text: str) -> tuple[Answers, Answers]:
    right = {"as it stands": text}
    if r"\frac" in text:
        right["with \\dfrac"] = text.replace(r"\frac", r"\dfrac")
    if "(" in text and text.count("(") == text.count(")") and r"\left" not in text:
        right["with \\left"] = text.replace("(", r"\left(").replace(")", r"\right)")
    certain = _EXPRESSION.fullmatch(text) and re.search(r"[\w}]", text) and text[-1] not in "+-*/^({"
    return right, {"one more": f"{text} + 1"} if certain else {}


# -- by verifier -----------------------------------------------------------------------------------------------------


def _math(text: str) -> tuple[Answers, Answers]:
    value = _value(text)
    if value is not None:
        return _numbers(text, value)
    for right, wrong in (_choice(text), _listed(text)):
        if right:
            return right, wrong
    other = _OPPOSITES.get(text.lower())
    if other or (_WORDS.fullmatch(text) and re.search("[a-zA-Z]{5}", text)):  # shorter ones may be products of symbols
        return _words(text), {"the opposite": rf"\text{{{other}}}"} if other else {}
    return _expressed(text)


def _exact(text: str) -> tuple[Answers, Answers]:
    """Texts: what differs is wrong, `1.0` for `1` too, but nothing is planted on which one could argue."""
    value = _value(text)
    if value is not None:
        return {"with spaces": f" {text} ", "bare": text}, _other_numbers(text, value)
    if one := _LETTERS.fullmatch(text):
        return {"bare": text, "with spaces": f" {text} "}, {"another letter": "A" if one[1] != "A" else "B"}
    return (_words(text), {"denied": f"not {text}"}) if _WORDS.fullmatch(text) else ({"bare": text}, {})


MAKERS: dict[str, Callable[[str], tuple[Answers, Answers]]] = {
    "math_equal": _math, "exact_match": _exact, "multiple_choice": _choice}
"""Verifier -> (right answers, wrong answers) of a reference."""
