r"""The cheap exact path: one spelling for equal LaTeX, and plain numbers as exact fractions.

Pure string work and `fractions.Fraction`: microseconds, no sympy, and every dimension is capped
before anything is converted, because `10**10**9` is short to write. What it cannot read it hands
on; it never says *wrong* by itself.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from verifiers.vocabulary import NO_UNITS, ONE_LETTER_UNITS

_CHARACTERS = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "×": r"\times ", "÷": "/", "⋅": r"\cdot ", "·": r"\cdot "}
    | {"π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup "}
    | {"√": r"\sqrt ", "°": r"^\circ", "∈": r"\in ", "∩": r"\cap ", "±": r"\pm "}
    | {super_: f"^{n}" for n, super_ in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
    | {sub: f"_{n}" for n, sub in enumerate("₀₁₂₃₄₅₆₇₈₉")}
    | {"½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}"}
    | {"\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2019": "'", "\uff05": "%"}
)

_THIN = re.compile("(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")  # between thousands
_ONE_LETTER = re.compile(
    r"(?<=[\d})])\s*\\(?:text|mathrm|mbox|rm)\s*\{\s*([msghLNJWV])\s*\}?((?:\s*\^?\{?[23]\}?)?)\}?"
)
_ESCAPED_TWICE = re.compile(r"\\\\(?=[a-zA-Z{}])")

# What matches also where there is no backslash.
_WITHOUT_BACKSLASH = (
    _SEPARATED := r"(?<=\d)(?:\{,\}|,\\!)(?=\d{3})",
    _QUOTED := r"(?<=[\[,\s])(['\"])([^'\"\[\],]*)\1(?=[\],])",
    _SPACED := r"(?<!\\)\\[,;:! ]|~|\\q?quad",
    _STARS := r"\*\*",
    _ROOT := r"(?<!\\)sqrt\s*\(([^()]*)\)",
    _PI := r"(?<!\\)\bpi\b",
    _BARE := r"(?<![\\a-zA-Z])[dt]?(frac|sqrt)(?=\{)",
    _PERCENT := r"\\%|(?<=\d)\s*(?:percent(?:age)?|pct)\b",
    _MONEY := r"\\\$|\$|[€£¥₱₹₩₽฿]",
    _INDEX := r"([_^])\{([^{}\\])\}",
)

# In this order: a later rule may rely on an earlier one.
_REWRITES = [
    (re.compile(pattern), replacement, pattern not in _WITHOUT_BACKSLASH)
    for pattern, replacement in [
        (r"\\(?:[dt]|c)frac(?![a-z])", r"\\frac"),
        (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits|mathstrut|normalsize)(?![a-z])", ""),
        (r"\\(?:color|textcolor)\{\w+\}|\\boxed\s+", ""),
        (_SEPARATED, ""),
        (_QUOTED, r"\2"),
        (r"(?<=\d)\\,(?=\d{3}(?!\d))", ""),
        (_SPACED, " "),
        (
            r"\\(?:text|textnormal|textbf|textit|mbox|mathrm|mathbf|mathit|operatorname|bold|bf|rm|hbox)"
            r"\s*\{([^{}]*)\}",
            r" \1 ",
        ),
        (r"\\(?:leq|leqslant)(?![a-z])", r"\\le"),
        (r"\\(?:geq|geqslant)(?![a-z])", r"\\ge"),
        (r"\\neq(?![a-z])", r"\\ne"),
        (r"\\(?:varnothing|empty)(?![a-z])", r"\\emptyset"),
        (r"\\lbrace(?![a-z])", r"\\{"),
        (r"\\rbrace(?![a-z])", r"\\}"),
        (_STARS, "^"),
        (r"\\degree(?![a-z])", r"^\\circ"),
        (r"((?:sin|cos|tan|cot|sec|csc)\s*\(?)\s*(\d+)\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ)", r"\1\\frac{\2\\pi}{180}"),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)(?:\s*[CF]\b)?", ""),
        (_ROOT, r"\\sqrt{\1}"),
        (_PI, r"\\pi"),
        (_BARE, r"\\\1"),
        (_PERCENT, "%"),
        (_MONEY, ""),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{"),
        (r"\\frac\{([^{}]*)\}\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\sqrt\s*(\w)", r"\\sqrt{\1}"),
        (_INDEX, r"\1\2"),
        (r"(\\(?:begin|end))\s*\{[bp]?matrix\}", r"\1{pmatrix}"),
    ]
]


def tidy(answer: str) -> str:
    r"""`answer` without what carries no meaning: sizes, fonts, spaces, `$`, a final dot, `\dfrac`.

    Degrees and currency signs go too; percent signs, brackets and letter case stay.
    """
    text = _THIN.sub("", answer).translate(_CHARACTERS).strip()
    if _DRESSED.search(text):
        text = _undressed(text)
    text = " ".join(text.split()).lstrip(" ,;:*`").rstrip(" .,;:*`\\")
    return text[1:-1].strip() if _BRACED.fullmatch(text) else text


_DRESSED = re.compile(r"""[\\~'"*^_{$€£¥₱₹₩₽฿]|pi|sqrt|percent|pct""")
"""What each of the rewrites needs; most answers have none of it."""


def _undressed(text: str) -> str:
    if r"\begin" not in text:  # where a row ends
        text = _ESCAPED_TWICE.sub(r"\\", text)
    text = _ONE_LETTER.sub(lambda unit: f" {ONE_LETTER_UNITS[unit[1]]}{unit[2]}", text)
    for pattern, replacement, escaped in _REWRITES:
        if not escaped or "\\" in text:
            text = pattern.sub(replacement, text)
    return re.sub(r"(?<!\\)\\[()\[\]]", "", text)


_BRACED = re.compile(r"\{(?:[^{}]|(?<!\\)\{[^{}]*\})*(?<!\\)\}")  # one group of braces around it all


def compact(tidied: str) -> str:
    """Without spaces, except between two digits or two words, where they mean something."""
    tidied = re.sub(r"\\(?:cdot|times|ast)(?![a-z])", "*", tidied)
    return re.sub(r"(?<![0-9a-zA-Z]) | (?![0-9a-zA-Z])", "", tidied)


class Number(NamedTuple):
    """An exact number as written; `unit` is "" for a plain one, "%", or the words behind it."""

    value: Fraction
    unit: str


_DIGITS = 1_000  # Python itself refuses to read more than 4,300
_EXPONENT = 500
_UNIT = r"\s*%|\s+[a-zA-Z]{2}[a-zA-Z ./]*(?:\^?[23])?|[颗个元米克只人岁天年月]{1,2}"
_DECIMAL = r"(?:\d+\.\d*|\.\d+|\d+)"
_FRAC = r"(?P<whole>\d+)?\s*\\frac\{\s*(?P<minus>-?)(?P<top>\d+)\s*\}\{\s*(?P<bottom>\d+)\s*\}"
_SLASH = rf"(?:(?P<whole2>\d+)\s+)?\(?(?P<top2>{_DECIMAL})\s*\)?/\(?(?P<bottom2>{_DECIMAL})\)?"
_POWER = r"\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{?(?P<power>[-+]?\d+)\}?|[eE](?P<power2>[-+]?\d+)"
_PLAIN = rf"(?P<decimal>{_DECIMAL})(?:{_POWER})?"
_NUMBER = re.compile(rf"(?P<sign>[-+]?)\s*(?:{_FRAC}|{_SLASH}|{_PLAIN})(?P<unit>{_UNIT})?")
_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:[, ]\d{3})+(?!\d)")


