r"""Arithmetic lines in running text: `12 * 7 = 84`, `\frac{3}{4} \times 8 = 6`, `a = b = c`, as exact fractions.

    [claim.right for claim in claims("So 36 × 8 = 288 eggs, and 7 * 8 = 54.")]  # [True, False]

A claim is two expressions of plain numbers beside one equals sign, at least one of them with an operation. Anything
next to it that could belong to it (a letter, a root, "half of", "million") makes it no claim. "False" takes more than
"true": what rounding, a change of units, percent or an ambiguous sign could explain is left out (`right` is None).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from verifiers.replay_tokens import Token
from verifiers.replay_tokens import tokens as read
from verifiers.replay_value import Unclear, Value, judge, parse


@dataclass(frozen=True, slots=True)
class Claim:
    """`left = right` as written between `start` and `end`; `right` is None when it cannot be told."""

    start: int
    end: int
    right: bool | None
    found: str


# Words that make a number beside them part of something larger, before it or behind it.
_JOINS_BEFORE = frozenset(
    [
        "of", "times", "plus", "minus", "by", "than", "twice", "double", "half", "third", "thirds", "quarter",
        "square", "squared", "cube", "cubed", "root", "over", "sqrt", "log", "ln", "sin", "cos", "tan", "max", "min",
        "gcd", "lcm", "gcf", "choose", "divided", "multiplied", "negative", "per", "step", "day", "case", "part",
        "question", "example", "line", "problem", "method", "option", "week", "chapter", "hundred", "thousand",
        "million", "billion", "dozen", "equation", "round", "figure", "theorem", "lemma", "exceeds", "modulo", "mod",
        "base", "f", "g", "h", "exp", "abs", "from", "to", "row", "column",
    ]
)
_JOINS_BEHIND = frozenset(
    [
        "times", "plus", "minus", "over", "squared", "cubed", "divided", "multiplied", "mod", "modulo", "thousand",
        "million", "billion", "trillion", "hundred", "dozen", "dozens", "remainder", "with", "r", "choose",
        "factorial", "or", "to", "k", "m", "cents", "cent", "pi", "e", "i", "and/or", "of",
    ]
)


def claims(text: str) -> Iterator[Claim]:
    """The arithmetic claims of `text` in its order. Linear in its length; it never raises."""
    for line in re.finditer(r"[^\n]+", text):
        if "=" in line[0] or "≈" in line[0] or "\\approx" in line[0]:
            yield from _in_line(line[0], line.start())


def _in_line(line: str, offset: int) -> Iterator[Claim]:
    tokens = list(read(line[:_LONGEST]))
    signs = [at for at, token in enumerate(tokens) if token.kind in ("equal", "about")]
    for at in signs:
        left, right = _left_side(tokens, at), _right_side(tokens, at)
        if not left or not right:
            continue
        if not _is_worked(left) and not (_is_worked(right) and _stands_alone(tokens[: at - len(left)], left)):
            continue
        verdict, found = _judged(left, right, tokens[at + 1 + len(right) :][:1], tokens[at].kind == "about")
        yield Claim(offset + left[0].start, offset + right[-1].end, verdict, found)


def _is_worked(side: list[Token]) -> bool:
    """Is there something to work out? A sign in front is not."""
    return any(one.kind == "frac" or one.text == "!" or (one.kind == "op" and at) for at, one in enumerate(side))


def _stands_alone(before: list[Token], left: list[Token]) -> bool:
    """Is a number left of the sign all there is? In `of the remaining 26 = 7 * 2` it is not."""
    if any(token.kind == "word" for token in left):
        return False
    return not before or before[-1].kind != "word" or before[-1].text.casefold() in _INTRODUCING


_INTRODUCING = frozenset(["so", "that", "thus", "then", "since", "and", "have", "hence", "therefore", "because", "as"])

_LONGEST, _TOKENS = 20_000, 400  # characters of a line, tokens of an expression


def _left_side(tokens: list[Token], sign: int) -> list[Token]:
    """The expression that ends at the sign; empty when it is not all plain numbers."""
    start, depth = sign, 0
    while start and sign - start < _TOKENS and (depth or tokens[start - 1].kind not in ("bound", "equal", "about")):
        token = tokens[start - 1]
        if token.kind == "opaque" or (token.kind == "word" and not depth and not _is_unit(tokens, start - 1)):
            break
        depth += (token.kind == "close") - (token.kind == "open")
        if depth < 0:
            return []  # the bracket opens further out
        start -= 1
    if depth or sign - start >= _TOKENS or not _may_begin(tokens, start):
        return []
    return tokens[start:sign]


def _may_begin(tokens: list[Token], start: int) -> bool:
    if start and tokens[start - 1].kind in ("word", "opaque"):
        before = tokens[start - 1]
        joined = before.text.casefold().split()[-1] in _JOINS_BEFORE
        remark = [token.kind for token in tokens[start : start + 3]] == ["open", "number", "close"]  # pens (2) + …
        if before.kind == "opaque" or joined or remark or tokens[start].kind == "op":
            return False
    return True


def _is_unit(tokens: list[Token], at: int) -> bool:
    """Words between a number and an operation (or the sign) are its unit: `8 red balls + …`."""
    last = at
    while last + 1 < len(tokens) and tokens[last + 1].kind == "word":
        last += 1
    first = at
    while first and tokens[first - 1].kind == "word":
        first -= 1
    follows = last + 1 >= len(tokens) or tokens[last + 1].kind in ("op", "equal", "about", "close", "bound")
    counted = first > 0 and tokens[first - 1].kind in ("number", "close", "post")
    joins = any(token.text.casefold() in _JOINS_BEHIND | _JOINS_BEFORE | _PROSE for token in tokens[first : last + 1])
    return follows and counted and not joins and last - first < 3


_COPULAS = frozenset(["is", "are", "was", "equals", "gives", "makes"])
_PROSE = frozenset([
    "and", "is", "are", "was", "were", "so", "then", "thus", "gives", "equals", "we", "which", "that", "this", "has",
    "have", "because", "since",
])


def _right_side(tokens: list[Token], sign: int) -> list[Token]:
    """The expression that begins behind the sign; empty when something unclear follows it."""
    end, depth = sign + 1, 0
    while end < len(tokens) and end - sign < _TOKENS and (depth or tokens[end].kind not in ("bound", "equal", "about")):
        token = tokens[end]
        if token.kind == "opaque" or (token.kind == "word" and not (depth or _goes_on(tokens, end))):
            break
        if not depth and (token.kind == "close" or _is_remark(tokens, end)):
            break
        depth += (token.kind == "open") - (token.kind == "close")
        end += 1
    return [] if depth or end - sign >= _TOKENS or not _may_end(tokens, sign, end) else tokens[sign + 1 : end]


def _is_remark(tokens: list[Token], at: int) -> bool:
    """A bracket of words, as in `= 6 (left: 5 6 6)`."""
    return _opens_words(tokens, at) and at > 0 and tokens[at - 1].end < tokens[at].start


def _opens_words(tokens: list[Token], at: int) -> bool:
    return tokens[at].kind == "open" and at + 1 < len(tokens) and tokens[at + 1].kind == "word"


def _goes_on(tokens: list[Token], at: int) -> bool:
    """Is the word a unit with more of the expression behind it?"""
    last = at
    while last + 1 < len(tokens) and tokens[last + 1].kind == "word":
        last += 1
    return _is_unit(tokens, at) and last + 1 < len(tokens) and tokens[last + 1].kind in ("op", "equal", "about")


def _may_end(tokens: list[Token], sign: int, end: int) -> bool:
    if end == sign + 1 or (tokens[end - 1].kind == "op" and tokens[end - 1].text not in "²³"):
        return False
    if end == len(tokens):
        return True
    behind = tokens[end + _is_remark(tokens, end)]
    if behind.kind == "word":
        return behind.text.casefold().split()[0] not in _JOINS_BEHIND | _COPULAS
    if behind.kind == "bound" and behind.text == ",":  # 3,5 is half of seven somewhere, or a list
        return not (end + 1 < len(tokens) and tokens[end + 1].kind == "number" and tokens[end + 1].start == behind.end)
    return behind.kind != "opaque" and not (behind.kind == "bound" and behind.text == ":")


def _judged(
    left: list[Token], right: list[Token], behind: list[Token], about: bool
) -> tuple[bool | None, str]:
    if any(_opens_words(side, at) for side in (left, right) for at in range(len(side))):
        return None, ""
    try:
        ours, theirs = parse([t for t in left if t.kind != "word"]), parse([t for t in right if t.kind != "word"])
    except (Unclear, ZeroDivisionError):
        return None, ""
    verdict = judge(ours, theirs, about)
    if verdict is False and (
        not _same_units(left, right + behind) or _runs_on(left, right, ours) or (about and _is_worked(right))
        or _is_share(left, ours, theirs)
    ):  # fmt: skip
        verdict = None
    return verdict, "" if verdict else f"{_shown(ours)} is not {_shown(theirs)}"


def _runs_on(left: list[Token], right: list[Token], ours: Value) -> bool:
    """`3 * 2 = 6 - 1`, `12 + 5 * 3 = 15`, `2 * 3 + 4 * 5 = 2 * 3`: the sign says what a part of the line makes."""
    if _bare(left).startswith(_bare(right)):
        return True
    first, last = _terms(right)[0], _terms(left)[1]
    try:
        leading = parse(first).exact
        return leading == ours.exact or (_is_worked(last) and leading == parse(last).exact)
    except (Unclear, ZeroDivisionError):
        return False


def _terms(side: list[Token]) -> tuple[list[Token], list[Token]]:
    """The side's first operand, and what stands behind its last plus or minus; without units."""
    plain, depth = [token for token in side if token.kind != "word"], 0
    cuts = []
    for at, token in enumerate(plain):
        depth += (token.kind == "open") - (token.kind == "close")
        if at and not depth and token.kind == "op" and token.text not in "²³":
            cuts.append(at)
    sums = [at + 1 for at in cuts if plain[at].text in "+-−–"]
    return plain[: cuts[0] if cuts else None], plain[sums[-1] if sums else 0 :]


def _bare(side: list[Token]) -> str:
    return "".join(token.text for token in side if token.kind not in ("open", "close", "word"))


def _is_share(left: list[Token], ours: Value, theirs: Value) -> bool:
    """`1/4 = 250`: a quarter of something said before."""
    operations = sum(token.kind in ("op", "frac") for token in left)
    return operations == 1 and ours.divided and 0 < ours.exact < 1 < theirs.exact


def _shown(value: Value) -> str:
    exact: Fraction = value.exact
    return str(exact) if exact.denominator < 1_000 else f"{float(exact):.6g}"


def _same_units(left: list[Token], right: list[Token]) -> bool:
    """Do the two sides speak of the same unit, or does at most the right one name any? `2 h × 60 = 120 min` not."""
    ours = {_stem(token.text) for token in left if token.kind == "word"}
    theirs = {_stem(token.text) for token in right if token.kind == "word"}
    if not theirs:
        return len(ours) < 2
    return not ours or any(theirs_one in one for one in ours for theirs_one in theirs)


def _stem(word: str) -> str:
    return word.casefold().rstrip("s")
