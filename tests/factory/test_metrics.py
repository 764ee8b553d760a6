"""metrics: closed forms, gold values, ties that share their credit, and no word about the order of samples."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from factory import metrics
from factory.metrics import auroc, bands, best_of_k, interval, minimum_bayes_risk, paired, pass_at_k, vote
from factory.protocols import UserError

RNG = np.random.default_rng(7)


# -- pass@k ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "right", "k", "gold"), [
    (8, 2, 1, 0.25), (8, 2, 4, 0.785714), (64, 1, 64, 1.0), (8, 0, 3, 0.0), (8, 8, 1, 1.0), (8, 6, 3, 1.0)])
def test_pass_at_k_has_the_gold_values(n: int, right: int, k: int, gold: float) -> None:
    assert float(pass_at_k(n, right, k)) == pytest.approx(gold, abs=1e-6)


def test_pass_at_k_is_the_formula_for_every_count() -> None:
    n, k = 17, 5
    assert pass_at_k(n, np.arange(n + 1), k) == pytest.approx([1 - comb(n - c, k) / comb(n, k) for c in range(n + 1)])


def test_pass_at_k_of_a_thousand_samples_neither_overflows_nor_vanishes() -> None:
    assert float(pass_at_k(1024, 1, 512)) == pytest.approx(0.5)
    assert float(pass_at_k(1024, 3, 1024)) == 1


@pytest.mark.parametrize("k", [0, 9])
def test_a_k_that_is_not_possible_is_one_sentence(k: int) -> None:
    for ask in (lambda: pass_at_k(8, 2, k), lambda: best_of_k([1.0] * 8, [1.0] * 8, k),
                lambda: metrics.subsets(8, k)):
        with pytest.raises(UserError, match=f"k = {k} of 8 samples"):
            ask()


# -- votes -----------------------------------------------------------------------------------------------------------


def test_the_largest_class_wins() -> None:
    assert vote(["4", "4", "5"], [1, 1, 0]) == 1
    assert vote(["5", "4", "5"], [0, 1, 0]) == 0


def test_a_tie_gives_each_answer_its_share_of_the_credit() -> None:
    assert vote(["4", "5"], [1, 0]) == 0.5
    assert vote(["4", "5", "6", None], [1, 0, 0, 0]) == pytest.approx(1 / 3)
    assert vote(["4", "4", "5", "5", "6"], [1, 1, 0, 0, 0]) == 0.5


def test_no_answer_is_no_vote() -> None:
    assert vote([None, None, "4"], [0, 0, 1]) == 1
    assert vote([None, None], [0, 0]) == 0


def test_consensus_at_1_is_pass_at_1() -> None:
    answers = ["4", "4", "5", None, "6", "4"]
    right = [float(a == "4") for a in answers]
    assert vote(answers, right, 1) == pytest.approx(0.5)


def test_consensus_over_subsets_is_what_enumeration_says() -> None:
    answers = ["4", "4", "4", "5", "5", "6", None]
    right = [1.0, 1, 1, 0, 0, 0, 0]

    def credit(chosen: tuple[int, ...]) -> float:
        counts = {a: sum(answers[i] == a for i in chosen) for a in ("4", "5", "6")}
        top = max(counts.values())
        first = [a for a, count in counts.items() if count == top and count]
        return float("4" in first) / max(1, len(first))

    expected = np.mean([credit(chosen) for chosen in combinations(range(7), 4)])
    assert vote(answers, right, 4) == pytest.approx(expected)


def test_resampling_comes_near_the_binomial_closed_form() -> None:
    """gold: with p = 0.6 a majority of 9 is right in 0.7334 of the cases, of 65 in 0.949; p = 0.4 gives the rest."""
    for share in (0.6, 0.4):
        answers = ["r"] * int(2000 * share) + ["w"] * int(2000 * (1 - share))
        right = [float(a == "r") for a in answers]
        for k, gold in ((9, 0.7334), (65, 0.949)):
            found = np.mean([vote(answers, right, k, seed=seed) for seed in range(20)])
            assert found == pytest.approx(gold if share > 0.5 else 1 - gold, abs=0.012)


def test_a_weighted_vote_is_won_by_weight() -> None:
    answers, right = ["4", "5", "5"], [1.0, 0, 0]
    assert vote(answers, right, weights=[0.9, 0.3, 0.3]) == 1
    assert vote(answers, right, weights=[0.6, 0.3, 0.3]) == 0.5
    assert vote(answers, right, weights=[1.0, 1.0, 1.0]) == vote(answers, right)


def test_a_vote_of_weight_zero_still_counts_where_there_is_no_other() -> None:
    assert vote(["4"], [1.0], weights=[0.0]) == 1
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="below 0 or no number"):
            vote(["4"], [1.0], weights=[weight])


def test_weights_that_are_all_tiny_are_no_tie() -> None:
    assert vote(["4", "5"], [1.0, 0.0], weights=[9e-12, 1e-12]) == 1
    assert vote(["4", "5", "5"], [1.0, 0.0, 0.0], weights=[3e-12, 1e-12, 2e-12]) == 0.5


# -- by scores -------------------------------------------------------------------------------------------------------


def test_best_of_k_is_what_enumeration_says() -> None:
    scores, right = [0.1, 0.9, 0.9, 0.4, 0.4, float("nan")], [1.0, 0, 1, 1, 0, 1]

    def credit(chosen: tuple[int, ...]) -> float:
        known = [-1.0 if np.isnan(scores[i]) else scores[i] for i in chosen]
        return float(np.mean([right[i] for i, s in zip(chosen, known, strict=True) if s == max(known)]))

    for k in range(1, 7):
        expected = np.mean([credit(chosen) for chosen in combinations(range(6), k)])
        assert best_of_k(scores, right, k) == pytest.approx(expected)


def test_best_of_k_by_a_perfect_score_is_the_oracle_and_by_none_is_pass_at_1() -> None:
    right = (RNG.random(1024) < 0.05).astype(float)
    for k in (1, 32, 1024):
        assert best_of_k(right, right, k) == pytest.approx(float(pass_at_k(1024, int(right.sum()), k)))
        assert best_of_k(np.zeros(1024), right, k) == pytest.approx(right.mean())


# -- minimum Bayes risk ----------------------------------------------------------------------------------------------


def same(texts: list[str]) -> np.ndarray:
    return np.array([[float(a == b) for b in texts] for a in texts])


def test_with_exact_match_it_is_the_majority() -> None:
    answers = ["4", "4", "5", "6", None]
    right = [1.0, 1, 0, 0, 0]
    for k in range(1, 6):
        assert minimum_bayes_risk(answers, right, k, same) == pytest.approx(vote(answers, right, k))


def test_the_text_in_the_middle_is_chosen() -> None:
    texts = ["the sum is 4", "the sum is 4 so 4", "x y z"]
    assert minimum_bayes_risk(texts, [1.0, 0, 0]) == pytest.approx(minimum_bayes_risk(texts[::-1], [0.0, 0, 1]))
    assert minimum_bayes_risk(texts, [0.0, 0, 1]) == 0
    assert minimum_bayes_risk([None, None], [0.0, 0]) == 0


# -- permutation -----------------------------------------------------------------------------------------------------


def test_no_figure_depends_on_the_order_of_the_samples() -> None:
    n = 24  # C(24, 7) is far over SUBSETS: this is the resampled path
    answers = [None if i % 7 == 0 else str(i % 5) for i in range(n)]
    right, scores = [float(a == "2") for a in answers], [round(float(s), 1) for s in RNG.random(n)]
    figures = []
    for _ in range(4):
        order = RNG.permutation(n)
        a, r, s = ([values[i] for i in order] for values in (answers, right, scores))
        figures.append((vote(a, r, 7), vote(a, r, 7, s), best_of_k(s, r, 7), minimum_bayes_risk(a, r, 7),
                        float(pass_at_k(n, int(sum(r)), 7))))
    assert len(set(figures)) == 1


# -- intervals and tests ---------------------------------------------------------------------------------------------


def test_the_interval_of_a_constant_is_that_constant() -> None:
    assert interval(np.ones(50)) == (1, 1)


def test_the_interval_is_the_same_every_time() -> None:
    values = np.arange(40) % 2
    assert interval(values) == interval(values)


@pytest.mark.parametrize(("n", "half"), [(198, 0.0696), (500, 0.0438), (2000, 0.0219)])
def test_the_interval_is_about_that_of_the_normal_law(n: int, half: float) -> None:
    low, high = interval(np.arange(n) % 2)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.006)


def test_an_interval_of_nothing_is_one_sentence() -> None:
    with pytest.raises(UserError, match="not one problem"):
        interval(np.array([]))


def test_mcnemar_s_exact_test_for_one_sample_a_problem() -> None:
    mine = np.array([1.0] * 9 + [0.0] + [1.0] * 40)
    theirs = np.array([0.0] * 9 + [1.0] + [1.0] * 40)
    found = paired(mine, theirs)
    assert (found.better, found.worse, found.gain) == (9, 1, pytest.approx(8 / 50))
    assert found.p == pytest.approx(2 * (1 + 10) / 2**10)
    assert found.low < found.gain < found.high


def test_the_permutation_test_is_exact_where_it_can_be() -> None:
    assert paired(np.array([0.5, 0.25, 1.0]), np.zeros(3)).p == pytest.approx(2 / 8)
    assert paired(np.array([0.5, -0.25, 1.0]), np.zeros(3)).p == pytest.approx(4 / 8)


def test_two_models_that_are_alike_differ_significantly_in_about_one_of_twenty_cases() -> None:
    found = []
    for _ in range(200):
        one, other = RNG.binomial(4, 0.5, (2, 60)) / 4
        found.append(paired(one, other).significant)
    assert sum(found) <= 20


def test_few_problems_are_never_significant() -> None:
    """A bootstrap over five gains of 1 is [1, 1]; the permutation test knows better."""
    found = paired(np.ones(5), np.zeros(5))
    assert (found.low, found.high, found.p) == (1, 1, 2 / 32)
    assert not found.significant
    assert paired(np.ones(6), np.zeros(6)).significant


def test_no_change_is_not_significant_and_other_problems_are_refused() -> None:
    assert paired(np.ones(9), np.ones(9)) == (0, 0, 0, 1, 0, 0)
    with pytest.raises(UserError, match="3 and 4 problems"):
        paired(np.ones(3), np.ones(4))


# -- confidence and difficulty ---------------------------------------------------------------------------------------


def test_risk_falls_with_coverage_where_confidence_is_right() -> None:
    coverage, risk = metrics.risk_coverage(np.array([0.2, 0.9, 0.5, 0.7]), np.array([0.0, 1, 0, 1]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk == pytest.approx([0, 0, 1 / 3, 1 / 2])


def test_problems_of_equal_confidence_share_their_risk() -> None:
    _, risk = metrics.risk_coverage(np.zeros(4), np.array([1.0, 0, 1, 0]))
    assert risk == pytest.approx([0.5] * 4)


def test_auroc_of_a_good_a_bad_and_no_score() -> None:
    right = np.array([1, 1, 0, 0])
    assert auroc(np.array([4, 3, 2, 1]), right) == 1
    assert auroc(np.array([1, 2, 3, 4]), right) == 0
    assert auroc(np.array([1, 1, 1, 1]), right) == 0.5
    assert auroc(np.array([2, 1, 1, 0]), right) == pytest.approx(3.5 / 4)
    assert np.isnan(auroc(np.ones(3), np.ones(3)))


def test_few_levels_are_bands_and_many_values_are_cut_into_quantiles() -> None:
    assert [(name, len(where)) for name, where in bands([1, 2, 2, 4])] == [("1", 1), ("2", 2), ("4", 1)]
    cut = bands(list(range(100)))
    assert [len(where) for _, where in cut] == [20] * 5
    assert cut[0][0] == "0 to 19"
    assert sorted(np.concatenate([where for _, where in cut])) == list(range(100))
