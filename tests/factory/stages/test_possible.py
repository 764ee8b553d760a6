"""Rules that can never be true are found before anything is bought; rules that can are left alone."""

import pytest

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import Recipe, validate
from factory.stages import choose, possible

MEASURES = ["length", "repetition", {"plugin": "log_probability", "name": "sure"}]


def recipe(*rules: str, **changes: object) -> Recipe:
    return validate({"name": "r", "problems": ["worlds"], "teacher": "scripted", "measures": MEASURES,
                     "rules": {f"rule{i}": rule for i, rule in enumerate(rules, 1)}, **changes}, "the test")


@pytest.mark.parametrize("rule", [
    "false", "1 > 2", "length < 0", "length < 0 AND (repetition < 1 OR sample = 3)", "length > 500 AND length < 100",
    "pass_rate > 1", "length BETWEEN 10 AND 5", "NOT (length >= 0)", "seconds < 0 AND raw LIKE '%x%'",
    "mean_logprob > 0", "status = 'undecided'", "status IN ('right', 'ok')", "grade = 'in_process'",
    "source = 'a' AND source = 'b'", "completion_tokens < 0", "finish_reason = 'stopp' AND length(raw) > 5", "NULL"])
def test_a_rule_that_nothing_can_fulfil_is_named(rule: str, lake: Lake) -> None:
    made = recipe("length > 1", rule)
    choose.check_rules(lake, made)
    with pytest.raises(UserError) as error:
        possible.check(lake, made)
    assert str(error.value).startswith(f"the rule 'rule2' ({rule}) can never be true and would drop every trace")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rule", [
    "true", "length > 10", "length IS NULL", "length = 0", "pass_rate BETWEEN 0 AND 1", "pass_rate = 1", "sure < -5",
    "status != 'correct'", "finish_reason = 'stop'", "finish_reason != 'stopp'", "finish_reason IN ('stop', 'eos')",
    "band IN ('hard', 'medium')", "length(raw) > 1000000", "source LIKE 'gsm%'", "raw NOT ILIKE '%as an ai%'",
    "regexp_matches(response, 'boxed')", "json_extract(meta, '$.level')::INT > 3", "split = 'train'", "sample < 2",
    "guessable", "NOT guessable", "grade IN ('exact', 'judge')", "mean_logprob >= 0", "answer IS NOT NULL",
    "coalesce(finish_reason, '') = 'stop'", "status = 'correct' OR status = 'wrong'", "domain = ''",
    "try_cast(answer AS INT) > 5", "upper(band) = 'HARD'", "trace_id < problem_id",
    "length < 0 OR length IS NULL", "CASE WHEN length > 3 THEN true END"])
def test_a_rule_that_something_can_fulfil_is_left_alone(rule: str, lake: Lake) -> None:
    possible.check(lake, recipe(rule))


def test_a_wrong_word_gets_the_right_ones(lake: Lake) -> None:
    with pytest.raises(UserError, match="no finish_reason is 'stopp': did you mean 'stop'\\? use one of stop, length"):
        possible.check(lake, recipe("finish_reason = 'stopp'"))
    with pytest.raises(UserError, match="no band is 'esay': did you mean 'easy'"):
        possible.check(lake, recipe("band = 'esay'"))


def test_a_file_of_traces_may_end_as_it_likes(lake: Lake) -> None:
    possible.check(lake, recipe("finish_reason = 'FINISHED'", teacher={"plugin": "recorded", "path": "x.jsonl"}))


def test_rules_that_exclude_each_other_are_both_named(lake: Lake) -> None:
    with pytest.raises(UserError, match=r"the rule 'rule3' \(length < 50\) can never be true together with 'rule1' \("
                                        r"length > 100\), so they would drop every trace: mend one of them"):
        possible.check(lake, recipe("length > 100", "repetition < 1", "length < 50"))


def test_what_is_cut_off_is_dropped_already_where_the_recipe_says_so(lake: Lake) -> None:
    possible.check(lake, recipe("finish_reason = 'length'"))
    with pytest.raises(UserError, match="can never be true"):
        possible.check(lake, recipe("finish_reason = 'length'", generate={"truncation": "drop"}))


@pytest.mark.parametrize(("rules", "left"), [([], ["correct", "wrong"]), (["status = 'wrong'"], ["wrong"]),
                                             (["pass_rate > 0.5"], ["correct", "wrong"])])
def test_the_verdicts_that_the_rules_let_pass(rules: list[str], left: list[str], lake: Lake) -> None:
    assert possible.statuses(lake, recipe(*rules)) == left
