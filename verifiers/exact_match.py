"""Is the final answer the reference's text? Case, spaces, fonts and the final dot do not count.

For answers that are names, words or labels. Two texts that differ are *wrong* here: a recipe that
wants synonyms needs another verifier.
"""

from verifiers.answers import boxes, final_answer
from verifiers.normal_form import compact, tidy
from verifiers.verdict import Verdict

VERSION = 1


def exact_match(response: str, reference: str) -> Verdict:
    """Compare normalised texts; undecided without a final answer or with an empty reference."""
    answer = final_answer(response)
    if answer is None:
        return Verdict("undecided", reason="no final answer found")
    gold = _plain((boxes(reference) or [reference])[-1])
    if not gold:
        return Verdict("undecided", answer.text, "the reference is empty")
    return Verdict("correct" if _plain(answer.text) == gold else "wrong", answer.text, answer.note)


def _plain(text: str) -> str:
    return compact(tidy(text)).casefold()