def number(tidied: str) -> Number | None:
    r"""The exact number a tidied answer writes, or None: integers, decimals, `a/b`, `\frac`, mixed
    numbers, `a \times 10^n`. Longer than the caps is None too."""
    if len(tidied) > _DIGITS:
        return None
    text = _THOUSANDS.sub(_without_separators, tidied, count=1)
    if repeating := _REPEATING.fullmatch(text):
        return _repeating(repeating)
    match = _NUMBER.fullmatch(text)
    return _exact(match) if match and may_be_unit(match["unit"] or "") else None


def may_be_unit(words: str) -> bool:
    """No word among them that makes another number of the one before it, or joins it to a next."""
    return not NO_UNITS & set(re.findall(r"[a-z]+", words.lower()))


_REPEATING = re.compile(r"(-?)(\d{0,50})\.(\d{0,50})\\(?:overline|bar|dot)\s*\{?(\d{1,50})\}?")


def _repeating(match: re.Match[str]) -> Number:
    sign, whole, fixed, period = match.groups()
    nines = 10 ** len(period) - 1
    value = Fraction(int((whole + fixed) or 0)) + Fraction(int(period), nines)
    value /= 10 ** len(fixed)
    return Number(-value if sign else value, "")


def _without_separators(match: re.Match[str]) -> str:
    return match[0].replace(",", "").replace(" ", "")


def _exact(match: re.Match[str]) -> Number | None:
    part = match.groupdict()
    power = int(part["power"] or part["power2"] or 0)
    bottom = Fraction(part["bottom"] or part["bottom2"] or 1)
    if abs(power) > _EXPONENT or bottom == 0:
        return None
    top = Fraction(part["top"] or part["top2"] or part["decimal"]) * Fraction(10) ** power
    if part["minus"]:
        top = -top
    value = Fraction(part["whole"] or part["whole2"] or 0) + top / bottom
    return Number(-value if part["sign"] == "-" else value, _unit(part["unit"] or ""))


def _unit(words: str) -> str:
    words = words.strip().rstrip(".").lower().replace("^", "")
    return words[:-1] if len(words) > 3 and words.endswith("s") else words
