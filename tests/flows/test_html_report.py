"""`cot report`: what the page says is what the lake holds, it asks for nothing, and no text of a model can break it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from factory.lake import Lake
from factory.recipe import validate
from factory.run import Run
from flows import findings, html_report, pipeline, report

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    recipe = validate({
        "name": "r", "problems": [{"plugin": "worlds", "count": 40, "families": ["expression"], "levels": [1, 2, 10]}],
        "teacher": {"plugin": "scripted", "accuracy": 0.5, "truncation": 0.1}, "verify": {"workers": 1},
        "rules": {"short": "completion_tokens < 80"},
        "datasets": [{"name": "sft", "selector": "shortest", "emitter": "sft"}]}, "the test")
    made = Lake(tmp_path_factory.mktemp("report") / "lake")
    pipeline.everything(Run(recipe, made))
    return made


@pytest.fixture
def run(lake: Lake) -> dict[str, Any]:
    return report.latest_run(lake, "r")


class Tags(HTMLParser):
    """Every tag with its attributes, and whether all are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(lake: Lake, run: dict[str, Any], tmp_path: Path) -> None:
    text = html_report.write(lake, run, tmp_path / "new" / "page.html").read_text()
    tags = Tags(text)
    assert tags.open == []
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in tags.seen}
    assert not [attrs for _, attrs in tags.seen if {"src", "href"} & set(attrs)]
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text and "url(" not in text
    titles = re.findall(r"<h2>(.*?)</h2>", text)
    assert titles[:5] == ["From problems to datasets", "Pass rates", "Lengths, right against wrong",
                          "Accuracy by length at equal difficulty", "What was dropped, and why"]
    assert titles[-1] == "Cost and time"


def test_a_rule_shows_how_many_it_dropped_and_three_of_them(lake: Lake, run: dict[str, Any]) -> None:
    dropped = lake.value("SELECT count(*) FROM drops WHERE reason = 'short'")
    [group] = [g for g in findings.drop_examples(lake, run["id"]) if g["reason"] == "short"]
    assert (group["traces"], len(group["examples"])) == (dropped, 3)
    assert f"<summary>short ({dropped})</summary>" in html_report.page(lake, run)


