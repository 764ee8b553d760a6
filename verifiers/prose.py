r"""Answers in words: is it a sentence, what quantity does it name, and in which unit?

    split("12.5 square meters")  # ("12.5", "square meters")

A sentence names its quantity in bold, behind its last "=" or "is", or as its only number; when it names several, what
it means is not guessed.
"""

import re
from fractions import Fraction

from verifiers.normal_form import may_be_unit, tidy
from verifiers.vocabulary import NO_PROSE, NUMBER_WORDS, OPENERS, POWER_WORDS, SAYINGS, SMALL_WORDS, UNITS

_WORD = re.compile(r"(?<![\\a-zA-Z{_])[^\W\d_]{2,}")


_IN_A_ROW = re.compile(r"(?<![\\a-zA-Z{_])[a-zA-Z]{2,}\s+[a-z]{2,}\s+[a-z]{2,}")


def is_sentence(tidied: str) -> bool:
    """Words that algebra would read as products of letters."""
    words = [word for word in _WORD.findall(tidied) if word not in NO_PROSE]
    telling = any(len(word) > 3 or word.lower() in SMALL_WORDS or not word.isascii() for word in words)
    return telling or bool(_IN_A_ROW.search(tidied))


_UNIT = re.compile(
    r"(?P<quantity>.*[0-9)}\]i])(?:\s+|(?<=[0-9}])(?=[a-zA-Z]{2}))"
    r"(?P<unit>(?:[a-zA-Z]{2,}|[a-z](?= ?/ ?[a-z]))\.?(?:(?:\s*/\s*|\s+)[a-zA-Z]{1,12}\.?){0,4}"
    r"(?:\s*\^?\{?-?[1-3]\}?)?)\s*"
)


def split(tidied: str) -> tuple[str, str]:
    """A quantity and its unit, which is empty when there is none: `5 cm`, `4\\sqrt{3} square units`."""
    found = _UNIT.fullmatch(tidied)
    if not found or _WORD.search(re.sub(r"\\[a-zA-Z]+", "", found[1])) or not may_be_unit(found[2]):
        return tidied, ""
    return found[1].strip(), " ".join(found[2].replace(".", "").split())


def scale(unit: str) -> tuple[str, Fraction] | None:
    """What a unit measures and how many base units it is; None for one that is not known."""
    name = singular(unit)
    for dimension, units in UNITS.items():
        if name in units:
            return dimension, Fraction(units[name])
    return None


def singular(unit: str) -> str:
    name = unit.lower().strip()
    return name[:-1] if len(name) > 2 and name.endswith("s") and not name.endswith("ss") else name


_MARKED = re.compile(r"\*\*([^*\n]+)\*\*|`([^`\n]+)`")
_SAYS = re.compile(r".*(?:=|\btotal of\b|\b(?:so|hence|thus|therefore|is|are|est)\b|是|为|[:：])", re.DOTALL)
_QUANTITY = re.compile(
    r"-?\d*\s*\\frac\{-?\d+\}\{\d+\}"
    r"|(?<![\d.])-?(?:\d{1,3}(?:[, ]\d{3})+(?!\d)|\d+)?(?:(?<=\d)\.\d+|\.\d+|(?<=\d))(?:\s?/\s?\d+|\s?%)?"
)


