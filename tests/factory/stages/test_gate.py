"""The gate: a significant gain passes, and no loss, no collapse and no chance does."""

import numpy as np
import pytest

from factory.stages.gate import DEV, Scores, decide, diversity

N = 400


def scores(right: float, readable: float = 1.0, variety: float | None = 0.8, start: float = 0.0) -> Scores:
    """The first `right` of N problems solved, counted from `start`."""
    def share(part: float) -> np.ndarray:
        return ((np.arange(N) / N >= start) & (np.arange(N) / N < start + part)).astype(float)

    return Scores(share(right), share(readable) if readable < 1 else np.ones(N), 1.0, variety)


BEST = {DEV: scores(0.4), "easy": scores(0.9)}


def test_a_significant_gain_is_promoted_and_the_reason_has_its_interval() -> None:
    made = decide({DEV: scores(0.5), "easy": scores(0.9)}, BEST, 0.5)
    assert made.promoted
    assert made.reason.startswith("promoted: +10.0 points [+")
    assert (made.kind, made.dev.change.better, made.dev.change.worse) == ("", 40, 0)


def test_chance_is_no_gain() -> None:
    made = decide({DEV: scores(0.41), "easy": scores(0.9)}, BEST, 0.5)
    assert (made.promoted, made.kind) == (False, "no gain")
    assert "no significant gain: +1.0 points" in made.reason


@pytest.mark.parametrize(("mine", "where"), [
    ({DEV: scores(0.3), "easy": scores(0.9)}, "dev"),
    ({DEV: scores(0.6), "easy": scores(0.8)}, "easy"),
    ({DEV: scores(0.6, readable=0.9), "easy": scores(0.9)}, "format")])
def test_a_significant_loss_anywhere_is_refused_whatever_was_gained(mine: dict[str, Scores], where: str) -> None:
    made = decide(mine, BEST, 0.5)
    assert (made.promoted, made.kind) == (False, "regression")
    assert f"on '{where}' (400 problems)" in made.reason


def test_gains_and_losses_are_paired_by_problem() -> None:
    """Other problems, the same share: no gain, however many changed."""
    made = decide({DEV: scores(0.4, start=0.5), "easy": scores(0.9)}, BEST, 0.5)
    assert made.kind == "no gain"
    assert (made.dev.change.better, made.dev.change.worse) == (160, 160)


@pytest.mark.parametrize(("variety", "promoted"), [(0.39, False), (0.41, True), (None, True)])
def test_right_answers_must_not_become_alike(variety: float | None, promoted: bool) -> None:
    made = decide({DEV: scores(0.6, variety=variety), "easy": scores(0.9)}, BEST, 0.5)
    assert made.promoted is promoted
    assert promoted or made.kind == "diversity"


def test_diversity_is_the_chance_that_two_right_texts_differ_however_many_there_are() -> None:
    assert diversity([["a", "b"], ["c"], []]) == (1.0, 1.0)
    assert diversity([["a", "a"], ["b", "c"]]) == (1.5, 0.5)
    assert diversity([["a"], []]) == (0.5, None)
    rng = np.random.default_rng(0)
    few, many = (diversity([list(rng.integers(0, 4, n).astype(str)) for _ in range(3000)])[1] for n in (2, 12))
    assert (few, many) == pytest.approx((0.75, 0.75), abs=0.03)