def test_no_text_can_break_out_of_the_page(lake: Lake, run: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = findings.drop_examples(lake, run["id"])
    for row in (row for group in rows for row in group["examples"]):
        row.update(dict.fromkeys(("prompt", "raw", "answer", "status", "finish_reason", "trace_id"), EVIL))
    for group in rows:
        group.update(dataset=EVIL, reason=EVIL)
    monkeypatch.setattr(findings, "drop_examples", lambda *_: rows)
    page = html_report.page(lake, {**run, "name": EVIL, "teacher": EVIL})
    tags = Tags(page)
    assert tags.open == [] and not {"script", "img"} & {tag for tag, _ in tags.seen}
    assert page.count("&lt;script&gt;") > 3


def test_the_figures_are_those_of_the_traces(lake: Lake, run: dict[str, Any]) -> None:
    counts = dict(lake.sql("SELECT status, count(*) FROM judged GROUP BY 1").fetchall())
    rates = findings.pass_rates(lake, run["id"])
    [source] = [row for row in rates if row["kind"] == "source"]
    assert (source["traces"], source["correct"]) == (sum(counts.values()), counts["correct"])
    assert source["low"] < source["rate"] < source["high"]
    assert [row["name"] for row in rates if row["kind"] == "level"] == ["1", "2", "10"]
    lengths = findings.lengths(lake, run["id"])
    assert sum(row["correct"] for row in lengths) == counts["correct"]
    assert sum(row["wrong"] for row in lengths) == counts["wrong"]


def test_accuracy_by_length_is_within_problems_of_one_difficulty(tmp_path: Path) -> None:
    """In each problem the two short traces are right and the two long ones wrong; a solved problem does not count."""
    made = Lake(tmp_path / "lake")
    made.append("runs", [dict(id="r", name="r", recipe="{}", teacher="t", strategy="s", samples=4, started="now")])
    for problem in ("a", "b", "solved"):
        made.append("problems", [dict(id=problem, prompt="?", reference="1", verifier="v", source="s", meta="{}")])
        made.append("members", [dict(id=problem, run_id="r", problem_id=problem, part="train")])
        made.append("traces", [dict(id=f"{problem}{i}", problem_id=problem, teacher="t", strategy="s", sample=i, raw="",
                                    completion_tokens=(1000 if problem == "b" else 10) * (i + 1)) for i in range(4)])
        made.append("verdicts", [dict(id=f"{problem}{i}", trace_id=f"{problem}{i}", verifier="v", version=1, answer="1",
                                      status="correct" if i < 2 or problem == "solved" else "wrong") for i in range(4)])
    found = [(row["band"], row["quarter"], row["correct"], row["traces"]) for row in findings.by_length(made, "r")]
    assert found == [("medium", 0, 2, 2), ("medium", 1, 2, 2), ("medium", 2, 0, 2), ("medium", 3, 0, 2)]


def test_a_run_without_a_trace_has_a_page(tmp_path: Path) -> None:
    made = Lake(tmp_path / "lake")
    made.append("runs", [dict(id="r", name="r", recipe="{}", teacher="t", strategy="s", samples=1, started="now")])
    made.append("starts", [dict(id="s", run_id="r", started="now")])
    assert Tags(html_report.page(made, report.latest_run(made, "r"))).open == []


def test_measures_are_told_for_all_and_for_right_and_wrong_ones(lake: Lake, run: dict[str, Any]) -> None:
    judged = lake.rows("SELECT t.id, v.status FROM run_traces t LEFT JOIN judged v ON v.trace_id = t.id")
    lake.append_new("measurements", [dict(
        id=f"m{version}{row['id']}", trace_id=row["id"], measure="eyes", params='{"n":2}', version=version,
        value=float(row["status"] == "correct") if version == 2 else -9.0) for version in (1, 2) for row in judged])
    [found] = [row for row in findings.measures(lake, run["id"]) if row["measure"] == "eyes"]
    assert (found["correct"], found["wrong"], found["params"]) == (1.0, 0.0, '{"n":2}')
    assert found["mean"] == pytest.approx(dict(report.funnel(lake, run["id"]))["correct"] / found["traces"])
    assert "eyes {&quot;n&quot;:2}" in html_report.page(lake, run)


def test_where_no_tokens_were_counted_lengths_are_in_characters(tmp_path: Path) -> None:
    rows = [{"prompt": "1 + 1?", "reference": "2", "trace": f"{'so ' * n}\\boxed{{{2 + n % 2}}}"} for n in range(8)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = validate({
        "name": "r", "problems": [{"plugin": "jsonl", "path": str(tmp_path / "t.jsonl")}], "audit": {"share": 0},
        "teacher": {"plugin": "recorded", "path": str(tmp_path / "t.jsonl")}, "generate": {"samples": 8},
        "verify": {"workers": 1}}, "the test")
    made = Lake(tmp_path / "lake")
    pipeline.everything(Run(recipe, made))
    run = report.latest_run(made, "r")
    assert findings.medians(made, run["id"]) == {"correct": 18.0, "wrong": 21.0}
    assert "Median characters: correct 18, wrong 21" in html_report.page(made, run)
    assert [row["quarter"] for row in findings.by_length(made, run["id"])] == [0, 1, 2, 3]


def test_a_bucket_of_lengths_without_traces_is_in_the_picture(lake: Lake, run: dict[str, Any]) -> None:
    found = findings.lengths(lake, run["id"], buckets=200)
    assert any(row["correct"] == row["wrong"] == 0 for row in found)
    assert [row["start"] for row in found[1:]] == [row["end"] for row in found[:-1]]
