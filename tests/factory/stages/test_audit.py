"""The audit: blind items in every batch, rates whose interval covers the truth, a run that stops on a bad verifier."""

import importlib
import json
import math
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from factory.lake import TABLES
from factory.protocols import UserError
from factory.run import Run
from factory.stages import audit, generate, load, verify
from verifiers.exact_match import exact_match
from verifiers.verdict import Verdict

Make = Callable[..., Run]
Private = Callable[[str, str], str]

SEEN = '''
import os, zlib
from verifiers.exact_match import exact_match
from verifiers.planted import _exact, _response
from verifiers.verdict import Verdict
VERSION = {version}

def seen(response, reference):
    with open({log!r}, "a") as log:
        log.write(repr((response, reference)) + "\\n")
    lenient = {lenient} and "or so" in response
    return Verdict("correct", "?", "near enough") if lenient else exact_match(response, reference)

def planted(reference, rng):
    return [("right", f"It is \\\\boxed{{{{{{reference}}}}}}."),
            ("wrong", f"It is \\\\boxed{{{{{{int(reference) + 1}}}}}}, or so.")]
'''


@pytest.fixture
def seen(private: Private, tmp_path: Any) -> Callable[..., str]:
    """A verifier that notes what it sees; the lenient one takes one more for the right answer."""
    def make(version: int = 1, lenient: bool = False) -> str:
        name = private("seen", SEEN.format(version=version, log=str(tmp_path / "seen.txt"), lenient=lenient))
        if name in sys.modules:
            importlib.invalidate_caches()
            importlib.reload(sys.modules[name])
        return name
    return make


def verified(run: Run) -> Run:
    load.load(run)
    generate.generate(run)
    run.lake.compact()
    for ids in verify.shards(run):
        verify.work(run.lake, ids, run.recipe.verify, run.id, run.recipe.audit.share)
    return run


def test_planted_answers_are_judged_among_the_traces_and_become_no_data(
        make_run: Make, source: Callable[..., Any], seen: Callable[..., str], tmp_path: Any) -> None:
    run = verified(make_run(problems=[source(verifier=seen(), domain="sums")]))
    assert run.lake.rows("SELECT domain, kind, items, false_accepts, false_rejects, undecided FROM audits "
                         "ORDER BY kind") == [
        dict(domain="sums", kind=kind, items=10, false_accepts=0, false_rejects=0, undecided=0)
        for kind in ("right", "wrong")]
    lines = (tmp_path / "seen.txt").read_text().splitlines()[4:]  # after the four references that `load` tries
    assert len(lines) == 16 + 20
    planted = ["It is" in line for line in lines]
    assert sum(planted) == 20
    assert not all(planted[-20:])  # among the others, not behind them
    assert [run.lake.value(f"SELECT count(*) FROM {t}") for t in ("traces", "verdicts", "problems")] == [16, 16, 4]
    assert "or so" not in "".join(run.lake.value("SELECT string_agg(raw, '') FROM traces"))


def test_a_second_run_plants_nothing_and_a_batch_that_is_tried_again_plants_the_same(
        make_run: Make, source: Callable[..., Any]) -> None:
    run = verified(make_run())
    before = run.lake.ids("audits")
    verified(run)
    verify.work(run.lake, sorted(run.lake.ids("traces")), run.recipe.verify, run.id, 0.02)
    assert len(before) == 2
    assert run.lake.ids("audits") == before


def test_the_share_is_of_the_batch_and_nought_is_none(make_run: Make) -> None:
    rows = [dict(verifier="exact_match", reference=str(n), domain="") for n in range(1000)]
    items = audit.plant(rows, 0.1, random.Random(0))
    assert [sum(item.kind == kind for item in items) for kind in ("right", "wrong")] == [50, 50]
    assert len({item.reference for item in items if item.kind == "right"}) == 50
    assert audit.plant(rows, 0.0, random.Random(0)) == []
    assert len(audit.plant(rows[:1], 0.01, random.Random(0))) == 2 * audit.FEWEST
    run = verified(make_run(audit={"share": 0.0}))
    assert run.lake.ids("audits") == set()
    audit.enforce(run)


