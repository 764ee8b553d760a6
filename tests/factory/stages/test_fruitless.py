"""A run whose rules drop all that it buys stops early, in one sentence, with what it bought."""

from collections.abc import Callable
from typing import Any

import pytest

from factory.protocols import UserError
from factory.run import Run
from factory.stages import fruitless, generate, load

Make = Callable[..., Run]
Source = Callable[..., dict[str, Any]]
SFT = {"name": "sft", "selector": "shortest", "emitter": "sft"}
MANY = [(f"Compute {a} + {b}.", str(a + b)) for a in range(20) for b in range(20)]


@pytest.fixture
def bought(make_run: Make, source: Source) -> Callable[..., Run]:
    """Up to 800 traces, of which 20 are enough to look at; with the rules and what else is given. The teacher answers
    at once: nearly all are there when the first have been looked at.
    """
    def make(rules: dict[str, str], **changes: Any) -> Run:
        run = make_run(**{"problems": [source(MANY, source="sums")], "rules": rules, "datasets": [SFT],
                          "measures": ["length", "repetition"],
                          "teacher": {"plugin": "scripted", "accuracy": 0.5, "concurrency": 4},
                          "generate": {"samples": 2, "abort_after": 5}, **changes})
        load.load(run)
        return run
    return make


def test_a_rule_that_drops_all_stops_the_asking_and_what_is_bought_is_kept(bought: Callable[..., Run]) -> None:
    slow = {"plugin": "scripted", "accuracy": 0.5, "concurrency": 1, "delay": 0.05}
    run = bought({"fine": "length > 0", "long": "length > 100000"}, teacher=slow)
    with pytest.raises(UserError) as error:
        generate.generate(run)
    said = str(error.value)
    assert said.startswith("the rule 'long' (length > 100000) drops all of the first ") and "\n" not in said
    assert "verified traces (length is " in said and "raise generate.abort_after (now 5; four times" in said
    kept = run.lake.value("SELECT count(*) FROM traces")
    assert 20 <= kept < 800
    with pytest.raises(UserError, match="the rule 'long'"):  # and again, without a further token
        generate.generate(run)
    assert run.lake.value("SELECT count(*) FROM traces") == kept


def test_after_the_rule_was_changed_the_rest_is_bought(bought: Callable[..., Run]) -> None:
    run = bought({"long": "length > 100000"})
    with pytest.raises(UserError):
        generate.generate(run)
    kept = run.lake.value("SELECT count(*) FROM traces")
    changed = bought({"long": "length > 10"})
    assert generate.generate(changed) == 800 - kept


def test_rules_that_drop_all_between_them_are_both_named(bought: Callable[..., Run]) -> None:
    middle = "(hash(trace_id) % 2 = {})"
    run = bought({"one": middle.format(0), "two": middle.format(1) + " AND repetition >= 0"})
    with pytest.raises(UserError, match=r"the rules '\w+' \(.*\) and '\w+' \(.*\) drop all of the first"):
        generate.generate(run)


@pytest.mark.parametrize("rules", [
    {}, {"some": "hash(trace_id) % 3 = 0"}, {"right": "status = 'cor' || 'rect' AND answer = 'never'"},
    {"rate": "pass_rate > 2"}])
def test_what_cannot_be_told_yet_or_lets_some_pass_stops_nothing(bought: Callable[..., Run], rules: dict[str, str]
                                                                 ) -> None:
    assert generate.generate(bought(rules, generate={"samples": 1, "abort_after": 5})) == 400


def test_without_a_dataset_rules_drop_nothing(bought: Callable[..., Run]) -> None:
    assert generate.generate(bought({"long": "length > 100000"}, datasets=[])) == 800


def test_a_rule_over_problems_is_asked_before_the_first_trace(bought: Callable[..., Run]) -> None:
    run = bought({"right": "length >= 0", "where": "source = 'Sums' OR licence = 'MIT'"})
    with pytest.raises(UserError, match=r"the rule 'where' \(.*\) drops every problem \(source is 'sums', licence is "
                                        r"''\), so nothing is asked"):
        generate.generate(run)
    assert run.lake.value("SELECT count(*) FROM traces") == 0


def test_too_few_traces_decide_nothing(bought: Callable[..., Run]) -> None:
    run = bought({"long": "length > 100000"}, generate={"samples": 2, "abort_after": 500})
    assert generate.generate(run) == 800
    fruitless.check(run)