def quantities(answer: str) -> list[str]:
    """What a sentence means, the likeliest first, one when it names no other number. None when it hedges, makes another
    number of one by its words, or names several and says of none that it is the one."""
    if _HEDGED.search(answer):
        return []
    marked = [bold or code for bold, code in _MARKED.findall(answer) if _SOME_NUMBER.search(bold + code)]
    text = _DENIED.sub("", tidy(marked[-1] if marked else answer))
    text = re.sub(r"\([^()\\]*[a-zA-Z]{3}[^()\\]*\)", "", text) or text
    if not re.search(r"\d", text):
        text = " ".join(str(NUMBER_WORDS.get(word.lower(), word)) for word in re.findall(r"\w+", text))
    found = [number for number in _QUANTITY.finditer(text) if not _COMPOUND.match(text, number.end())]
    said = _SAYS.match(text)
    behind = [number for number in found if said and number.start() >= said.end()]
    alone = [number for number in found if not _ASIDE.search(text, 0, number.start())]
    likeliest = (behind or (alone if len(alone) == 1 else found if len(found) == 1 else []))[:1]
    if not likeliest or _turned(text, likeliest[0]):
        return []
    return list(dict.fromkeys(number[0] for number in [*likeliest, *found]))


def _turned(text: str, number: re.Match[str]) -> bool:
    """Do the words right beside a number make another one of it, or deny it?"""
    return bool(_BEFORE.search(text, 0, number.start()) or _AFTER.match(text, number.end()))


_SOME_NUMBER = re.compile(r"\d|\b(?:" + "|".join(NUMBER_WORDS) + r")\b", re.IGNORECASE)
_HEDGED = re.compile(
    r"\b(?:either|maybe|perhaps|possibly|might)\b|\bbetween -?\d|\d\S* or\b(?! more| less| fewer)|\bor \S?-?\d"
    r"|\bno (?:\w+ )?solutions?\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"(?:\bnot|n't)(?: [a-z]+){0,2} -?[\d.,/]*\d")
_BEFORE = re.compile(
    r"\b(?:than|at (?:least|most)|except|cannot be|never|impossible to \w+|multiples? of|divisible by|twice"
    r"|half(?: of)?|double|(?:square|cube) root of|plus|minus|negative|divided by|power|base|point|wrong:)\s+\Z",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\s*(?:squared|cubed|factorial|choose|divided by|to the power|plus|minus|over \d|base|dozen|hundred|thousand"
    r"|million|billion|trillion|lakh|crore|out of (?:every )?\d|thirds?|halves|half|fifths?|point"
    r"|is (?:not|wrong|incorrect))\b",
    re.IGNORECASE,
)
_COMPOUND = re.compile(r"[-‑–][a-z]|\s(?:day|week|month|year|meter|foot) [a-z]")  # a 5-day week
_ASIDE = re.compile(
    r"\b(?:(?:after|in|by|for|of|within|every|each|all|the|over|a|an|per)|(?<!able )to [a-z]+(?: [a-z]+){0,3})\s+\Z",
    re.IGNORECASE,
)


def subject(sentence: str) -> str:
    """The name that a sentence is about: `Therefore, Navin would …`; empty when it denies, lists or turns it."""
    if _TURNED.search(sentence):
        return ""
    words = re.findall(r"[A-Za-z]+", sentence)
    at = next((n for n, w in enumerate(words[:3]) if w[0].isupper() and w.lower() not in OPENERS), None)
    return words[at] if at is not None and _VERBS & set(words[at + 1 : at + 4]) else ""


_TURNED = re.compile(r"\b(?:not?|nor|neither|never|either|or|and|los\w*|beaten|wrong|except|than)\b|n't", re.I)
_VERBS = frozenset(["is", "was", "wins", "won", "would", "did", "has", "will", "can", "should"])


def spelled(text: str) -> str:
    """`twenty-five` as 25, `no solution` as the empty set, `all real numbers` as them; other text as it is."""
    words = re.findall(r"[a-z]+", text.lower())
    if not words or re.search(r"[^a-zA-Z\s,.-]", text):
        return text
    if " ".join(words) in SAYINGS:
        return SAYINGS[" ".join(words)]
    total = group = 0
    for word in words:
        if word in NUMBER_WORDS:
            group += NUMBER_WORDS[word]
        elif word == "hundred":
            group *= 100
        elif word in POWER_WORDS:
            total, group = total + group * POWER_WORDS[word], 0
        elif word != "and" or not group:
            return text
    return str(total + group)