def test_a_broken_contract_stops_the_run_with_one_sentence_and_a_mended_version_goes_on(
        make_run: Make, source: Callable[..., Any], seen: Callable[..., str]) -> None:
    name = seen(lenient=True)
    run = verified(make_run(problems=[source(verifier=name, domain="sums")]))
    verdicts = run.lake.ids("verdicts")
    with pytest.raises(UserError) as stop:
        audit.enforce(run)
    assert f"the verifier '{name}' (version 1) breaks the contract audit.max_false_accept = 0.02" in str(stop.value)
    assert "it accepted planted wrong answers, 10 of 10: 100.0% [72.2%, 100.0%]" in str(stop.value)
    example = json.loads(run.lake.value("SELECT examples FROM audits WHERE kind = 'wrong'"))[0]
    assert example["reason"] == "near enough"
    assert len(verdicts) == 16  # nothing is lost
    with pytest.raises(UserError):
        audit.enforce(run)  # also when the same command comes again
    audit.enforce(make_run(problems=[source(verifier=name, domain="sums")], audit={"max_false_accept": 1.0}))
    seen(version=2)
    audit.enforce(verified(run))
    assert verdicts < run.lake.ids("verdicts")


def test_a_changed_contract_is_the_same_run(make_run: Make) -> None:
    assert make_run().id == make_run(audit={"max_false_accept": 0.5}).id


def test_a_private_planter_that_fails_is_one_sentence(make_run: Make, source: Callable[..., Any],
                                                      private: Private) -> None:
    name = private("broken", "from verifiers.exact_match import exact_match as broken\nVERSION = 1\n"
                             "def planted(reference, rng): return 1 / 0\n")
    with pytest.raises(UserError, match=r"`planted` of the verifier .* failed on the reference '\d+'"):
        verified(make_run(problems=[source(verifier=name)]))


# -- the statistics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hits", "of", "low", "high"), [  # Brown, Cai, DasGupta 2001 and Newcombe 1998
    (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718), (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
    (10, 10, 0.7225, 1.0), (0, 0, 0.0, 1.0),
])
def test_wilson(hits: int, of: int, low: float, high: float) -> None:
    assert audit.wilson(hits, of) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize("leak", [0.02, 0.05])
def test_the_interval_covers_the_true_rate_of_a_leaky_verifier(leak: float) -> None:
    """200 batches of 60 wrong items: the interval of each has to hold the rate at which the verifier really leaks."""
    chance = random.Random(7)
    rows = [dict(verifier="exact_match", reference=str(n), domain="") for n in range(6000)]

    def leaky(item: audit.Planted) -> Verdict:
        found = exact_match(item.response, item.reference)
        return Verdict("correct") if found.status == "wrong" and chance.random() < leak else found
    covered = 0
    for number in range(200):
        items = audit.plant(rows, 0.02, random.Random(number))
        found = audit.outcome("run", str(number), [(item, leaky(item)) for item in items])
        wrong = next(row for row in found if row["kind"] == "wrong")
        assert (wrong["items"], next(r for r in found if r["kind"] == "right")["false_rejects"]) == (60, 0)
        low, high = audit.wilson(wrong["false_accepts"], wrong["items"])
        covered += low <= leak <= high
    assert covered >= 186  # 93 %


@pytest.mark.parametrize("of", [40, 60, 100, 200])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.3])
def test_the_coverage_by_the_binomial_itself(of: int, rate: float) -> None:
    """Without chance: how likely the interval of `of` items covers the rate. Of 10 items it is 91 % and more."""
    covered = (k for k in range(of + 1) if audit.wilson(k, of)[0] <= rate <= audit.wilson(k, of)[1])
    assert sum(math.comb(of, k) * rate**k * (1 - rate)**(of - k) for k in covered) > 0.93


def test_rates_are_over_all_domains_and_by_domain(make_run: Make) -> None:
    run = make_run()
    row = dict.fromkeys(TABLES["audits"]) | dict(run_id=run.id, verifier="v", version=1, kind="wrong",
                                                           false_rejects=0, undecided=1)
    run.lake.append("audits", [{**row, "id": str(n), "domain": domain, "items": 10, "false_accepts": n}
                               for n, domain in enumerate("ab")])
    assert [(rate.domain, rate.items, rate.faults, rate.undecided) for rate in audit.rates(run.lake)] == [
        (None, 20, 1, 2), ("a", 10, 0, 1), ("b", 10, 1, 1)]
    assert str(audit.rates(run.lake, run.id)[2]) == "1 of 10: 10.0% [1.8%, 40.4%]"
    assert audit.rates(run.lake, "another") == []
