"""The 25 kinds of instruction that IFEval defines (arXiv:2311.07911, table 4), each as a function of the text.

Its arguments bear IFEval's names. Each says whether the instruction holds, or raises `Unclear`.
"""

import json
import re
import unicodedata
from collections.abc import Callable


class Unclear(ValueError):
    """It cannot be told whether the instruction holds."""


def _compare(count: int, relation: str, wanted: int) -> bool:
    if relation not in ("at least", "less than"):
        raise Unclear(f"unknown relation {relation!r}")
    return count >= wanted if relation == "at least" else count < wanted


def _has_word(text: str, word: str) -> int:
    """How often `word` stands in `text` as a word of its own, in either case."""
    if not word.strip():
        raise Unclear("an empty keyword")
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))


def existence(text: str, keywords: list[str]) -> bool:
    """All keywords occur; as in IFEval a part of a word will do."""
    return all(keyword.casefold() in text.casefold() for keyword in _words(keywords))


def _words(words: list[str]) -> list[str]:
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise Unclear("its words have to be a list of words")
    return words


def frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    """The keyword occurs so often; where words and parts of words give different verdicts, it is unclear."""
    folded = keyword.strip().casefold()
    whole, parts = _has_word(text, keyword.strip()), text.casefold().count(folded)
    verdicts = {_compare(count, relation, frequency) for count in (whole, parts)}
    if len(verdicts) > 1:
        raise Unclear(f"{whole} times as a word, {parts} times within words")
    return verdicts.pop()


def forbidden_words(text: str, forbidden_words: list[str]) -> bool:
    return not any(_has_word(text, word) for word in _words(forbidden_words))


