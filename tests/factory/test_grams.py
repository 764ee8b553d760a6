"""Words and n-grams as hashes: equal exactly where the words are equal."""

import random

import pytest

from factory import grams
from factory.grams import words


def hashes(text: str) -> list[int]:
    return words([text]).hashes.tolist()


@pytest.mark.parametrize(("a", "b"), [
    ("Hello,  WORLD!", "hello world"), ("“x” – y", '"x" - y'), ("(a)\n[b]", "a b"), ("ﬁve", "five"),
])
def test_case_typography_and_the_marks_of_a_sentence_do_not_count(a: str, b: str) -> None:
    assert hashes(a) == hashes(b)


@pytest.mark.parametrize(("a", "b"), [
    ("3 + 4", "3 - 4"), ("x+5", "x-5"), ("ab", "ba"), ("a bc", "ab c"), ("12345678", "123456789"),
    ("a" * 8 + "b", "a" * 8 + "c"), ("a" * 40 + "b", "a" * 40 + "c"), ("é", "e"),
])
def test_other_words_have_other_hashes(a: str, b: str) -> None:
    assert hashes(a) != hashes(b)


def test_a_text_has_its_own_words_whatever_stands_beside_it() -> None:
    texts = ["a b c", "", "...", "d\0e", "\ud800 f", "longer than eight bytes, and longer than sixteenbytes_altogether"]
    found = words(texts)
    alone = [hashes(text) for text in texts]
    assert [found.hashes[a:b].tolist() for a, b in zip(found.bounds, found.bounds[1:], strict=False)] == alone
    assert found.counts.tolist() == [3, 0, 1, 2, 2, 8]


def test_marks_that_stand_alone_are_words_so_words_between_blanks_are_never_fewer() -> None:
    rng = random.Random(1)
    for _ in range(300):
        text = "".join(rng.choices("ab .,;{}$\\+-\n", k=40))
        assert words([text]).counts[0] >= len(text.split()), text


def test_ngrams_are_equal_where_the_words_are() -> None:
    found = grams.grams(words(["a b c d", "x b c d y", "b c d", "c d", ""]), 3)
    sets = [set(found.hashes[a:b].tolist()) for a, b in zip(found.bounds, found.bounds[1:], strict=False)]
    assert [len(s) for s in sets] == [2, 3, 1, 1, 0]
    assert len(sets[0] & sets[1]) == len(sets[0] & sets[2]) == 1
    assert not sets[3] & sets[0]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 13])
def test_a_run_has_one_hash_for_each_place(n: int) -> None:
    found = words(["a b c a b c a b c a b c a b c a"]).hashes
    runs = grams.runs(found, n)
    assert len(runs) == len(found) - n + 1
    assert len(set(runs.tolist())) == 3


def test_the_numbers_of_a_text_tell_problems_apart() -> None:
    assert grams.numbers("Add 3 to 1,000.") == grams.numbers("to 1,000 add 3")
    assert grams.numbers("3 + 4") != grams.numbers("3 - 4")
    assert grams.numbers("well, half-hour") == ("-",)


def test_plain_text_keeps_every_sign() -> None:
    assert grams.plain(" A\tb.\n") == "a b."
    assert grams.plain("x+1") != grams.plain("x-1")


def test_batches_keep_the_order_and_every_text() -> None:
    texts = [str(i) * (i % 7) for i in range(100)]
    assert [text for batch in grams.batches(texts, 20) for text in batch] == texts


@pytest.mark.parametrize(("a", "b", "same"), [
    ("A  b\n", "a b", True), ("“a”", '"a"', True), ("a b", "ab", False), ("a b", "b a", False), ("a.", "a", False),
    ("1 2", "12", False), ("a a", "a", False), ("", " ", True),
])
def test_a_digest_is_that_of_the_plain_text(a: str, b: str, same: bool) -> None:
    one, two = grams.digests([a, b]).tolist()
    assert (one == two) is same is (grams.plain(a) == grams.plain(b))
    assert grams.digests(["before", b])[1] == two
