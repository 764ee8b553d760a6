"""`cot explain`: verdict, each rule with its value, and the selector's reason, for what was kept and what was not."""

from pathlib import Path
from typing import Any

import pytest

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import validate
from factory.run import Run
from flows import pipeline
from flows.explain import explain

TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1] }}{% endfor %}[assistant]"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    recipe = validate({
        "name": "r", "problems": [{"plugin": "worlds", "count": 20, "families": ["expression"]}],
        "teacher": {"plugin": "scripted", "accuracy": 0.5, "truncation": 0.1}, "verify": {"workers": 1},
        "measures": ["length"], "rules": {"whole": "finish_reason = 'stop'", "short": "length < 250 AND sample < 9"},
        "datasets": [{"name": "sft", "selector": "shortest", "emitter": "sft"},
                     {"name": "dpo", "selector": "pairs", "emitter": "dpo"}]}, "the test")
    made = Lake(tmp_path_factory.mktemp("explain") / "lake")
    pipeline.everything(Run(recipe, made))
    return made


def one(lake: Lake, query: str) -> dict[str, Any]:
    return lake.rows(f"{query} ORDER BY 1 LIMIT 1")[0]


def test_a_kept_trace_tells_the_selectors_reason(lake: Lake) -> None:
    pick = one(lake, "SELECT chosen, why FROM picks WHERE dataset = 'sft'")
    said = explain(lake, pick["chosen"])
    assert "verdict   correct" in said
    assert f"  dataset sft: kept as chosen by shortest: {pick['why']}" in said
    assert "  passes  whole: finish_reason = 'stop'   [finish_reason = 'stop']" in said


def test_a_rejected_side_is_kept_as_that(lake: Lake) -> None:
    pick = one(lake, "SELECT rejected, why FROM picks WHERE dataset = 'dpo'")
    said = explain(lake, pick["rejected"])
    assert f"  dataset dpo: kept as rejected by pairs: {pick['why']}" in said
    assert "  dataset sft: dropped: not chosen by shortest" in said


def test_a_dropped_trace_shows_each_rule_with_its_values(lake: Lake) -> None:
    row = one(lake, "SELECT trace_id, length(raw) AS n, sample FROM drops d JOIN traces t ON t.id = d.trace_id "
                    "WHERE reason = 'short'")
    said = explain(lake, row["trace_id"])
    assert f"  FAILS   short: length < 250 AND sample < 9   [sample = {row['sample']}, length = {row['n']}]" in said
    assert "  passes  whole" in said
    assert "  dataset sft: dropped: short" in said


def test_a_rule_fails_also_for_a_trace_that_nobody_could_judge(lake: Lake) -> None:
    row = one(lake, """SELECT d.trace_id FROM drops d JOIN traces t ON t.id = d.trace_id
        WHERE reason = 'undecided' AND length(raw) >= 250""")
    assert "  FAILS   short: length < 250 AND sample < 9   [sample = " in explain(lake, row["trace_id"])


def test_what_was_chosen_instead_is_named(lake: Lake) -> None:
    row = one(lake, """SELECT d.trace_id, k.chosen, k.why FROM drops d JOIN traces t ON t.id = d.trace_id
        JOIN picks k ON k.problem_id = t.problem_id AND k.selection = d.selection WHERE d.dataset = 'sft'""")
    assert f"    of its problem was chosen {row['chosen']}: {row['why']}" in explain(lake, row["trace_id"])


def test_an_undecided_trace_says_so(lake: Lake) -> None:
    row = one(lake, "SELECT trace_id FROM drops WHERE reason = 'undecided'")
    said = explain(lake, row["trace_id"])
    assert "verdict   undecided" in said and "dataset sft: dropped: undecided" in said


def test_a_row_that_the_template_spoilt_is_told(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the round trip needs the extra [train]")
    (tmp_path / "t.jinja").write_text(TEMPLATE)
    recipe = validate({
        "name": "r", "problems": [{"plugin": "worlds", "count": 2, "families": ["expression"]}],
        "teacher": {"plugin": "scripted", "accuracy": 1.0}, "verify": {"workers": 1}, "datasets": [
            {"name": "sft", "selector": "shortest", "emitter": "sft", "template": str(tmp_path / "t.jinja")}]}, "x")
    made = Lake(tmp_path / "lake")
    pipeline.everything(Run(recipe, made))
    said = explain(made, one(made, "SELECT chosen FROM picks")["chosen"])
    assert "dataset sft: kept as chosen by shortest" in said
    assert "dataset sft: dropped: round trip: the template deletes the thinking" in said


def test_a_trace_of_no_run_and_one_that_is_not_there(lake: Lake, tmp_path: Path) -> None:
    made = Lake(tmp_path / "lake")
    made.append("problems", [dict(id="p", prompt="?", reference="1", verifier="v")])
    made.append("traces", [dict(id="b1-x", problem_id="p", teacher="{}", strategy='{"cut_of":"b1-parent"}', sample=0)])
    assert "It is a cut of b1-parent." in explain(made, "b1-x")
    with pytest.raises(UserError, match="no trace begins with 'zzz'"):
        explain(lake, "zzz")


def test_a_continuation_and_what_it_goes_on_from_are_told(lake: Lake) -> None:
    cut = one(lake, "SELECT * FROM traces WHERE finish_reason = 'length' AND parent IS NULL")
    rows = [{**cut, "id": "b1-cut", "strategy": "{}"},
            {**cut, "id": "b1-more", "strategy": '{"truncation":{"policy":"continue"}}', "parent": "b1-cut"}]
    lake.append("traces", rows)
    assert "goes on   from b1-cut, which was cut off" in explain(lake, "b1-more")
    assert "It was cut off; b1-more goes on from it." in explain(lake, "b1-cut")