def letter_frequency(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    """A single character, in either case."""
    if len(letter) != 1:
        raise Unclear("the letter has to be one character")
    return _compare(text.lower().count(letter.lower()), let_relation, let_frequency)


_SCRIPTS = {  # language -> the Unicode names its letters begin with; None: one of several languages of that script
    "hi": "DEVANAGARI", "mr": "DEVANAGARI", "ne": "DEVANAGARI", "ar": "ARABIC", "fa": "ARABIC", "ur": "ARABIC",
    "ru": "CYRILLIC", "bg": "CYRILLIC", "uk": "CYRILLIC", "ko": "HANGUL", "th": "THAI", "bn": "BENGALI",
    "gu": "GUJARATI", "pa": "GURMUKHI", "ta": "TAMIL", "te": "TELUGU", "kn": "KANNADA", "ml": "MALAYALAM",
    "he": "HEBREW", "el": "GREEK", "ja": "CJK HIRAGANA KATAKANA", "zh": "CJK", "ka": "GEORGIAN",
}  # fmt: skip
# the only language of its script that IFEval asks for
_ALONE = frozenset([
    "ko", "th", "bn", "gu", "pa", "ta", "te", "kn", "ml", "he", "el", "ka",
])


def response_language(text: str, language: str) -> bool:
    """By its script only: another script is another language, and some scripts have one language."""
    letters = [unicodedata.name(character, "").split(" ")[0] for character in text if character.isalpha()]
    if not letters:
        raise Unclear("no letters")
    scripts = _SCRIPTS.get(language, "LATIN").split()
    share = sum(letter in scripts for letter in letters) / len(letters)
    if share < 0.2:
        return False
    if share > 0.8 and language in _ALONE:
        return True
    if language == "ja" and share > 0.8 and sum(letter in scripts[1:] for letter in letters) > len(letters) / 10:
        return True
    raise Unclear(f"{language} cannot be told from other languages by its script")


def number_sentences(text: str, num_sentences: int, relation: str) -> bool:
    """Counted twice, with every full stop and with those of abbreviations and initials left out."""
    flat = " ".join(text.split())
    most = len(re.findall(r"(?<![.!?。！？])[.!?。！？]+[\"'”’)\]*]*(?=\s|$)|\S$|[:;](?=\s)", flat))
    sure = re.sub(r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|etc|No|Inc|Ltd|Co|Ph|e\.g|i\.e|\d+)\.", "", flat)
    fewest = len(re.findall(r"(?<![.!?])[.!?]+[\"'”’)\]*]*\s+(?=[\"'“‘(\[*]*[A-Z])", sure)) + bool(sure.strip())
    lines = sum(1 for line in text.splitlines() if line.strip())
    counts = (fewest, max(most, fewest, lines))
    verdicts = {_compare(count, relation, num_sentences) for count in counts}
    if len(verdicts) > 1:
        raise Unclear(f"{counts[0]} to {counts[1]} sentences")
    return verdicts.pop()


def number_words(text: str, num_words: int, relation: str) -> bool:
    """Runs of letters, digits and underscores, as in IFEval: "don't" is two."""
    return _compare(len(re.findall(r"\w+", text)), relation, num_words)


def number_paragraphs(text: str, num_paragraphs: int) -> bool:
    """Paragraphs with `***` between them; an empty one is allowed at either end only."""
    paragraphs = [part.strip() for part in re.split(r"\s?\*\*\*\s?", text)]
    if not all(paragraphs[1:-1]):
        return False
    return sum(map(bool, paragraphs)) == num_paragraphs


def nth_paragraph_first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """So many paragraphs with an empty line between them, the nth of which begins with the word."""
    paragraphs = [part.strip() for part in text.split("\n\n")]
    if not 1 <= nth_paragraph <= len(paragraphs) or not paragraphs[nth_paragraph - 1]:
        return False
    word = re.match(r"[\"']*([^\s.,?!\"']*)", paragraphs[nth_paragraph - 1])
    begins = word is not None and word[1].casefold() == first_word.casefold()
    return begins and sum(map(bool, paragraphs)) == num_paragraphs


def number_placeholders(text: str, num_placeholders: int) -> bool:
    """At least so many of the kind `[address]`."""
    return len(re.findall(r"\[[^\[\]]*\]", text)) >= num_placeholders


def postscript(text: str, postscript_marker: str) -> bool:
    """The marker begins a word somewhere; spaces within it and its last point may differ (`P. S`, `P.S.:`)."""
    pattern = r"\s*".join(map(re.escape, postscript_marker.replace(" ", "").rstrip(".")))
    if not pattern:
        raise Unclear("an empty postscript marker")
    return bool(re.search(rf"(?<!\w){pattern}", text, re.IGNORECASE))


def number_bullet_lists(text: str, num_bullets: int) -> bool:
    """Exactly so many lines that begin with `* ` or `- `; unclear where lines like `-5` or `*so*` would decide."""
    marked = len(re.findall(r"^[ \t]*[*-][ \t]+\S", text, re.MULTILINE))
    begun = len(re.findall(r"^[ \t]*(?:\*(?!\*)|-(?!-))", text, re.MULTILINE))
    verdicts = {count == num_bullets for count in (marked, begun)}
    if len(verdicts) > 1:
        raise Unclear(f"{marked} bullets, {begun} lines that begin with * or -")
    return verdicts.pop()


def constrained_response(text: str) -> bool:
    """One of the three phrases; IFEval's own check lets more text stand around it."""
    return any(f"My answer is {word}." in text for word in ("yes", "no", "maybe"))


def number_highlighted_sections(text: str, num_highlights: int) -> bool:
    """At least so many of the kind `*highlighted*` or `**highlighted**`, none empty."""
    bold = re.findall(r"\*\*([^*\n]+)\*\*", text)
    rest = re.sub(r"\*\*[^*\n]*\*\*", " ", text)
    highlighted = [*bold, *re.findall(r"\*([^*\n]+)\*", rest)]
    return sum(bool(inside.strip()) for inside in highlighted) >= num_highlights


def multiple_sections(text: str, section_spliter: str, num_sections: int) -> bool:
    """At least so many of the kind `SECTION 1`."""
    splitter = section_spliter.strip()
    if not splitter:
        raise Unclear("an empty section splitter")
    return len(re.findall(rf"{re.escape(splitter)}\s?\d+", text)) >= num_sections


def json_format(text: str) -> bool:
    """The whole text is JSON, in a Markdown fence or bare."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*\n?(.*?)```\s*", text, re.DOTALL | re.IGNORECASE)
    try:
        json.loads((fenced[1] if fenced else text).strip())
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str) -> bool:
    """A title in double angular brackets: `<<poem of joy>>`."""
    return any(inside.strip() for inside in re.findall(r"<<([^<>\n]+)>>", text))


def two_responses(text: str) -> bool:
    """Two different texts with `******` between them."""
    parts = [part.strip() for part in text.split("******")]
    if any(not part for part in parts[1:-1]):
        return False
    filled = [part for part in parts if part]
    return len(filled) == 2 and filled[0] != filled[1]


def repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    """The text begins with the request, word for word, in either case."""
    if not prompt_to_repeat.strip():
        raise Unclear("an empty prompt to repeat")
    return text.strip().casefold().startswith(prompt_to_repeat.strip().casefold())


def end_checker(text: str, end_phrase: str) -> bool:
    """The text ends with the phrase and nothing behind it, in either case; quotation marks around it are allowed."""
    if not end_phrase.strip():
        raise Unclear("an empty end phrase")
    return text.strip().strip('"').casefold().endswith(end_phrase.strip().casefold())


def english_capital(text: str) -> bool:
    """No small letter. That it is English is not looked at beyond its script."""
    return text.isupper() and not _is_foreign(text)


def english_lowercase(text: str) -> bool:
    """No capital letter. That it is English is not looked at beyond its script."""
    return text.islower() and not _is_foreign(text)


def _is_foreign(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return sum(character.isascii() for character in letters) < len(letters) / 2


def capital_word_frequency(text: str, capital_frequency: int, capital_relation: str) -> bool:
    """So many words all in capitals: as in IFEval `I` and `A` are some, `IT'S` and `T-SHIRT` one each."""
    words = re.findall(r"\w+(?:['’.-]\w+)*", text)
    counts = sum(map(str.isupper, words)), sum(map(str.isupper, re.findall(r"\w+", text)))
    verdicts = {_compare(count, capital_relation, capital_frequency) for count in counts}
    if len(verdicts) > 1:
        raise Unclear(f"{counts[0]} or {counts[1]} words in capitals")
    return verdicts.pop()


def no_comma(text: str) -> bool:
    return "," not in text


def quotation(text: str) -> bool:
    """The whole text in double quotation marks."""
    stripped = text.strip()
    return len(stripped) > 1 and stripped.startswith('"') and stripped.endswith('"')


CHECKS: dict[str, Callable[..., bool]] = {
    "keywords:existence": existence,
    "keywords:frequency": frequency,
    "keywords:forbidden_words": forbidden_words,
    "keywords:letter_frequency": letter_frequency,
    "language:response_language": response_language,
    "length_constraints:number_sentences": number_sentences,
    "length_constraints:number_words": number_words,
    "length_constraints:number_paragraphs": number_paragraphs,
    "length_constraints:nth_paragraph_first_word": nth_paragraph_first_word,
    "detectable_content:number_placeholders": number_placeholders,
    "detectable_content:postscript": postscript,
    "detectable_format:number_bullet_lists": number_bullet_lists,
    "detectable_format:constrained_response": constrained_response,
    "detectable_format:number_highlighted_sections": number_highlighted_sections,
    "detectable_format:multiple_sections": multiple_sections,
    "detectable_format:json_format": json_format,
    "detectable_format:title": title,
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeat_prompt,
    "startend:end_checker": end_checker,
    "startend:quotation": quotation,
    "change_case:english_capital": english_capital,
    "change_case:english_lowercase": english_lowercase,
    "change_case:capital_word_frequency": capital_word_frequency,
    "punctuation:no_comma": no_comma,
}
