"""Rounds: the best student is the next teacher, the gate refuses what is no gain, and a loop that ends says why.

The models here are files that hold how skilled a model is; a trainer makes it more skilled, or less.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from factory import models
from factory import run as running
from factory.lake import Lake
from factory.protocols import Exhausted, UserError
from factory.recipe import Recipe, validate
from factory.run import Run
from factory.stages import gate
from flows import check, rounds, rounds_report

LAB = {
    "pupil": '''
import json, random
from pathlib import Path
from factory import models
from factory.records import Completion
from factory.teachers.scripted import Scripted

class Pupil(Scripted):
    """Right with its model's skill, in one of `style` words; with a hint it copies it, or works with it."""
    def __init__(self, model):
        super().__init__(dict(accuracy=0.5, truncation=0, failure=0, repetition=0, mixing=0), 0.0, 0, 16, {}, 0)
        self.known = json.loads((Path(model) / "config.json").read_text())
        self.identity = {"plugin": "pupil", "digest": models.digest(Path(model))}
        self.log = Path(__file__).with_name("asked.txt")
    async def ask(self, messages, seed):
        with self.log.open("a") as log:
            log.write(self.identity["digest"] + messages[-1]["content"].replace("\\n", " ") + "\\n")
        question, _, hint = messages[-1]["content"].partition("\\n\\n(The answer is ")
        rng = random.Random(f"{question} {seed}")
        value = self._value(question, rng.random() < self.known["skill"] or bool(hint), rng)
        thought = f"Word {rng.randrange(self.known['style'])}: since it is so, that gives {value}."
        if hint and rng.random() < 0.5:
            thought = f"The answer is {value}."
        raw = f"<think>{thought}</think>So \\\\boxed{{{value}}}."
        return Completion(thought, f"So \\\\boxed{{{value}}}.", raw, "stop", 5, 9, 5)

def pupil(*, model: str):
    return Pupil(model)
''',
    "sums": '''
from factory.records import Problem

def sums(*, split: str, count: int, seed: int = 0, verifier: str = "exact_match"):
    """Splits and seeds share no problem, and exact_match is the verifier whose processes start fastest."""
    tens = {"train": 100, "dev": 2000, "test": 3000}[split] + 100 * seed
    for n in range(count):
        yield Problem(f"Compute {tens} + {n}.", str(tens + n), verifier, "sums", split=split)
''',
    "teach": '''
import json

def teach(base, dataset, output, *, by: float, style: int = 0):
    """As skilled as its base and `by` more."""
    known = json.loads((base / "config.json").read_text())
    made = {"skill": min(1.0, known["skill"] + by), "style": style or known["style"]}
    (output / "model").mkdir(parents=True, exist_ok=True)
    (output / "model" / "config.json").write_text(json.dumps(made))
    return {"plugin": "teach", "trained_tokens": 100}
