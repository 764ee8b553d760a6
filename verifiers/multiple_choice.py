r"""Did the response choose the right option? References are `B`, `(B)`, or several: `A, C`.

Letters, A to Z, are read from the final answer only: `(B)`, `B.`, `B) Paris`, `option b`,
`\text{(B)}`. Anything else, an option's text without its letter for example, is undecided.
"""

import re

from verifiers.answers import boxes, final_answer
from verifiers.normal_form import tidy
from verifiers.verdict import Verdict

VERSION = 2

_OPTION = re.compile(
    r"(?i:option|choice|answer)\s*:?\s*\(?([A-Za-z])\)?(?![A-Za-z])|\(([A-Za-z])\)|([A-Z])(?=\)|[.:]\s|[.:]?$)|([a-h])[.)]?$"
)
_ANOTHER = re.compile(r"(?<![A-Za-z])\(?[A-Z]\)?(?![A-Za-z])|\b(?:wrong|incorrect|not|or|and|cannot)\b")
_SEVERAL = re.compile(r"\(?[A-Z]\)?(?:\s*(?:,|and|&|\s)\s*\(?[A-Z]\)?)+")


def multiple_choice(response: str, reference: str) -> Verdict:
    """Compare the letters as sets; undecided when either side has none."""
    gold = letters(tidy((boxes(reference) or [reference])[-1]))
    answer = final_answer(response)
    if answer is None:
        return Verdict("undecided", reason="no final answer found")
    if not gold:
        return Verdict("undecided", answer.text, "the reference is not a letter from A to Z")
    chosen = letters(tidy(answer.text))
    if not chosen:
        return Verdict("undecided", answer.text, "the final answer is not a letter from A to Z")
    return Verdict("correct" if chosen == gold else "wrong", ", ".join(sorted(chosen)), answer.note)


def letters(tidied: str) -> set[str]:
    """The options a tidied answer names, upper case; empty when it names none."""
    if _SEVERAL.fullmatch(tidied):
        return set(re.findall(r"[A-Z]", tidied))
    one = letter(tidied)
    return {one} if one else set()


def letter(tidied: str) -> str | None:
    """The single option a tidied answer names, upper case, or None."""
    if option := _OPTION.match(tidied):
        said = next(group for group in option.groups() if group)
        return None if _ANOTHER.search(tidied, option.end()) else said.upper()
    if _FORMULA.search(tidied):
        return None
    named = {name for clause in _CLAUSES.split(tidied) if not _DENIED.search(clause) for name in _NAMED.findall(clause)}
    return named.pop() if len(named) == 1 else None


_FORMULA = re.compile(r"[=+*/^\\]|\d")

_CLAUSES = re.compile(r"[.,;。，；]")
_DENIED = re.compile(r"n't|\b(?:[Nn]ot|[Nn]or|[Nn]either|cannot|except|but|wrong|incorrect|or|and)\b|不是|非")
_NAMED = re.compile(r"(?<![A-Za-z_])[A-J](?![A-Za-z'’_]|\s+[a-z-]|\()")
