"""picks: by rules with names, never `undecided`, and blind to gold."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from factory import plugins
from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import Recipe
from factory.run import Run
from factory.stages import choose

from .conftest import forget_the_references, selected

Make = Callable[..., Run]
Private = Callable[[str, str], str]

SFT = {"name": "sft", "selector": "shortest", "emitter": "sft"}
DPO = {"name": "dpo", "selector": "pairs", "emitter": "dpo"}


def reasons(run: Run, selection: str) -> dict[str, int]:
    return dict(run.lake.sql("SELECT reason, count(*) FROM drops WHERE selection = $1 GROUP BY 1",
                             [selection]).fetchall())


def picks(run: Run, selection: str) -> list[tuple[Any, ...]]:
    return run.lake.sql("SELECT chosen, rejected, why FROM picks WHERE selection = $1 ORDER BY id",
                        [selection]).fetchall()


def statuses(run: Run, side: str) -> set[str]:
    return {row[0] for row in run.lake.sql(
        f"SELECT v.status FROM picks k JOIN judged v ON v.trace_id = k.{side}").fetchall()}


def test_correct_traces_are_chosen_and_wrong_ones_rejected(judged: Make) -> None:
    run = judged(datasets=[SFT, DPO])
    made = choose.choose(run)
    assert (statuses(run, "chosen"), statuses(run, "rejected")) == ({"correct"}, {"wrong"})
    assert list(made) == ["sft", "dpo"]


def test_every_trace_is_used_or_dropped_for_a_reason(judged: Make) -> None:
    run = judged(datasets=[DPO])
    selection = choose.choose(run)["dpo"]
    used = {name for chosen, rejected, _ in picks(run, selection) for name in (chosen, rejected)}
    dropped = {row[0] for row in run.lake.sql("SELECT trace_id FROM drops").fetchall()}
    assert used | dropped == run.lake.ids("traces")
    assert not used & dropped


def test_a_trace_is_dropped_under_the_name_of_the_first_rule_it_fails(judged: Make) -> None:
    run = judged(datasets=[SFT], rules={"first sample": "sample = 0", "never": "length(raw) < 0"})
    assert reasons(run, choose.choose(run)["sft"]) == {"first sample": 12, "never": 4}


def test_a_rule_that_is_null_is_not_fulfilled(judged: Make) -> None:
    run = judged(datasets=[SFT], rules={"sure": "mean_logprob > -1"})
    assert reasons(run, choose.choose(run)["sft"]) == {"sure": 16}


@pytest.mark.parametrize("rule", ["length > 10", "pass_rate BETWEEN 0 AND 1", "prompt LIKE 'Compute%'",
                                  "status = 'correct' OR source = ''", "json_extract(meta, '$.x') IS NULL"])
def test_a_rule_is_any_condition_over_columns_and_measures(judged: Make, rule: str) -> None:
    run = judged(datasets=[SFT], rules={"it's fine": rule}, measures=["length"])
    choose.check_rules(run.lake, run.recipe)
    assert "it's fine" not in reasons(run, choose.choose(run)["sft"])


@pytest.mark.parametrize(("rule", "said"), [
    ("lenght > 10", "the rule 'bad' (lenght > 10) is not valid: Binder Error: Referenced column \"lenght\" not found"),
    ("length >", "Parser Error"), ("true) --", "Parser Error"), ("true; DROP TABLE x", "Parser Error"),
    ("", "Cannot mix values"),
    ("reference = '3'", "\"reference\" not found"),
])
def test_a_rule_that_is_no_condition_is_named_in_one_sentence(make_run: Make, rule: str, said: str) -> None:
    run = make_run(rules={"good": "true", "bad": rule}, measures=["length"])
    with pytest.raises(UserError) as error:
        choose.check_rules(run.lake, run.recipe)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "length" in str(error.value)


def test_a_rule_that_fits_no_value_is_one_sentence(judged: Make) -> None:
    run = judged(datasets=[SFT], rules={"number": "response::INT > 3"})
    with pytest.raises(UserError, match="a rule cannot be computed: Conversion Error"):
        choose.choose(run)


@pytest.mark.parametrize("measures", [["length", "length"], ["length", "LAB.length"], ["LAB.status"]])
def test_a_measure_that_a_rule_could_not_name_is_refused(make_run: Make, private: Private,
                                                         measures: list[str]) -> None:
    private("length", "def length(problem, trace): return 1.0")
    lab = private("status", "def status(problem, trace): return 1.0").rpartition(".")[0]
    run = make_run(measures=[name.replace("LAB", lab) for name in measures])
    with pytest.raises(UserError, match="has the name of another measure or column"):
        choose.check_rules(run.lake, run.recipe)


def test_one_measure_stands_twice_under_two_names_and_rules_use_both(judged: Make) -> None:
    measures = [{"plugin": "length", "of": "thinking", "name": "thought"}, {"plugin": "length", "of": "response"}]
    run = judged(measures=measures, datasets=[SFT], rules={"thoughtful": "thought > 2 * length", "said": "length > 0"})
    choose.check_rules(run.lake, run.recipe)
    [selection] = choose.choose(run).values()
    wanted = run.lake.value("""SELECT count(*) FROM traces JOIN judged v ON v.trace_id = traces.id
        WHERE status != 'undecided' AND NOT length(thinking) > 2 * length(response)""")
    assert run.lake.value("SELECT count(*) FROM drops WHERE selection = $1 AND reason = 'thoughtful'",
                          [selection]) == wanted
    assert run.recipe == Recipe.model_validate_json(run.recipe.json_text())


def test_two_names_that_differ_in_case_only_are_one_to_sql(make_run: Make) -> None:
    run = make_run(measures=["length", {"plugin": "tokens", "name": "Length"}])
    with pytest.raises(UserError, match="give it another `name`"):
        choose.check_rules(run.lake, run.recipe)


def without_verdicts(run: Run) -> None:
    for part in (run.lake.folder / "tables/verdicts").glob("part-*.parquet"):
        if "schema" not in part.name:
            part.unlink()


def test_an_undecided_trace_is_never_used(judged: Make) -> None:
    run = judged(datasets=[SFT, DPO])
    without_verdicts(run)
    made = choose.choose(run)
    assert [reasons(run, selection) for selection in made.values()] == [{"undecided": 16}] * 2


def test_a_selector_never_even_sees_an_undecided_trace(judged: Make, private: Private) -> None:
    name = private("greedy", "from factory.records import Pick\n"
                             "def greedy(candidates): return [Pick(c, None, 'all') for c in candidates]")
    run = judged(datasets=[{"name": "all", "selector": name, "emitter": "sft"}])
    without_verdicts(run)
    assert picks(run, choose.choose(run)["all"]) == []


def test_a_selector_that_makes_up_an_undecided_trace_is_refused(judged: Make, private: Private) -> None:
    name = private("forger", "from dataclasses import replace\nfrom factory.records import Pick\n"
                             "def forger(cs): return [Pick(replace(cs[0], status='undecided'), None, '')]")
    with pytest.raises(UserError, match="used an undecided trace"):
        choose.choose(judged(datasets=[{"name": "x", "selector": name, "emitter": "sft"}]))


def test_what_a_selector_refuses_is_one_sentence(judged: Make, private: Private) -> None:
    name = private("picky", "def picky(candidates): raise ValueError('I take no less than 100')")
    with pytest.raises(UserError, match="I take no less than 100"):
        choose.choose(judged(datasets=[{"name": "x", "selector": name, "emitter": "sft"}]))


def test_choosing_again_is_the_same_selection_and_adds_nothing(judged: Make) -> None:
    run = judged(datasets=[SFT, DPO])
    made = choose.choose(run)
    count = run.lake.value("SELECT count(*) FROM picks")
    assert choose.choose(run) == made
    assert run.lake.value("SELECT count(*) FROM picks") == count


def test_a_crash_before_the_selection_was_listed_doubles_nothing(judged: Make,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    run = judged(datasets=[SFT])
    really = Lake.append

    def dies(lake: Lake, table: str, rows: Any) -> None:
        if table == "selections":
            raise KeyboardInterrupt
        really(lake, table, rows)
    with monkeypatch.context() as dying:
        dying.setattr(Lake, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            choose.choose(run)
    before = run.lake.value("SELECT count(*) FROM picks")
    selection = choose.choose(run)["sft"]
    assert len(picks(run, selection)) == before == run.lake.value("SELECT count(*) FROM picks")


def test_a_changed_threshold_is_a_new_selection_without_a_new_verdict(judged: Make) -> None:
    first = judged(datasets=[SFT], rules={"short": "completion_tokens < 1000"})
    one = choose.choose(first)["sft"]
    second = judged(datasets=[SFT], rules={"short": "completion_tokens < 1"})
    other = choose.choose(second)["sft"]
    assert one != other
    assert (len(picks(first, one)) > 0, picks(second, other)) == (True, [])
    assert [first.lake.value(f"SELECT count(*) FROM {table}") for table in ("traces", "verdicts")] == [16, 16]


def test_a_new_value_of_a_measure_makes_a_new_selection(judged: Make, private: Private) -> None:
    name = private("mine", "def mine(problem, trace): return 1.0")
    run = judged(datasets=[SFT], measures=[name])
    before = choose.choose(run)
    run.lake.append("measurements", [dict(row, id="new" + row["id"], value=9.0) for row in run.lake.rows(
        "SELECT * FROM measurements LIMIT 1")])
    assert choose.choose(run) != before


NEEDING = {"best_over_worst": {"score": "length"}, "by_tests": {"cluster": "length", "weights": {"repetition": -1.0}},
           "shorter": {"at_least": 1.2}}
"""Parameters of selectors that need some here; `repaired` chooses in `test_repaired_rows`."""


def test_every_selector_chooses_the_same_bytes_when_every_reference_is_another_text(judged: Make) -> None:
    """Gold-blindness: after verification nothing looks at a reference any more."""
    names = [name for name in plugins.names("selector") if name != "repaired"]
    datasets = [*({"name": name, "selector": {"plugin": name, **NEEDING.get(name, {})}, "emitter": "sft"}
                  for name in names),
                {"name": "mixed", "selector": "labelled", "emitter": "kto",
                 "mixture": {"by": "band", "rows": 5, "prefer": "long"}}]
    run = judged(datasets=datasets, measures=["length", "repetition", "truncation", "reflection", "boxed", "tokens"],
                 teacher={"plugin": "scripted", "accuracy": 0.5, "repetition": 0.4}, generate={"samples": 8})
    choose.choose(run)
    before = selected(run)
    assert {row[0] for row in before} == {*names, "mixed"}, "a selector that chose nothing would prove nothing"
    forget_the_references(run)
    choose.choose(run)
    assert selected(run) == before


def test_a_trace_of_another_teacher_is_on_no_side_of_a_pair(judged: Make) -> None:
    run = judged(datasets=[DPO, {"name": "kto", "selector": {"plugin": "labelled", "per_problem": 99},
                                 "emitter": "kto"}])
    mine = run.lake.ids("traces")
    rows = run.lake.rows("SELECT * FROM traces")
    run.lake.append("traces", [dict(row, id="other" + row["id"], teacher="another") for row in rows])
    run.lake.append("verdicts", [dict(row, id="other" + row["id"], trace_id="other" + row["trace_id"])
                                 for row in run.lake.rows("SELECT * FROM verdicts")])
    for selection in choose.choose(run).values():
        assert {side for one in picks(run, selection) for side in one[:2] if side} <= mine


def test_a_selector_that_makes_up_a_trace_is_refused(judged: Make, private: Private) -> None:
    name = private("maker", "from dataclasses import replace\nfrom factory.records import Pick\n"
                            "def maker(cs): return [Pick(replace(cs[0], trace_id='x'), None, '')]")
    with pytest.raises(UserError, match="used a trace that it was not given"):
        choose.choose(judged(datasets=[{"name": "x", "selector": name, "emitter": "sft"}]))


def test_a_candidate_has_the_texts_of_its_trace(judged: Make, private: Private) -> None:
    seen = private("seen", "from factory.records import Pick\nall = {}\n"
                           "def seen(cs):\n    all.update({c.trace_id: c for c in cs})\n    return []\n")
    run = judged(datasets=[{"name": "x", "selector": seen, "emitter": "sft"}])
    texts = [("<think>\U0001f600é 中\u0301\n</think>\n√2 🙂", "\U0001f600é 中\u0301", "√2 🙂"), ("a", "", "a"),
             ("<think>b", "b", ""), ("raw", "elsewhere", "too"), ("", "", ""), ("none", None, None)]
    rows = run.lake.rows("SELECT * FROM traces ORDER BY id LIMIT 6")
    for part in (run.lake.folder / "tables/traces").glob("part-*.parquet"):
        if "schema" not in part.name:
            part.unlink()
    run.lake.append("traces", [dict(row, raw=raw, thinking=thinking, response=response)
                               for row, (raw, thinking, response) in zip(rows, texts, strict=True)])
    choose.choose(run)
    found = {(c.raw, c.thinking, c.response) for c in importlib.import_module(seen).all.values()}
    assert found == {(raw, thinking or "", response or "") for raw, thinking, response in texts}


# -- cuts ------------------------------------------------------------------------------------------------------------

CUTTER = ("from dataclasses import replace\nfrom factory.records import Pick\n"
          "def cutter(cs, *, words: str, status: str = 'undecided'):\n"
          "    cut = dict(raw=words, thinking='', response=words, status=status)\n"
          "    return [Pick(replace(c, **cut), None, 'cut') for c in cs if c.status == 'correct']\n")


def cut(private: Private, words: str, **keys: str) -> dict[str, Any]:
    return {"name": "cut", "selector": {"plugin": private("cutter", CUTTER), "words": words, **keys}, "emitter": "sft"}


def test_a_cut_is_judged_and_stored_as_a_trace_of_its_own(judged: Make, private: Private) -> None:
    run = judged(datasets=[cut(private, "The answer is \\boxed{3}.")])  # of one problem of four
    selection = choose.choose(run)["cut"]
    chosen = [row[0] for row in picks(run, selection)]
    [text] = {row["raw"] for row in run.lake.rows(
        "SELECT t.* FROM traces t JOIN judged v ON v.trace_id = t.id WHERE t.id IN (SELECT unnest($1)) "
        "AND v.status = 'correct' AND t.finish_reason = 'cut'", [chosen])}
    assert text == "The answer is \\boxed{3}."
    assert reasons(run, selection)["its cut is wrong"] > 0
    assert run.lake.value("SELECT count(*) FROM run_traces") == 16  # it is no trace of the run: it was not bought
    assert run.lake.value("SELECT sum(cost) FROM traces WHERE finish_reason = 'cut'") == 0


@pytest.mark.parametrize("status", ["correct", "undecided"])
def test_what_a_selector_says_about_its_cut_counts_for_nothing(judged: Make, private: Private, status: str) -> None:
    run = judged(datasets=[cut(private, "The answer is \\boxed{77}.", status=status)])
    selection = choose.choose(run)["cut"]
    assert picks(run, selection) == [] and set(reasons(run, selection)) == {"its cut is wrong", "not chosen by " + str(
        run.recipe.datasets[0].selector.plugin)}


def test_a_cut_that_is_there_is_neither_stored_nor_judged_again(judged: Make, private: Private,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    spec = cut(private, "The answer is \\boxed{3}.")
    run = judged(datasets=[spec])
    choose.choose(run)
    before = [run.lake.value(f"SELECT count(*) FROM {table}") for table in ("traces", "verdicts")]
    monkeypatch.setattr("factory.stages.verify.work", None)
    other = judged(datasets=[spec], rules={"any": "true"})  # another selection of the same cuts
    assert choose.choose(other)["cut"] != choose.choose(run)["cut"]
    assert [run.lake.value(f"SELECT count(*) FROM {table}") for table in ("traces", "verdicts")] == before


# -- mixtures --------------------------------------------------------------------------------------------------------


def test_a_mixture_holds_its_shares_and_says_what_was_left_out(judged: Make, source: Callable[..., dict[str, Any]]
                                                              ) -> None:
    sources = [source([(f"Compute {a} + {b}.", str(a + b)) for a in range(8)], name, source=name)
               for b, name in ((1, "one"), (20, "two"), (40, "three"))]
    mixture = {"by": "source", "shares": {"one": 0.75, "two": 0.25}, "rows": 8, "per_problem": 1}
    run = judged(problems=sources, datasets=[{"name": "mixed", "selector": "everything_correct", "emitter": "sft",
                                              "mixture": mixture}])
    choose.check_rules(run.lake, run.recipe)
    selection = choose.choose(run)["mixed"]
    count = dict(run.lake.sql("""SELECT p.source, count(*) FROM picks k JOIN problems p ON p.id = k.problem_id
        WHERE selection = $1 GROUP BY 1""", [selection]).fetchall())
    assert sum(count.values()) >= 4 and count["one"] == 3 * count["two"] and "three" not in count
    assert {"'three' has no share", "over 1 a problem"} <= set(reasons(run, selection))
    assert len(picks(run, selection)) + sum(reasons(run, selection).values()) == 96


def test_a_mixture_by_what_is_no_column_is_named_in_one_sentence(make_run: Make) -> None:
    run = make_run(datasets=[{**SFT, "mixture": {"by": "sorce", "rows": 3}}])
    with pytest.raises(UserError, match="the mixture of the dataset 'sft' goes by sorce, which is not valid"):
        choose.check_rules(run.lake, run.recipe)


def test_another_mixture_is_another_selection(judged: Make) -> None:
    one, two = (judged(datasets=[{**SFT, "mixture": {"rows": rows}}]) for rows in (1, 2))
    counts = [len(picks(run, choose.choose(run)["sft"])) for run in (one, two)]
    assert counts == [1, 2]