''',
}


def sums(split: str, count: int, **more: Any) -> dict[str, Any]:
    return {"plugin": "lab.sums", "split": split, "count": count, **more}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the plugins `lab.…` and a base model of skill 0.3."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab").mkdir()
    for name, code in LAB.items():
        (tmp_path / f"lab/{name}.py").write_text(code)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text('{"skill": 0.3, "style": 8}')
    yield tmp_path
    for module in [m for m in sys.modules if m.partition(".")[0] == "lab"]:
        del sys.modules[module]
    running._teacher_key.cache_clear()


def values(folder: Path, sft: float = 0.2, dpo: float | None = 0.1, **changes: Any) -> dict[str, Any]:
    """A recipe in plain values: an SFT on the teacher's traces that brings `sft`, a DPO on its own pairs `dpo`."""
    teacher = {"plugin": "lab.pupil", "model": str(folder / "base")}
    made: dict[str, Any] = {
        "name": "loop", "problems": [sums("train", 30, seed=1)], "teacher": teacher, "verify": {"workers": 1},
        "audit": {"share": 0}, "generate": {"samples": 4},
        "datasets": [{"name": "sft", "selector": "shortest", "emitter": "sft"}],
        "students": [{"name": "sft", "base": str(folder / "base"), "dataset": "sft",
                      "trainer": {"plugin": "lab.teach", "by": sft}}],
        "evaluate": {"problems": sums("test", 60), "teacher": "lab.pupil", "samples": 4},
        "rounds": {"count": 2, "dev": sums("dev", 60), "vary": "seed"}}
    if dpo is not None:
        made["datasets"].append({"name": "dpo", "selector": "pairs", "emitter": "dpo", "policy": "sft"})
        made["students"].append({"name": "dpo", "base": "sft", "dataset": "dpo",
                                 "trainer": {"plugin": "lab.teach", "by": dpo}})
    for key, value in changes.items():
        made[key] = {**made[key], **value} if isinstance(value, dict) and key in made else value
    return made


@pytest.fixture
def make(lab: Path) -> Callable[..., Run]:
    def run(**changes: Any) -> Run:
        return Run(validate(values(lab, **changes), "the test"), Lake(lab / "lake"))
    return run


def held(run: Run) -> list[dict[str, Any]]:
    """The rows of all rounds of the run, which are held here."""
    rounds.everything(run)
    return rounds_report.latest(run.lake, "loop")


def story(rows: list[dict[str, Any]]) -> list[tuple[int, str, bool]]:
    return [(row["round"], row["student"], row["promoted"]) for row in rows]


def test_the_best_student_is_the_next_teacher_and_all_is_noted(make: Callable[..., Run], lab: Path) -> None:
    run = make()
    rows = held(run)
    assert story(rows) == [(0, "base", True), (1, "sft", True), (1, "dpo", True), (2, "sft", True), (2, "dpo", True)]
    assert [round(row["score"], 1) for row in rows] == pytest.approx([0.3, 0.5, 0.6, 0.8, 0.9], abs=0.11)
    for row in rows[1:]:
        assert row["gain_low"] > 0 and row["p"] < 0.05 and row["low"] < row["score"] < row["high"]
        assert row["tokens"] > 0 and row["trained_tokens"] == 100 and row["seconds"] > 0
        assert json.loads(row["data"])["traces"] == 120
    assert [row["contaminated"] for row in rows] == [row["test_contaminated"] for row in rows] == [None, 0, 0, 0, 0]
    told = rounds_report.text(rows)
    assert told.count("; 0 of them share words in a row with its training data") == 8
    assert "before any training" not in told
    assert "base solves 97.0% before any training" in rounds_report.text([{**rows[0], "score": 0.97}, *rows[1:]])
    asked = run.lake.sql("SELECT name, teacher FROM runs ORDER BY started").fetchall()
    assert [name for name, _ in asked] == ["loop-r1", "loop-r1-sft", "loop-r2", "loop-r2-sft"]
    assert [json.loads(teacher)["digest"] for _, teacher in asked] == [
        models.digest(Path(row["path"])) for row in rows[:4]]
    assert run.lake.sql("SELECT round, count(*) FROM run_traces GROUP BY 1 ORDER BY 1").fetchall() == [
        (1, 240), (2, 240)]
    both = run.lake.value("""SELECT count(*) FROM (SELECT problem_id FROM run_traces WHERE round = 1 INTERSECT
        SELECT problem_id FROM run_traces WHERE round = 2)""")
    assert both == 0, "each round has problems of its own"


def test_rounds_that_are_over_are_not_held_again_and_more_of_them_go_on(make: Callable[..., Run], lab: Path) -> None:
    rows = held(make(dpo=None, rounds={"count": 1}))
    asked = (lab / "lab/asked.txt").read_text()
    assert held(make(dpo=None, rounds={"count": 1})) == rows
    assert (lab / "lab/asked.txt").read_text() == asked
    more = held(make(dpo=None))
    assert more[:2] == rows
    assert more[2]["round"] == 2
    bases = [row[0] for row in make().lake.sql("SELECT base FROM students ORDER BY created").fetchall()]
    assert bases == [str(lab / "base"), rows[1]["path"]]


def test_rounds_end_when_no_student_passes(make: Callable[..., Run]) -> None:
    rows = held(make(sft=0.0, dpo=None))
    assert story(rows) == [(0, "base", True), (1, "sft", False)]
    assert "significantly better" in rows[-1]["stopped"]
    assert f"the rounds end: {rows[-1]['stopped']}" in rounds_report.text(rows)


def test_a_gain_with_a_loss_on_the_panel_is_refused(make: Callable[..., Run], lab: Path) -> None:
    """A problem that only the unskilled solve: its reference is nothing that a value could be."""
    file = lab / "nobody.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"Compute {n} + 1.", "reference": str(n)}) + "\n" for n in range(
        2, 42)))
    panel = [{"name": "unknown", "problems": {"plugin": "jsonl", "path": str(file), "verifier": "exact_match"}}]
    rows = held(make(sft=0.6, dpo=None, rounds={"panel": panel}))
    assert story(rows)[-1] == (1, "sft", False)
    assert "on 'unknown' (40 problems)" in rows[-1]["reason"]
    assert rows[-1]["gain_low"] > 0.3


def test_nobody_is_asked_the_test_problems_before_the_gate_has_decided_and_who_is_refused_never_is(
        make: Callable[..., Run], lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test problems are 3000 + n here; what is asked stands in a file, behind the digest of the model."""
    def asked_the_test() -> set[str]:
        return {line.partition("Compute")[0] for line in (lab / "lab/asked.txt").read_text().splitlines()
                if "Compute 3000" in line}

    decide, before = gate.decide, list[set[str]]()

    def watched(*given: Any) -> gate.Decision:
        before.append(asked_the_test())
        assert all(set(scores) == {"dev", "easy"} for scores in given[:2])
        return decide(*given)

    monkeypatch.setattr(gate, "decide", watched)
    rows = held(make(dpo=-0.3, rounds={"panel": [{"name": "easy", "problems": sums("dev", 20, seed=3)}]}))
    assert story(rows) == [(0, "base", True), (1, "sft", True), (1, "dpo", False), (2, "sft", True), (2, "dpo", False)]
    digests = [models.digest(Path(row["path"])) for row in rows]
    assert before == [set()] * 2 + [set(digests[:2])] * 2, "round by round, and none within a round"
    assert asked_the_test() == {digests[i] for i in (0, 1, 3)}
    assert [row["test_score"] is None for row in rows] == [not row["promoted"] for row in rows]
    rounds_report.picture(rows, lab / "rounds.png")


def test_a_budget_that_ends_before_the_first_evaluation_is_told(make: Callable[..., Run]) -> None:
    run = make(dpo=None, rounds={"budget": {"max_tokens": 10}})
    with pytest.raises(Exhausted):
        rounds.everything(run)
    said = rounds_report.text(rounds_report.latest(run.lake, "loop"))
    assert "no student has been evaluated yet" in said
    assert "the rounds end: budget.max_tokens = 10 is reached" in said


def test_a_set_too_small_to_decide_by_is_warned_about(make: Callable[..., Run], capsys: pytest.CaptureFixture[str]
                                                      ) -> None:
    run = make(rounds={"panel": [{"name": "few", "problems": sums("dev", 5, seed=3)}]})
    with run.lake.writing():
        rounds.load_held_out(run.recipe.json_text(), str(run.lake.folder))
    assert "the gate decides on 'few' with 5 problems" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["dev", "test", "format", "judged"])
def test_a_set_of_the_panel_has_a_name_of_its_own(make: Callable[..., Run], name: str) -> None:
    with pytest.raises(UserError, match=f"rounds.panel has a set '{name}', and that name is taken"):
        make(rounds={"panel": [{"name": name, "problems": sums("dev", 9, seed=3)}]})


@pytest.mark.parametrize("changes", [
    {"rounds": {"dev": sums("test", 50, seed=5)}},
    {"rounds": {"panel": [{"name": "x", "problems": sums("test", 50, seed=5)}]}}])
def test_the_gate_never_decides_on_test_problems(make: Callable[..., Run], changes: dict[str, Any]) -> None:
    run = make(**changes)
    for refuses in (lambda: rounds.everything(run), lambda: check.check(run.recipe)):
        with pytest.raises(UserError, match="split 'test'"):
            refuses()


def test_a_problem_is_either_trained_on_or_held_out(make: Callable[..., Run]) -> None:
    with pytest.raises(UserError, match="problems of round 1 are held out"):
        rounds.everything(make(problems=[sums("dev", 60, seed=0)]))


def test_a_budget_ends_the_rounds_until_it_is_raised(make: Callable[..., Run]) -> None:
    few = {"count": 2, "budget": {"max_tokens": 4000}}
    with pytest.raises(Exhausted, match=r"budget\.max_tokens"):
        rounds.everything(make(dpo=None, rounds=few))
    rows = rounds_report.latest(make().lake, "loop")
    assert rows[-1]["stopped"] and not rows[-1]["promoted"]
    assert "the rounds end" in rounds_report.text(rows)
    assert [row["round"] for row in held(make(dpo=None)) if row["student"]] == [0, 1, 2]


def test_star_starts_from_the_base_and_learns_from_rationalised_traces_without_the_hint(
        make: Callable[..., Run], lab: Path) -> None:
    run = make(dpo=None, generate={"samples": 1}, rounds={"start": "base", "rationalise": True})
    rows = held(run)
    assert [row["made_by"] is not None for row in rows] == [False, True, True]
    lake = run.lake
    told = lake.rows("""SELECT t.id, t.raw, p.prompt FROM run_traces t JOIN problems p ON p.id = t.problem_id
        JOIN steps s ON s.trace_id = t.id AND s.kind = 'rationalisation'""")
    assert told
    assert not any("(The answer is" in row["raw"] + row["prompt"] for row in told)
    leaks = {row["id"] for row in told if row["raw"].startswith("<think>The answer is")}
    dropped = {row[0] for row in lake.sql("SELECT trace_id FROM drops WHERE reason = 'no hint in it'").fetchall()}
    picked = {row[0] for row in lake.sql("SELECT chosen FROM picks").fetchall()}
    assert leaks and leaks == dropped
    assert picked & ({row["id"] for row in told} - leaks)
    bases = [row[0] for row in lake.sql("SELECT base FROM students").fetchall()]
    assert bases == [str(lab / "base")] * 2, "always from the base"


def test_exploring_asks_more_about_what_is_not_solved_and_nothing_else(make: Callable[..., Run]) -> None:
    run = make(dpo=None, generate={"samples": 2}, rounds={"explore": 12, "count": 1})
    rounds.everything(run)
    asked = run.lake.rows("""SELECT t.problem_id, count(*) AS n,
            bool_or(v.status = 'correct' AND t.sample < 2) AS at_once, bool_or(v.status = 'correct') AS solved
        FROM run_traces t JOIN problems p ON p.id = t.problem_id JOIN judged v ON v.trace_id = t.id GROUP BY 1""")
    assert all(row["n"] == 2 for row in asked if row["at_once"])
    later = [row for row in asked if not row["at_once"]]
    assert later and all(row["n"] > 2 for row in later)
    assert all(row["n"] == 12 for row in later if not row["solved"])


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"rounds": None}, r"no \[rounds\]"), ({"evaluate": None}, r"rounds need \[evaluate\]"),
    ({"rounds": {"vary": "sead"}}, "no number of that name"),
    ({"rounds": {"rationalise": True}, "generate": {"strategy": "repair"}}, "after the strategy sample")])
def test_what_rounds_lack_is_one_sentence(make: Callable[..., Run], changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        rounds.everything(make(**changes))


def test_a_student_that_got_worse_is_refused_and_the_report_says_so(make: Callable[..., Run], lab: Path) -> None:
    rows = held(make(dpo=-0.3, rounds={"count": 1}))
    assert story(rows) == [(0, "base", True), (1, "sft", True), (1, "dpo", False)]
    assert "got worse" in rows[2]["reason"] and "on 'dev' (60 problems)" in rows[2]["reason"]
    assert rows[2]["against"] == "sft of round 1"
    assert not rows[2]["stopped"], "the round has a better student all the same"
    said = rounds_report.text(rows)
    for part in ("refused, it got worse", "promoted: +", "loop-r1-sft: 30 problems, 120 traces", "on the test problems",
                 "tokens written for data", "format", "asked with temperature the server's, top_p the server's",
                 "no budget of thinking tokens", "[+0.0%, +0.0%], not significant"):
        assert part in said
    path = rounds_report.picture(rows, lab / "rounds.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert rounds_report.compute(rows) == sorted(rounds_report.compute(rows))


def test_a_recipe_with_rounds_is_the_same_run_without_them(make: Callable[..., Run]) -> None:
    one: Recipe = make().recipe
    assert one.id == one.model_copy(update={"rounds": None}).id


@pytest.mark.parametrize("changes", [{"evaluate": {"problems": sums("test", 9, verifier="majority")}},
                                     {"rounds": {"dev": sums("dev", 9, verifier="majority")}}])
def test_held_out_problems_without_a_reference_are_refused_before_anything_is_bought(
        make: Callable[..., Run], lab: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="held-out problems without a reference"):
        rounds.everything(make(**changes))
    assert not (lab / "lab/asked.txt").exists()


def test_a_reward_that_is_no_reward_model_is_refused_before_it_is_trained(make: Callable[..., Run]) -> None:
    run = make(rounds={"reward": "sft"})
    with pytest.raises(UserError, match=r"rounds\.reward is 'sft', and its trainer 'lab.teach' makes no reward model"):
        check._rounds(run.recipe)


def test_what_varies_has_to_be_a_number_of_the_source(make: Callable[..., Run]) -> None:
    with pytest.raises(UserError, match="no number of that name: did you mean 'seed'"):
        check._rounds(make(rounds={"vary": "seeds"}).recipe)
