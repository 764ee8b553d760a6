"""What n samples of each problem say of a model, and how sure one may be of it.

Pure functions. Those that take `answers`, `right`, `scores` or `texts` are about the n samples of one problem, give an
expectation over which k of them were drawn, and do not depend on their order; the others take one value a problem.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from factory.protocols import UserError

RESAMPLES = 4000
"""Of a bootstrap, over problems."""
SUBSETS = 1000
"""Subsets of k samples that stand for all of them; where there are no more than these, all are taken."""
FLIPS = 10_000
"""Random flips of a permutation test; where no more are possible, all are taken."""


# -- one problem, n samples ------------------------------------------------------------------------------------------


def pass_at_k(n: int, right: Any, k: int) -> Any:
    """Probability that k of n samples, `right` of which are right, hold a right one: 1 - C(n-c, k) / C(n, k), the
    unbiased estimate of Chen et al. 2021; with k = 1 it is avg@n. `right` is a count, or an array of one a problem.
    """
    counts = np.asarray(right, dtype=int)
    if np.any((counts < 0) | (counts > n)):
        raise UserError(f"a count of right samples is not from 0 to {n}: count the right ones among the n samples")
    return 1 - _none_of(n, k)[n - counts]


def _none_of(n: int, k: int) -> np.ndarray:
    """[n + 1]: the probability that k of n samples all lie among the first m, C(m, k) / C(n, k), for each m."""
    _possible(n, k)
    steps = np.maximum(np.arange(k, n) + 1 - k, 0) / (np.arange(k, n) + 1)  # C(m-1, k) / C(m, k) = (m - k) / m
    return np.concatenate([np.zeros(k), np.cumprod(np.concatenate([[1.0], steps[::-1]]))[::-1]])


def _possible(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise UserError(f"k = {k} of {n} samples is not possible: take a k from 1 to {n}, or more samples")


def vote(answers: Sequence[str | None], right: Sequence[float], k: int | None = None,
         weights: Sequence[float] | None = None, seed: int = 0) -> float:
    """consensus@k: the credit of the answer that most of k samples give (Wang et al. 2022), with `weights` (0 or more)
    the one of the largest sum. Where several are first, each counts for its share: expected credit over the tie.

    Equal texts are one answer (canonical ones, please); None has none and does not vote. An answer is as right as its
    samples are on average. k: all n by default.
    """
    labels, order = _sorted(answers, right, weights)
    if weights is not None and not all(0 <= weight < math.inf for weight in weights):
        raise UserError("a weight of a vote is below 0 or no number: use weights of 0 or more")
    true = np.asarray(right, dtype=float)[order]
    heavy = np.ones(len(true)) if weights is None else np.asarray(weights, dtype=float)[order]
    drawn = subsets(len(true), k or len(true), seed)
    counts, sums, rights = (_per_answer(labels, drawn, values) for values in (np.ones(len(true)), heavy, true))
    sums[counts == 0] = -1.0
    # Relative alone: weights may be probabilities of whole texts, which are all near 0.
    first = np.isclose(sums, sums.max(axis=1, keepdims=True), rtol=1e-9, atol=0) & (counts > 0)
    credit = np.where(first, rights / np.maximum(counts, 1), 0).sum(axis=1) / np.maximum(first.sum(axis=1), 1)
    return float(credit.mean())


def _sorted(texts: Sequence[str | None], *keys: Sequence[float] | None) -> tuple[np.ndarray, np.ndarray]:
    """The samples in an order that does not depend on theirs: the number of each text (-1: None), and the order."""
    numbers = {text: number for number, text in enumerate(sorted({text for text in texts if text is not None}))}
    labels = np.array([-1 if text is None else numbers[text] for text in texts])
    order = np.lexsort([*(np.asarray(key) for key in keys if key is not None), labels])
    return labels[order], order


def _per_answer(labels: np.ndarray, drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[subsets, answers]: the sum of `values` [samples] over the samples of each answer in each subset."""
    width = labels.max(initial=0) + 2
    places = np.arange(len(drawn))[:, None] * width + labels[drawn] + 1  # column 0: no answer
    sums = np.bincount(places.ravel(), weights=values[drawn].ravel(), minlength=len(drawn) * width)
    return sums.reshape(len(drawn), width)[:, 1:]


