"""The mixture planner: shares within half a per cent, the same each time, and a reason for all that is left out."""

from collections import Counter

import pytest

from factory.protocols import UserError
from factory.recipe import Mixture, validate
from factory.stages.mixture import Picked, mix


def picked(**buckets: int) -> list[Picked]:
    return [Picked(f"{bucket}{n:06}", None, "", f"p{n // 2}", f"{bucket}{n:06}", None, bucket, n)
            for bucket, count in buckets.items() for n in range(count)]


def counts(plan: Mixture, rows: list[Picked]) -> Counter[str]:
    return Counter(one.bucket for one in mix("x", plan, rows)[0])


@pytest.mark.parametrize("rows", [200, 997, 10_000])
def test_shares_are_met_within_half_a_per_cent(rows: int) -> None:
    shares = {"a": 0.55, "b": 0.333, "c": 0.117}
    found = counts(Mixture(by="source", shares=shares, rows=rows), picked(a=9000, b=5000, c=4000, d=500))
    assert sum(found.values()) == rows and "d" not in found
    assert all(abs(found[name] / rows - share) <= 0.005 for name, share in shares.items())


def test_the_scarcest_share_decides_how_many_rows_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Mixture(by="source", shares={"a": 0.5, "b": 0.5}, rows=1000)
    assert counts(plan, picked(a=900, b=100)) == {"a": 100, "b": 100}
    assert "the dataset 'x' gets 200 of the 1000 rows of its mixture: there are no more than 100 of 'b'" in (
        capsys.readouterr().out)
    assert counts(Mixture(by="source", shares={"a": 0.5, "b": 0.5}), picked(a=900, b=100)) == {"a": 100, "b": 100}


def test_a_few_rows_are_given_up_where_the_shares_do_not_divide_what_there_is() -> None:
    plan = Mixture(by="source", shares={"a": 0.75, "b": 0.25})
    assert counts(plan, picked(a=31, b=12)) == {"a": 30, "b": 10}
    assert sum(counts(plan, picked(a=2, b=1)).values()) == 2  # so few that no number comes near
    assert counts(Mixture(by="source", shares={"a": 0.75, "b": 0.25}, rows=41), picked(a=90, b=90)).total() == 41


def test_without_shares_the_rows_are_spread_evenly_and_small_buckets_give_all() -> None:
    assert counts(Mixture(by="domain", rows=90), picked(a=900, b=10, c=900)) == {"a": 40, "b": 10, "c": 40}
    assert counts(Mixture(rows=5), picked(a=900)) == {"a": 5}


def test_the_order_of_picks_does_not_matter_and_all_else_has_a_reason() -> None:
    rows, plan = picked(a=50, b=50, c=9), Mixture(by="source", shares={"a": 0.8, "b": 0.2}, rows=20)
    used, left = mix("x", plan, rows)
    assert mix("x", plan, rows[::-1])[0] == used and len(used) + len(left) == len(rows)
    assert {reason for _, reason in left} == {"over the share of 'a'", "over the share of 'b'", "'c' has no share"}


def test_the_cap_of_a_problem_takes_the_selectors_first() -> None:
    used, left = mix("x", Mixture(per_problem=1), picked(a=6))
    assert [one.chosen for one in used] == ["a000000", "a000002", "a000004"]
    assert {reason for _, reason in left} == {"over 1 a problem"}


def test_long_draws_by_rank_of_length_as_s1_did() -> None:
    used, _ = mix("x", Mixture(rows=10, prefer="long"), picked(a=2000))
    tokens = sorted((one.tokens for one in used), reverse=True)
    assert tokens[0] >= 1990 and tokens[-1] >= 1960 and tokens != list(range(1999, 1989, -1))


def test_a_share_of_nothing_is_one_sentence() -> None:
    with pytest.raises(UserError, match="wants 50% of 'b', of which nothing was chosen: there is a; change its shares"):
        mix("x", Mixture(by="source", shares={"a": 0.5, "b": 0.5}), picked(a=5))
    assert mix("x", Mixture(by="source", shares={"a": 1.0}), []) == ([], [])


@pytest.mark.parametrize(("mixture", "said"), [
    ({"shares": {"a": 1.0}}, "needs `by`"), ({"by": "source", "shares": {"a": 0.7, "b": 0.2}}, "these sum to 0.9"),
    ({"by": "source"}, "needs `shares`, `rows` or `per_problem`"), ({"by": "source", "share": {}}, "did you mean"),
    ({"rows": 0}, "greater than or equal to 1")])
def test_a_mixture_that_makes_no_sense_is_refused(mixture: dict[str, object], said: str) -> None:
    values = {"name": "x", "problems": ["worlds"], "teacher": "scripted",
              "datasets": [{"name": "d", "selector": "shortest", "emitter": "sft", "mixture": mixture}]}
    with pytest.raises(UserError, match=said):
        validate(values, "the test")
