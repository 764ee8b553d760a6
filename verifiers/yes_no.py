"""Yes or no: `yes`, `true` and `valid` against `no`, `false` and `invalid`, also inside a short sentence.

An answer that says both, or neither ("maybe"), is undecided.
"""

import re

from verifiers.answers import boxes, final_answer
from verifiers.normal_form import tidy
from verifiers.verdict import Verdict

VERSION = 1

CHARACTERS = 500  # of a final answer


def yes_no(response: str, reference: str) -> Verdict:
    """Compare what both sides say; undecided when either is not clearly yes or no."""
    answer = final_answer(response)
    if answer is None:
        return Verdict("undecided", reason="no final answer found")
    gold = said((boxes(reference[:CHARACTERS]) or [reference])[-1])
    if gold is None:
        return Verdict("undecided", answer.text, "the reference is not yes or no")
    claim = said(answer.text)
    if claim is None:
        return Verdict("undecided", answer.text, "the final answer is not clearly yes or no")
    return Verdict("correct" if claim == gold else "wrong", answer.text, answer.note)


_WORD = re.compile(
    r"(?P<not>(?:\bnot|n't)\s+(?:an?\s+)?)?\b(?:(?P<yes>true|valid)|(?P<no>false|invalid))\b"
    r"|(?P<yes2>\byes\b)"
    r"|(?P<no2>\bno\b(?=\s*(?:$|[.,;:!)\"'*—])))"  # "no" before a noun denies only the noun
)
_HEDGE = re.compile(
    r"\b(?:not|never|cannot|neither|nor|either|whether|if|unless|unclear|unknown|uncertain|maybe|perhaps|possibly|half"
    r"|partly|partially|sometimes|could|might|may|would)\b|n't\b"
)


def said(text: str) -> bool | None:
    """True for yes, False for no, None when the text says both or neither."""
    if len(text) > CHARACTERS:
        return None
    text = tidy(text).casefold().replace("’", "'")
    words = list(_WORD.finditer(text))
    claims = {bool(word["yes"] or word["yes2"]) != bool(word["not"]) for word in words}
    if len(claims) != 1:
        return None
    first_is_answer = words[0].start() == 0 and words[0][0] in ("yes", "no")
    rest = _WORD.sub(" ", text)
    return None if _HEDGE.search(rest) and not first_is_answer else claims.pop()
