"""One replayed step of a trace, and the words around it that decide whether it counts."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["arithmetic", "search", "letters", "count", "grid"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step that could be replayed.

    `index` counts the replayed steps from 0 in the order of the text, `start` is its first character there, `text` what
    it says, `right` whether that is so, `found` what it is instead (empty when right). `corrected`: it is wrong, and
    the text takes it back directly afterwards.
    """

    index: int
    kind: Kind
    text: str
    start: int
    right: bool
    found: str = ""
    corrected: bool = False


_AFTER = 240  # characters behind a step in which it may be taken back

_TAKEN_BACK = re.compile(
    r"\b(?:wrong|incorrect|mistake|mistaken|error|oops|whoops|correction|scratch that|not right|not correct"
    r"|isn't right|miscalculated|miscounted|misread|I was off|let me (?:redo|recompute|recount|fix|correct))\b"
    r"|(?:^|[.!?\n,;(]\s*|\bwait\W+|\bhmm\W+)no\s*[,.:!-]",
    re.IGNORECASE,
)


def taken_back(text: str, end: int) -> bool:
    """Does `text` say, right behind the character `end`, that what stood there is wrong?"""
    return bool(_TAKEN_BACK.search(text[end : end + _AFTER // 2]))


def repaired(text: str, end: int, claim: str) -> bool:
    """Does the left side of a false `claim` come again soon, with another right side?"""
    left, _, right = ("".join(part.split()) for part in claim.partition("="))
    after = "".join(text[end : end + _AFTER].split())
    again = after.find(f"{left}=")
    return again >= 0 and len(left) > 2 and not after.startswith(right, again + len(left) + 1)


_SUPPOSED = re.compile(
    r"\b(?:if|suppose|supposing|assume|assuming|imagine|pretend|let|unless|would|could|should|might|want|wants|wanted"
    r"|need|needs|require[sd]?|try|trying|guess|maybe|perhaps|say|says|claims?|claimed|instead|whether|wrong|incorrect"
    r"|mistake|error|not|cannot|\w+n't|never|no|false|contradict\w*|impossible|inconsistent|check|checking|test|testing"
    r"|remainders?|quotient|floor|ceil\w*|round\w*|truncat\w*|about|roughly|nearly|estimate\w*|integer part"
    r"|mod|modulo|modulus|digits?|base|binary|octal|hexadecimal|xor|o'clock|hypothetical\w*|otherwise|pattern)\b"
    r"|\?|\\n[eo]\b|\\neq|≠|\\equiv|≡|\\p?mod|\\not|\\lfloor|\\lceil|⌊|⌈",
    re.IGNORECASE,
)
_OTHER_RULES = re.compile(  # arithmetic of another kind, anywhere in a text
    r"\b(?:modulo|modulus|modular|mod|base[- ](?:\w+)|binary|octal|hexadecimal|xor|operations? (?:is |are )?defined"
    r"|define[sd]? (?:the|an?) (?:binary |new )?operation|clock arithmetic|cryptarithm\w*|alphametic)\b"
    r"|\\p?mod\b|\\equiv|≡|⊕|\\oplus",
    re.IGNORECASE,
)


def has_other_rules(text: str) -> bool:
    """Modular arithmetic, other bases, operations of its own: a false-looking line may be true there."""
    return bool(_OTHER_RULES.search(text))


def is_supposed(text: str, start: int, end: int) -> bool:
    """Is the step at `start`–`end` something its sentence only supposes, denies, asks or rounds?"""
    return bool(_SUPPOSED.search(text, *_sentence(text, start, end)) or _DENIED.search(text, end, end + 100))


_DENIED = re.compile(
    r"\b(?:false|contradict\w*|impossible|inconsistent|invalid|extraneous|no solutions?|does(?:n't| not)|is(?:n't| not)"
    r"|not (?:true|equal|possible|valid|hold|work|match))\b|≠|\\neq?\b",
    re.IGNORECASE,
)


_ENDS = re.compile(r"[.!?](?=\s)|\n")


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the sentence around `start`–`end` begins and ends; at most 300 characters to either side."""
    before = [found.end() for found in _ENDS.finditer(text, max(0, start - 300), start)]
    after = _ENDS.search(text, end, end + 300)
    return (before[-1] if before else max(0, start - 300)), (after.end() if after else min(len(text), end + 300))
