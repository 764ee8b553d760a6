"""Reworded programming problems: by what the docstring says and how the code goes, not by its names."""

from pathlib import Path

import pytest

from factory.code_paraphrase import CodeParaphrases, is_code, structure, told
from factory.recipe import Decontaminate
from factory.stages.decontaminate import finder

SHARED = Path(__file__).parents[3] / "shared/data"
TOTAL = '''def below_zero(operations: list) -> bool:
    """ You have a list of deposits and withdrawals on a bank account that starts with a balance of zero.
    Tell whether the balance falls below zero.
    >>> below_zero([1, 2, -4, 5])
    True
    """
    balance = 0
    for op in operations:
        balance += op
        if balance < 0:
            return True
    return False
'''
AGAIN = '''def check_account(transactions):
    # Given the deposits and withdrawals on a bank account, which starts with a balance of zero,
    # says whether the account's balance ever falls below zero.
    money = 0
    for step in transactions:
        money += step
        if money < 0:
            return True
    return False
'''
OTHER = '''def reverse_words(text: str) -> str:
    """ Turn the order of the words of a sentence round.
    >>> reverse_words("a b c")
    'c b a'
    """
    return " ".join(text.split()[::-1])
'''


def test_a_reworded_program_is_found_and_another_one_is_not() -> None:
    again, other, prose = CodeParaphrases(["A prose problem with 5 hens.", OTHER, TOTAL]).best(
        [AGAIN, OTHER.replace("reverse", "count"), "How many deposits fall below zero?"])
    assert again.other == 2 and again.score >= 0.55 and again.rule == "a paraphrase of code"
    assert other.other == 1 and other.score > 0.9 and prose.score == 0
    [far] = CodeParaphrases([TOTAL]).best([OTHER])
    assert far.score < 0.55


def test_names_and_numbers_are_no_structure_and_examples_no_words() -> None:
    assert structure("def f(a):\n    return a + 1  # so") == structure("def total(prices):\n    return prices + 25")
    assert told(OTHER) == ["turn", "order", "words", "sente", "round"]


@pytest.mark.parametrize("text", ["Defend it (now).", "def", "the function f(x) = 2x"])
def test_prose_is_no_code(text: str) -> None:
    assert not is_code(text)


@pytest.mark.parametrize("texts", [[], ["No code here."]])
def test_a_benchmark_without_code_has_no_hits(texts: list[str]) -> None:
    assert [hit.score for hit in CodeParaphrases(texts).best([TOTAL])] == [0.0]


def test_the_finder_tells_both_kinds_apart() -> None:
    options = Decontaminate()  # type: ignore[call-arg]
    prose = "Ann sold 48 clips in May and half as many, 24, in June to 7 friends of hers."
    again = "In May 48 clips were sold by Ann; in June, half as many: 24; to 7 of her friends."
    found = list(finder([TOTAL, prose], options)([OTHER, AGAIN, again]))
    assert [(hit.text, hit.other, hit.rule) for hit in found] == [
        (1, 0, "a paraphrase of code"), (2, 1, "a paraphrase")]
