"""Running text with arithmetic in it, plain or LaTeX, cut into numbers, signs, brackets, words and what is unclear."""

import re
from collections.abc import Iterator
from typing import NamedTuple


class Token(NamedTuple):
    """`kind` is one of number, op, open, close, frac, post, unit, word, equal, about, bound, opaque."""

    kind: str
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r"""
    (?P<number>\d{1,3}(?:(?:,(?:\\!)?|\{,\}|\\,)\d{3})+(?![\d])(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
  | (?P<skip>[^\S\n]+|\\(?:left|right|displaystyle|bigg?|Bigg?|boxed|,|;|!|:|\ )(?![a-zA-Z])|~|&
      |\$(?=\s*[\d.(]|\s|$|[^\w])|\\\$|[£€]|\^\{?(?:\\circ|∘)\}?|°|\\degree)
  | (?P<frac>\\[dtc]?frac(?![a-zA-Z]))
  | (?P<text>\\(?:text|mathrm|textbf|mbox|textit)\s*\{(?P<inside>[^{}]*)\}(?:\^\{?[23]\}?)?)
  | (?P<op>\*\*(?=\s?[\d(])(?<=[\d)\s]\*\*)|\\(?:times|cdot|div)(?![a-zA-Z])|\\\*|[-+*/^×·⋅∙÷−–⁄²³])
  | (?P<post>\\?%|(?<=[\d)}])!(?=\s*[-+*/^)}×·(]|\s+=|\s*\\(?:times|cdot|right))|percent\b)
  | (?P<equal>=(?![=>])|==)
  | (?P<about>≈|\\approx(?![a-zA-Z])|≅)
  | (?P<rel>\\(?:neq?|leq?|geq?|lt|gt|to|implies|Rightarrow|rightarrow|Longrightarrow|iff|quad|qquad|equiv)(?![a-zA-Z])
      |!=|=>|->|[<>≤≥≠→⇒⟹≡])
  | (?P<bang>(?<=[\d)}])!)
  | (?P<open>[(\[{]|\\\{)
  | (?P<close>[)\]}]|\\\})
  | (?P<bound>\n|\\\\|\\[()\[\]]|\.\.\.|…|[.,;:?!"“”‘’])
  | (?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*(?:/[^\W\d_]{2,})*)
  | (?P<opaque>\\[a-zA-Z]+|.)
""",
    re.VERBOSE | re.DOTALL,
)

def tokens(line: str) -> Iterator[Token]:
    """The line from left to right, without blanks, list marks, bold marks and LaTeX's spacing."""
    for match in _TOKEN.finditer(_masked(line)):
        kind, text = match.lastgroup or "opaque", match[0]
        if match["text"] is not None:
            kind, text = "word", match["inside"].strip()
            if re.search(r"[\d=]", text):
                kind = "opaque"
        elif kind == "rel":
            kind = "bound"
        elif kind == "bang" or text in ("...", "…"):  # a factorial or a cry; what was left out
            kind = "opaque"
        if kind == "word":
            kind = _word_kind(line, match, text)
        if kind != "skip" and text:
            yield Token(kind, text, match.start(), match.end())


_MARKS = re.compile(
    r"(?<![\d)\s])\*\*|(?<!\S)\*\*(?=\S)(?<!\d\s\*\*)|\*\*(?![\d(\s])|\*\*(?=\s+[^\d(\s])|\*\*\s*$"  # bold
    r"|^\s*(?:[-*•+]|#+|>)\s+|^\s*(?:Step\s+)?\(?\d{1,3}[.):](?=\s)",  # a list's marks
    re.IGNORECASE,
)


def _masked(line: str) -> str:
    """Blanks for what is layout only; every character keeps its place."""
    return _MARKS.sub(lambda mark: " " * len(mark[0]), line)


def _word_kind(line: str, match: re.Match[str], word: str) -> str:
    """`x` between two numbers is a multiplication sign, one letter a variable, a name with its index too."""
    before, behind = line[: match.start()][-2:], line[match.end() :][:2]
    if word == "x" and re.search(r"\d ?$", before) and re.match(r" ?\d", behind):
        return "op"
    if match[0].startswith("\\"):
        return "word" if len(word) > 1 else "opaque"
    glued = behind[:1] in ("(", "_", "^", "{", "[") or before[-1:] in ("_", "\\", "^")
    product = re.search(r"[\d)}\]]$", before) and word.casefold() not in _UNITS  # 3ab
    product = product or (word.isupper() and len(word) < 4)  # AB
    return "opaque" if len(word) == 1 or glued or product or behind[:1].isdigit() else "word"


_UNITS = frozenset([
    "mm", "cm", "dm", "km", "kg", "mg", "lb", "lbs", "oz", "ft", "in", "ml", "cl", "hr", "hrs", "min", "mins", "sec",
    "mph", "kph", "rd", "th", "st", "nd",
])
