"""Duplicates: found, checked by their true Jaccard, and one of each cluster kept."""

import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from factory import minhash
from factory.minhash import Duplicate, Near, Text

NEAR = Near()
VOCABULARY = [f"word{i}" for i in range(3000)]


def index(folder: Path, texts: list[str], near: Near = NEAR, kin: list[str] | None = None) -> minhash.Index:
    made = [Text(text, kin[i] if kin else "") for i, text in enumerate(texts)]
    folder.mkdir(exist_ok=True)
    return minhash.build([made[i:i + 7] for i in range(0, len(made), 7)], near, folder)


def found(folder: Path, texts: list[str], near: Near = NEAR, kin: list[str] | None = None) -> list[Duplicate]:
    return list(index(folder, texts, near, kin).duplicates())


def changed(rng: random.Random, text: str, words: int) -> str:
    parts = text.split()
    for at in rng.sample(range(len(parts)), words):
        parts[at] = rng.choice(VOCABULARY)
    return " ".join(parts)


def corpus(seed: int) -> list[str]:
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(VOCABULARY, k=100)) for _ in range(80)]
    return texts + [changed(rng, text, rng.randint(0, 6)) for text in texts for _ in range(2)]


def shingles(text: str, n: int = 5) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i:i + n]) for i in range(len(words) - n + 1)}


def jaccard(a: str, b: str) -> float:
    mine, theirs = shingles(a), shingles(b)
    return len(mine & theirs) / len(mine | theirs)


def test_every_drop_has_a_kept_text_at_its_true_jaccard_and_hardly_a_pair_is_missed(tmp_path: Path) -> None:
    texts = corpus(1)
    drops = found(tmp_path, texts)
    gone = {drop.item for drop in drops}
    for drop in drops:
        assert drop.kept not in gone
        assert drop.jaccard == pytest.approx(jaccard(texts[drop.item], texts[drop.kept])) and drop.jaccard >= 0.8
    left = [i for i in range(len(texts)) if i not in gone]
    missed = [pair for pair in combinations(left, 2) if jaccard(texts[pair[0]], texts[pair[1]]) >= 0.8]
    assert len(drops) > 50 and len(missed) <= 1


def test_it_is_the_same_in_any_batches_and_in_any_process(tmp_path: Path) -> None:
    texts = corpus(2)[:60]
    one = found(tmp_path / "a", texts)
    (tmp_path / "b").mkdir()
    whole = minhash.build([[Text(text, "") for text in texts]], Near(), tmp_path / "b")
    assert list(whole.duplicates()) == one


def test_the_same_text_in_other_clothes_is_exact_and_the_first_is_kept(tmp_path: Path) -> None:
    assert found(tmp_path, ["What is 2+2?", "other", "what  is\n2+2?", "What is 2-2?"]) == [
        Duplicate(2, 0, True, 1.0)]


def test_near_duplicates_are_of_one_kin_and_exact_ones_of_any(tmp_path: Path) -> None:
    text = " ".join(VOCABULARY[:60])
    near = text.replace("word30 ", "")
    assert found(tmp_path / "a", [text, near], kin=["x", "y"]) == []
    assert [drop.item for drop in found(tmp_path / "b", [text, near, text.upper()], kin=["x", "x", "y"])] == [1, 2]


def test_a_chain_does_not_drop_what_is_like_no_kept_text(tmp_path: Path) -> None:
    words = VOCABULARY[:100]
    texts = [" ".join(words[i:i + 60]) for i in range(0, 36, 4)]  # each like its neighbours, not like the first
    drops = found(tmp_path, texts)
    assert 0 < len(drops) < len(texts) - 1
    assert all(jaccard(texts[drop.item], texts[drop.kept]) >= 0.8 for drop in drops)


def test_a_copy_of_a_near_duplicate_goes_to_the_text_that_is_kept(tmp_path: Path) -> None:
    text = " ".join(VOCABULARY[:60])
    near = text.replace("word30 ", "")
    assert [(drop.item, drop.kept, drop.exact) for drop in found(tmp_path, [text, near, near])] == [
        (1, 0, False), (2, 0, False)]


@pytest.mark.parametrize("texts", [[], [""], ["", "", "..", "a"], ["a b", "c d"]])
def test_empty_and_short_texts_are_no_near_duplicates_of_others(tmp_path: Path, texts: list[str]) -> None:
    assert [drop for drop in found(tmp_path, texts) if not drop.exact] == []


def test_a_bucket_of_many_is_one_cluster(tmp_path: Path) -> None:
    rng = random.Random(3)
    text = " ".join(VOCABULARY[:200])
    assert len(found(tmp_path, [text, *(changed(rng, text, 1) for _ in range(300))])) == 300


def test_a_text_that_is_longer_than_a_block_is_signed_whole(tmp_path: Path) -> None:
    made = minhash.Index(NEAR, tmp_path)
    values = np.random.default_rng(1).integers(0, 1 << 32, 5 * minhash.BLOCK + 3, np.uint32)
    bounds = np.array([0, 2, len(values) - 1, len(values) - 1, len(values)])
    alone = [(values[a:b, None] * made._factors).min(0) for a, b in ((0, 2), (2, len(values) - 1))]
    signed = made.signatures(values, bounds)
    assert list(made.duplicates()) == []
    assert (signed[:2] == alone).all() and (signed[2] == 0xFFFFFFFF).all()


def test_signatures_estimate_the_jaccard(tmp_path: Path) -> None:
    texts = corpus(4)
    made = index(tmp_path, texts)
    list(made.duplicates())
    pairs = [(i, 80 + 2 * i) for i in range(80)]
    errors = [(made._signed[a] == made._signed[b]).mean() - jaccard(texts[a], texts[b]) for a, b in pairs]
    assert abs(np.mean(errors)) < 0.01 and np.std(errors) < 0.05