@lru_cache(maxsize=4)
def subsets(n: int, k: int, seed: int = 0) -> np.ndarray:
    """[subsets, k]: all subsets of k of n samples if there are no more than SUBSETS, else so many at random."""
    _possible(n, k)
    if math.comb(n, k) <= SUBSETS:
        return _all_subsets(n, k)
    return np.random.default_rng(seed).random((SUBSETS, n)).argpartition(k - 1, axis=1)[:, :k]


@cache
def _all_subsets(n: int, k: int) -> np.ndarray:
    return np.array(list(combinations(range(n), k)))


def best_of_k(scores: Sequence[float], right: Sequence[float], k: int) -> float:
    """Expected credit of the highest score among k of n samples, exact over all subsets; equal scores share it. A
    sample without a score (NaN) is taken only where none has one."""
    values = np.nan_to_num(np.asarray(scores, dtype=float), nan=-np.inf)
    true, below = np.asarray(right, dtype=float), _none_of(len(values), k)
    credit = 0.0
    for score in np.unique(values):
        tied = values == score
        lower = int((values < score).sum())
        credit += (below[lower + int(tied.sum())] - below[lower]) * true[tied].mean()
    return float(credit)


def minimum_bayes_risk(texts: Sequence[str | None], right: Sequence[float], k: int | None = None,
                       utility: Callable[[Sequence[str]], np.ndarray] | None = None, seed: int = 0) -> float:
    """Credit of the sample that is most like the k drawn, argmax_y of the sum over y' of utility(y, y') (Kumar & Byrne
    2004; Eikema & Aziz 2020); equal sums share it. `utility` gives a matrix [texts, texts]: `shared_words` by default.
    """
    _, order = _sorted(texts, right)
    there = np.array([texts[i] is not None for i in order])
    alike = (utility or shared_words)([texts[i] or "" for i in order]) * there[:, None] * there
    drawn = subsets(len(order), k or len(order), seed)
    sums = np.take_along_axis(_members(drawn, len(order)) @ alike.T, drawn, axis=1)
    sums[~there[drawn]] = -1.0
    first = np.isclose(sums, sums.max(axis=1, keepdims=True), rtol=1e-9) & there[drawn]
    true = np.asarray(right, dtype=float)[order][drawn]
    return float((np.where(first, true, 0).sum(axis=1) / np.maximum(first.sum(axis=1), 1)).mean())


def _members(drawn: np.ndarray, n: int) -> np.ndarray:
    found = np.zeros((len(drawn), n))
    np.put_along_axis(found, drawn, 1.0, axis=1)
    return found


def shared_words(texts: Sequence[str]) -> np.ndarray:
    """[texts, texts]: F1 of the sets of words of each two, 0 to 1; 1 for two texts without a word."""
    words = [set(text.split()) for text in texts]
    place = {word: i for i, word in enumerate(sorted(set().union(*words)))}
    has = np.zeros((len(texts), len(place)), np.float32)
    for row, found in enumerate(words):
        has[row, [place[word] for word in found]] = 1
    sizes = has.sum(axis=1)
    both = sizes[:, None] + sizes
    return np.where(both == 0, 1.0, 2 * (has @ has.T) / np.maximum(both, 1))


def leading_share(answers: Sequence[str | None]) -> float:
    """The share of samples that give the answer which most of them give: how sure a vote is, 0 to 1."""
    counts = Counter(answer for answer in answers if answer is not None)
    return max(counts.values(), default=0) / len(answers)


