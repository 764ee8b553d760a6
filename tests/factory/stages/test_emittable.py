"""A mixture holds in what is written: whatever a row could be lost for was looked at before the shares were planned."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from factory.lake import Lake
from factory.run import Run
from factory.stages import choose, emit, screen

Make = Callable[..., Run]
Source = Callable[..., dict[str, Any]]

KEEPS = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
         "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
REFUSES = "{% if '+ 1.' in messages[0].content %}{{ raise_exception('no ones') }}{% endif %}" + KEEPS
SHARES = {"one": 0.75, "two": 0.25}


def sources(source: Source) -> list[dict[str, Any]]:
    """Forty problems of "one", of which the template refuses ten, and twenty of "two"."""
    return [source([(f"Compute {a} + {b}.", str(a + b)) for a in range(10) for b in bs], name, source=name)
            for bs, name in (((1, 21, 31, 41), "one"), ((2, 22), "two"))]


def emitted(run: Run) -> tuple[Path, list[dict[str, Any]]]:
    """As `cot run` does it."""
    [folder] = emit.emit(run, screen.rows(run, choose.choose(run))).values()
    return folder, [dict(row) for row in datasets.load_from_disk(str(folder))["train"]]


@pytest.fixture
def spoilt(judged: Make, source: Source, tmp_path: Path) -> Make:
    """A run whose lake has duplicates, rows that meet a benchmark and rows that the template refuses."""
    pytest.importorskip("transformers", reason="the round trip needs the extra [train]")
    (tmp_path / "template.jinja").write_text(REFUSES)
    benchmark = tmp_path / "test.jsonl"
    benchmark.write_text(json.dumps({"q": "none of these"}))

    def make(on: Lake | None = None, emitter: str = "sft", selector: str = "everything_correct", accuracy: float = 1.0,
             **mixture: Any) -> Run:
        spec = {"name": "mixed", "selector": selector, "emitter": emitter, "template": str(tmp_path / "template.jinja"),
                "mixture": mixture}
        benchmark.write_text(json.dumps({"q": "none of these"}))
        run = judged(on=on, problems=sources(source), teacher={"plugin": "scripted", "accuracy": accuracy},
                     datasets=[spec], dedup={"rows": True, "threshold": 0.6, "words": 1},
                     decontaminate={"against": [{"path": str(benchmark), "column": "q"}]})
        benchmark.write_text("".join(json.dumps({"q": f"Compute {a} + 21."}) + "\n" for a in range(5)))
        return run
    return make


def test_the_shares_of_the_rows_that_are_written_are_those_of_the_plan(spoilt: Make) -> None:
    run = spoilt(by="source", shares=SHARES, per_problem=2)
    _, rows = emitted(run)
    found = Counter(run.lake.value("SELECT source FROM problems WHERE id = $1", [row["problem_id"]]) for row in rows)
    assert len(rows) >= 40 and all(abs(found[name] / len(rows) - share) <= 0.005 for name, share in SHARES.items())
    reasons = dict(run.lake.sql("SELECT reason, count(*) FROM drops GROUP BY 1").fetchall())
    kinds = " ".join(reasons)
    assert all(kind in kinds for kind in ("a near duplicate", "contaminated by", "round trip: ", "over the share of"))
    prompts = {row["messages"][0]["content"] for row in rows}
    assert not any("+ 1." in prompt for prompt in prompts)
    assert not prompts & {f"Compute {a} + 21." for a in range(5)}


def test_every_trace_is_in_a_row_or_dropped_for_one_reason(spoilt: Make) -> None:
    run = spoilt(by="source", shares=SHARES, per_problem=2)
    _, rows = emitted(run)
    drops = [row[0] for row in run.lake.sql("SELECT trace_id FROM drops").fetchall()]
    assert sorted([*drops, *(row["trace_id"] for row in rows)]) == sorted(run.lake.ids("traces"))


def test_the_cap_of_a_problem_counts_what_is_left_of_it(spoilt: Make) -> None:
    capped = spoilt(rows=10_000, per_problem=2)
    found = Counter(row["problem_id"] for row in emitted(capped)[1])
    whole = Counter(row["problem_id"] for row in emitted(spoilt(rows=10_000))[1])
    assert found == {problem: min(2, count) for problem, count in whole.items()}
    assert max(whole.values()) > 1


def test_the_same_lake_gives_the_same_bytes(spoilt: Make, tmp_path: Path) -> None:
    plan = {"by": "source", "shares": SHARES, "rows": 20, "per_problem": 2}
    folders = [emitted(spoilt(on=Lake(tmp_path / name), **plan))[0] for name in ("a", "b")]
    one, two = (sorted(folder.glob("data/*/*.parquet")) for folder in folders)
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two] != []
    assert (folders[0] / "train").is_dir()


def test_other_shares_make_nothing_again_that_a_model_or_a_verifier_made(spoilt: Make) -> None:
    run = spoilt(by="source", shares=SHARES)
    emitted(run)
    counts = [run.lake.value(f"SELECT count(*) FROM {table}") for table in ("verdicts", "traces", "measurements")]
    other = spoilt(on=run.lake, by="source", shares={"one": 0.5, "two": 0.5})
    _, rows = emitted(other)
    found = Counter(run.lake.value("SELECT source FROM problems WHERE id = $1", [row["problem_id"]]) for row in rows)
    assert found["one"] == found["two"] > 0
    assert counts == [run.lake.value(f"SELECT count(*) FROM {table}")
                      for table in ("verdicts", "traces", "measurements")]


def test_another_benchmark_or_template_makes_another_selection(spoilt: Make, tmp_path: Path) -> None:
    run = spoilt(by="source", shares=SHARES)
    first = choose.choose(run)
    assert choose.choose(run) == first
    (tmp_path / "template.jinja").write_text(KEEPS)
    second = choose.choose(run)
    (tmp_path / "test.jsonl").write_text(json.dumps({"q": "none of these"}))
    assert len({one["mixed"] for one in (first, second, choose.choose(run))}) == 3


@pytest.mark.parametrize(("emitter", "selector", "accuracy"), [
    ("dpo", "pairs", 0.5), ("kto", "pairs", 0.5), ("rl_prompts", "labelled", 0.5)])
def test_shares_hold_for_rows_of_every_form(spoilt: Make, emitter: str, selector: str, accuracy: float) -> None:
    """Of pairs, of picks with two rows, of problems."""
    run = spoilt(emitter=emitter, selector=selector, accuracy=accuracy, by="source", shares={"one": 0.5, "two": 0.5})
    _, rows = emitted(run)
    found = Counter(run.lake.value("SELECT source FROM problems WHERE id = $1", [row["problem_id"]]) for row in rows)
    assert found["one"] == found["two"] > 0


def test_the_card_tells_what_the_template_refused_before_the_mixture(spoilt: Make) -> None:
    run = spoilt(by="source", shares=SHARES)
    folder, rows = emitted(run)
    card = (folder / "README.md").read_text()
    refused = run.lake.value("SELECT count(*) FROM drops WHERE reason LIKE 'round trip: %'")
    assert f"{len(rows) + refused:,} rows were rendered with the chat template of" in card
    assert f"| {refused} |" in card.partition("set aside:")[2] and f"Of {len(rows):,} the thinking survives" in card