# -- many problems ---------------------------------------------------------------------------------------------------


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean of `values` [problems] (Efron & Tibshirani 1993)."""
    if not len(values):
        raise UserError("there is not one problem to compute an interval from: name problems to evaluate")
    means = np.concatenate(list(_resampled(np.asarray(values, dtype=float), np.random.default_rng(seed))))
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _resampled(values: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Means of resamples, in blocks that keep memory small."""
    for _ in range(RESAMPLES // 100):
        yield values[rng.integers(0, len(values), (100, len(values)))].mean(axis=1)


def interval_of(statistic: Callable[[np.ndarray], np.ndarray], problems: int, seed: int = 0) -> np.ndarray:
    """[2, …]: ends of the 95 % bootstrap interval of what `statistic` makes of the numbers of drawn problems."""
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(0, problems, problems)) for _ in range(RESAMPLES // 4)]
    return np.asarray(np.quantile(np.array(found), [0.025, 0.975], axis=0))


class Paired(NamedTuple):
    """A mean difference between two models on the same problems with its 95 % interval, the two-sided p-value of no
    difference, and on how many problems the first is better and worse."""

    gain: float
    low: float
    high: float
    p: float
    better: int
    worse: int

    @property
    def significant(self) -> bool:
        """The interval leaves out 0 and p is below 0.05. Both, since a bootstrap over few problems is too sure."""
        return (self.low > 0 or self.high < 0) and self.p < 0.05


def paired(mine: np.ndarray, theirs: np.ndarray, seed: int = 0) -> Paired:
    """`mine` - `theirs` [problems], in the same order: bootstrap over problems, and a permutation test that flips the
    sign of each difference. For one sample a problem that is McNemar's exact test."""
    mine, theirs = np.asarray(mine, dtype=float), np.asarray(theirs, dtype=float)
    if mine.shape != theirs.shape:
        raise UserError(f"{len(mine)} and {len(theirs)} problems cannot be compared in pairs: give the same problems")
    change = mine - theirs
    low, high = interval(change, seed)
    better, worse = int((change > 0).sum()), int((change < 0).sum())
    return Paired(float(change.mean()), low, high, _p_of_no_change(change[change != 0], seed), better, worse)


def _p_of_no_change(change: np.ndarray, seed: int) -> float:
    """Two-sided, of differences that are not 0."""
    sizes, total = np.abs(change), abs(change.sum()) - 1e-9
    if not len(change):
        return 1.0
    if np.allclose(sizes, sizes[0]):
        fewer = min(int((change > 0).sum()), int((change < 0).sum()))
        return float(min(1.0, 2 * sum(math.comb(len(change), i) for i in range(fewer + 1)) / 2 ** len(change)))
    if 2 ** len(change) <= FLIPS:
        flips = 1 - 2 * (np.arange(2 ** len(change))[:, None] >> np.arange(len(change)) & 1)
        return float((np.abs(flips @ sizes) >= total).mean())
    rng = np.random.default_rng(seed)
    sums = [np.abs(rng.choice([-1.0, 1.0], (100, len(change))) @ sizes) for _ in range(FLIPS // 100)]
    return float((1 + (np.concatenate(sums) >= total).sum()) / (1 + FLIPS))


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(coverage, risk) [problems]: the share of wrong answers among the surest 1, 2, … (El-Yaniv & Wiener 2010);
    problems of equal confidence come in random order, on average. The mean of the risks is the area (AURC)."""
    confidence, wrong = np.asarray(confidence, dtype=float), 1 - np.asarray(right, dtype=float)
    levels, place, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=wrong, minlength=len(levels)) / sizes
    counts = np.arange(1, len(wrong) + 1)
    return counts / len(wrong), np.cumsum(np.repeat(mean, sizes)) / counts


def auroc(scores: np.ndarray, right: np.ndarray) -> float:
    """Probability that a right one has a higher score than a wrong one, equal ones counted half (Mann & Whitney 1947);
    NaN where all are right or all are wrong."""
    scores, true = np.asarray(scores, dtype=float), np.asarray(right, dtype=bool)
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    ones, zeros = int(true.sum()), int((~true).sum())
    return float((ranks[true].sum() - ones * (ones + 1) / 2) / (ones * zeros)) if ones and zeros else math.nan


def bands(difficulty: Sequence[float], most: int = 5) -> list[tuple[str, np.ndarray]]:
    """Problems by difficulty: the name of each band and where its problems are. A band is one value where there are no
    more than `most` different ones, else a quantile: some bands may be larger, as equal problems stay together."""
    values = np.asarray(difficulty, dtype=float)
    levels = np.unique(values)
    if len(levels) <= most:
        return [(f"{level:g}", np.flatnonzero(values == level)) for level in levels]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, most + 1)[1:-1]))
    place = np.searchsorted(edges, values, side="left")
    return [(f"{values[place == i].min():g} to {values[place == i].max():g}", np.flatnonzero(place == i))
            for i in np.unique(place)]
