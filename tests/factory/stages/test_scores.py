"""scores: every metric of an evaluation is a row; nothing is claimed without significance; curves are bought once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import validate
from factory.run import Run
from factory.stages import evaluate, load, scores
from factory.stages.samples import Samples, one_writing, read
from tests.factory.stages.test_evaluate import STUDENT

Make = Callable[..., Run]

# Writes "it is N", and the longer it thinks the more often N is right; a token is a character.
THINKER = '''
import random, zlib
from pathlib import Path
from factory.records import Completion
from factory.teachers.scripted import Scripted

END, EOS = 0, 1

class Thinker(Scripted):
    def __init__(self, model, sampling):
        super().__init__(dict(accuracy=0.5, truncation=0, failure=0, repetition=0, mixing=0), 0.0, 0, 8, {}, 0)
        self.identity = {"plugin": "thinker", "model": Path(model).name, "sampling": dict(sampling)}
        self.log = Path(model).with_name("started.txt")
    async def __aenter__(self):
        with self.log.open("a") as log:
            log.write("x")
        return self
    async def context(self, **_):
        return 4000
    async def encode(self, text, session=""):
        text = text if isinstance(text, str) else "".join(m["content"] for m in text)
        ids = []
        for i, piece in enumerate(text.split("</think>")):
            ids += ([END] if i else []) + [ord(c) for c in piece]
        return ids
    async def complete(self, tokens, seed, session="", max_tokens=100, **limits):
        said = "".join(chr(t) for t in tokens)
        thought = said.count("hmm ")
        if END not in tokens:
            body = ("hmm " * 1000)[:max_tokens]
            return Completion("", body, body, "length", len(tokens), max_tokens, tokens=(*tokens, *map(ord, body)))
        a, b = said.partition("Compute ")[2].partition(".")[0].split(" * ")
        right = random.Random(f"{seed}{a}{b}").random() < min(0.95, 0.1 + thought / 40)
        body = "\\\\boxed{%d}" % (int(a) * int(b) + (not right))
        return Completion("", body, body, "stop", len(tokens), len(body), tokens=(*tokens, *map(ord, body), EOS))

def thinker(*, model: str, sampling: dict = {}):
    return Thinker(model, sampling)
'''
HELD_OUT = [(f"Compute {a} * {b}.", str(a * b)) for a in range(2, 12) for b in range(2, 8)]


@pytest.fixture
def run_of(make_run: Make, private: Callable[[str, str], str], source: Callable[..., dict[str, Any]],
           tmp_path: Path) -> Callable[..., Run]:
    """A loaded run whose students `a` and `b` start from the model of 20 per cent."""
    def make(code: str = STUDENT, rows: Any = HELD_OUT, **keys: Any) -> Run:
        name = "thinker" if code == THINKER else "student"
        students = [{"name": n, "base": str(tmp_path / "20"), "dataset": "d", "trainer": "sft"} for n in ("a", "b")]
        problems = keys.pop("problems", None) or source(rows, name="held_out")
        made = make_run(
            datasets=[{"name": "d", "selector": "shortest", "emitter": "sft"}], students=students,
            measures=keys.pop("measures", []),
            evaluate={"problems": problems, "teacher": {"plugin": private(name, code), **keys.pop("teacher", {})},
                      "samples": 4, **keys})
        load.load(made)
        return made
    return make


def told(run: Run, **where: Any) -> list[dict[str, Any]]:
    asked = " AND ".join(f'"{name}" IS NOT DISTINCT FROM ${i}' for i, name in enumerate(where, 1))
    return run.lake.rows(f"SELECT * FROM scores WHERE {asked} ORDER BY k", list(where.values()))


# -- rows ------------------------------------------------------------------------------------------------------------


def test_every_metric_is_a_row_with_its_interval_and_how_it_was_asked(run_of: Callable[..., Run], tmp_path: Path
                                                                      ) -> None:
    run = run_of()
    [base, better] = evaluate.evaluate(run, {"a": tmp_path / "90"})
    for metric in ("pass", "consensus", "bayes_risk"):
        found = told(run, evaluation=better["id"], metric=metric, slice="")
        assert [row["k"] for row in found] == [1, 2, 4]
        for row in found:
            assert row["low"] <= row["value"] <= row["high"]
            assert (row["n"], row["samples"], row["part"]) == (60, 4, "held-out")
    passes = [row["value"] for row in told(run, evaluation=base["id"], metric="pass", slice="")]
    assert passes[0] == pytest.approx(base["pass_at_1"])
    assert passes == sorted(passes)
    assert told(run, evaluation=base["id"], metric="consensus", k=1)[0]["value"] == pytest.approx(base["pass_at_1"])
    assert not told(run, metric="best"), "there is no score to choose by"


def test_models_are_compared_in_pairs_on_the_same_problems(run_of: Callable[..., Run], tmp_path: Path) -> None:
    run = run_of()
    base, a, b = evaluate.evaluate(run, {"a": tmp_path / "90", "b": tmp_path / "20"})
    [gain] = told(run, evaluation=b["id"], metric="gain", slice="", against="a")
    assert gain["value"] == pytest.approx(b["pass_at_1"] - a["pass_at_1"])
    assert gain["high"] < 0
    assert gain["p"] < 0.001
    [none] = told(run, evaluation=b["id"], metric="gain", slice="", against="20 (base)")
    assert (none["value"], none["p"]) == (0, 1)
    assert (a["gain_p"] < 0.001, b["gain_p"], base["gain_p"]) == (True, 1, None)


def test_the_best_of_k_is_chosen_by_the_measure_that_the_recipe_names(run_of: Callable[..., Run], tmp_path: Path,
                                                                       private: Callable[[str, str], str]) -> None:
    says = "return float(problem.reference in trace.completion.raw)"
    oracle = private("oracle", f"def oracle(problem, trace):\n    {says}\n")
    run = run_of(score="knows", measures=[{"plugin": oracle, "name": "knows"}])
    [base] = evaluate.evaluate(run, {})
    best, passes = (told(run, evaluation=base["id"], metric=name, slice="") for name in ("best", "pass"))
    assert [row["by"] for row in best] == ["knows"] * 3
    assert best[-1]["value"] >= passes[0]["value"]
    assert best[0]["value"] == pytest.approx(passes[0]["value"])
    assert run.lake.value("SELECT count(*) FROM measurements") == 240


def test_a_further_model_that_is_named_twice_is_evaluated_once(run_of: Callable[..., Run], tmp_path: Path) -> None:
    run = run_of(models=[str(tmp_path / "90")] * 2)
    assert [row["model"] for row in evaluate.evaluate(run, {})] == ["20 (base)", str(tmp_path / "90")]


def test_a_score_that_no_trace_has_is_one_sentence(run_of: Callable[..., Run]) -> None:
    run = run_of(score="log_probability")
    with pytest.raises(UserError, match="set logprobs = true"):
        evaluate.evaluate(run, {})


def test_difficulty_and_source_are_slices(run_of: Callable[..., Run], tmp_path: Path) -> None:
    file = tmp_path / "levels.jsonl"
    file.write_text("".join(json.dumps({"prompt": p, "reference": r, "level": i % 3, "source": f"s{i % 2}"}) + "\n"
                            for i, (p, r) in enumerate(HELD_OUT)))
    run = run_of(problems={"plugin": "jsonl", "path": str(file), "meta": ["level"], "verifier": "exact_match"})
    [base] = evaluate.evaluate(run, {})
    found = {row["slice"]: row["n"] for row in told(run, evaluation=base["id"], metric="pass", k=1)}
    assert found == {"": 60, "level 0": 20, "level 1": 20, "level 2": 20, "source s0": 30, "source s1": 30}


def test_a_difficulty_may_be_a_word(run_of: Callable[..., Run], tmp_path: Path) -> None:
    file = tmp_path / "words.jsonl"
    words = ("Easy", "hard", "easy", "")
    file.write_text("".join(json.dumps({"prompt": p, "reference": r, "difficulty": words[i % 4]}) + "\n"
                            for i, (p, r) in enumerate(HELD_OUT)))
    run = run_of(problems={"plugin": "jsonl", "path": str(file), "meta": ["difficulty"], "verifier": "exact_match"})
    [base] = evaluate.evaluate(run, {})
    found = {row["slice"]: row["n"] for row in told(run, evaluation=base["id"], metric="pass", k=1)}
    assert found == {"": 60, "difficulty easy": 30, "difficulty hard": 15}


def test_names_that_are_no_difficulties_make_no_slices() -> None:
    assert scores._by_word([f"subject {i}" for i in range(scores.MOST_NAMES + 1)]) == {}
    assert list(scores._by_word(["S", "XL", "S"])) == ["s", "xl"]
    assert list(scores._by_number(["Level 3", "3", "Level 5", "?"])) == ["3", "5"]


def test_a_grid_that_is_wrong_as_a_whole_has_a_share_of_right_cells(
        run_of: Callable[..., Run], source: Callable[..., dict[str, Any]]) -> None:
    right, said = ({"House 1": {"Name": "Eric", "Pet": "cat"}, "House 2": {"Name": "Bob", "Pet": pet}}
                   for pet in ("dog", "cat"))
    puzzler = STUDENT.replace("return await super().ask(messages, seed)",
                              f"from factory.records import Completion\n        text = {json.dumps(said)!r}\n        "
                              'return Completion("", text, text, "stop", 5, 5)')
    run = run_of(puzzler, problems=source([("Who?", json.dumps(right))], name="grids", verifier="zebra"))
    [base] = evaluate.evaluate(run, {})
    [row] = told(run, evaluation=base["id"], metric="cells")
    assert (base["pass_at_1"], row["value"], row["n"], row["k"]) == (0, 0.75, 1, 1)


def test_where_no_difficulty_is_stated_it_is_how_often_the_base_is_right(run_of: Callable[..., Run], tmp_path: Path
                                                                         ) -> None:
    run = run_of()
    base, a = evaluate.evaluate(run, {"a": tmp_path / "90"})
    assert [row["slice"] for row in told(run, evaluation=base["id"], metric="pass", k=1)] == [""]
    parts = [row for row in told(run, evaluation=a["id"], metric="pass", k=1) if row["slice"]]
    assert [row["slice"] for row in told(run, evaluation=a["id"], metric="gain")] == [""], "the base's luck is no gain"
    assert sum(row["n"] for row in parts) == 60
    assert all(row["slice"].startswith("base solves") for row in parts)


def test_risk_is_told_by_coverage(run_of: Callable[..., Run]) -> None:
    run = run_of()
    [base] = evaluate.evaluate(run, {})
    risks = {row["slice"]: row for row in told(run, evaluation=base["id"], metric="risk")}
    [consensus] = told(run, evaluation=base["id"], metric="consensus", k=4)
    assert risks["coverage 100%"]["value"] == pytest.approx(1 - consensus["value"])
    [area] = told(run, evaluation=base["id"], metric="aurc")
    assert area["low"] <= area["value"] <= area["high"]
    assert area["by"] == "share of the vote"


def test_two_writings_are_one_answer_where_the_verifier_can_tell(make_run: Make) -> None:
    none = np.zeros((2, 5))
    found = Samples(
        problems=["p"] * 2, meta=["{}"] * 2, source=[""] * 2, verifier=["math_equal", "exact_match"], right=none,
        undecided=none, tokens=none, thinking=none, confidence=none, score=none, share=none,
        answers=[["0.5", "1/2", "\\frac{1}{2}", "3", None], ["0.5", "1/2", "0.5", "3", None]], responses=[])
    run = make_run()
    first, second = one_writing(found, run.recipe.verify)
    assert len({first[0], first[1], first[2]}) == 1
    assert (first[3], first[4]) == ("3", None)
    assert second == ["0.5", "1/2", "0.5", "3", None]


def test_what_is_chosen_among_samples_is_the_same_when_every_reference_is_another_text(
        run_of: Callable[..., Run], private: Callable[[str, str], str]) -> None:
    """Gold-blindness of every way to choose: what it gives each sample does not look at a reference."""
    longest = private("size", "def size(problem, trace):\n    return float(len(trace.completion.raw))")
    run = run_of(score=longest)
    evaluate.evaluate(run, {})
    teacher = run.lake.value("SELECT teacher FROM evaluations")
    before = chosen(run, teacher)
    rows = run.lake.rows("SELECT * FROM problems")
    for part in (run.lake.folder / "tables/problems").glob("*.parquet"):
        if "schema" not in part.name:
            part.unlink()
    run.lake.append("problems", [dict(row, reference=f"nonsense {i * 7919}") for i, row in enumerate(rows)])
    assert chosen(run, teacher) == before
    assert set(json.loads(before)) == set(scores._CHOICES)


def chosen(run: Run, teacher: str) -> str:
    """The chance of each sample to be chosen, by each way to choose and each k, as JSON."""
    job = evaluate.Job(run, "evaluate", evaluate.make_teacher(run.recipe.evaluate.teacher.with_params(
        model=str(Path(run.lake.value("SELECT path FROM evaluations"))))), evaluate.Generate.model_validate(
            {"samples": 4}))
    found = read(run, job)
    assert job.keys[0] == teacher
    answers = one_writing(found, run.recipe.verify)
    chances: dict[str, Any] = {}
    for name, ask in scores._CHOICES.items():
        chances[name] = []
        for i in range(0, len(found.problems), 7):
            for k in (1, 2, 4):
                for sample in range(4):
                    found.right[i] = [float(sample == other) for other in range(4)]
                    chances[name].append(ask(found, answers[i], i, k))
    return json.dumps(chances)


# -- what is refused, and what is warned about -----------------------------------------------------------------------


@pytest.mark.parametrize(("keys", "says"), [
    ({"teacher": {"plugin": "scripted", "sampling": {"prompt_logprobs": 1}}}, "teacher-forced"),
    ({"teacher": {"plugin": "scripted", "sampling": {"extra_body": {"echo": True}}}}, "teacher-forced"),
    ({"teacher": {"plugin": "recorded", "path": "x"}}, "answers that the model itself writes"),
    ({"accuracy": "log_probability"}, "never a log-probability of the reference"),
    ({"samples": 4, "k": [8]}, "k has 8 and evaluate.samples is 4"),
    ({"samples": 4, "k": [0]}, "k has 0"),
    ({"curves": {}}, "has no point"),
    ({"curves": {"k": [8], "samples": 4}}, "k = 8 and samples = 4"),
    ({"curves": {"budgets": [0]}}, "below 1"),
])
def test_what_cannot_be_an_evaluation_is_one_sentence(keys: dict[str, Any], says: str) -> None:
    values = {"name": "x", "problems": ["worlds"], "teacher": "scripted",
              "evaluate": {"problems": "worlds", "teacher": "scripted", **keys}}
    with pytest.raises(UserError, match=says):
        validate(values, "the test")


def test_a_base_that_solves_nearly_all_is_warned_about(run_of: Callable[..., Run], tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(models=[str(tmp_path / "90")])
    evaluate._evaluated(run, [])
    assert capsys.readouterr().err == ""
    evaluate.evaluate(run, {})
    assert "take harder ones" not in capsys.readouterr().err
    easy = run_of(models=[str(tmp_path / "100")], samples=1)
    easy = Run(easy.recipe.model_copy(update={"students": []}), easy.lake)
    easy.register()
    load.load(easy)
    evaluate.evaluate(easy, {})
    assert "solves 100.0% of the held-out problems before any training" in capsys.readouterr().err


def test_held_out_problems_without_a_reference_are_refused(run_of: Callable[..., Run], source: Callable[..., Any]
                                                           ) -> None:
    with pytest.raises(UserError, match="problems without a reference"):
        run_of(problems=source([("Say something.", "")], name="open", verifier="majority"))


def test_who_evaluates_what_was_never_loaded_is_told_to_run_first(run_of: Callable[..., Run], lake: Lake) -> None:
    run = run_of()
    with pytest.raises(UserError, match="`cot run` the recipe first"):
        evaluate.evaluate(Run(run.recipe, lake.__class__(lake.folder.parent / "other")), {})


def test_with_no_model_to_evaluate_it_is_said(run_of: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of()
    bare = Run(run.recipe.model_copy(update={"students": []}), run.lake)
    load.load(bare)
    assert evaluate.evaluate(bare, {}) == []
    assert "there is no model to evaluate: add [[students]]" in capsys.readouterr().err


# -- contamination ---------------------------------------------------------------------------------------------------


def test_held_out_problems_that_meet_the_training_data_are_counted_and_left_out_of_a_second_figure(
        run_of: Callable[..., Run], tmp_path: Path) -> None:
    told_in_training = "A farmer has three red barns and seven white goats in his yard. How many animals does he have?"
    run = run_of(rows=[(told_in_training + " Think.", "7"), *HELD_OUT])
    _trained_on(run, told_in_training)
    base, a = evaluate.evaluate(run, {"a": tmp_path / "90"})
    assert (base["contaminated"], a["contaminated"]) == (None, 1)
    [pair] = run.lake.rows("SELECT * FROM contamination WHERE kind = 'evaluated'")
    assert pair["benchmark"] == "training data of a"
    assert (pair["text"], pair["benchmark_text"]) == (told_in_training + " Think.", told_in_training)
    assert a["clean_pass_at_1"] >= a["pass_at_1"], "the scripted student cannot solve the story"
    evaluate.evaluate(run, {"a": tmp_path / "90"})
    assert run.lake.value("SELECT count(*) FROM contamination") == 1


def test_a_problem_of_the_same_template_with_other_numbers_was_not_met_and_the_same_one_was(
        run_of: Callable[..., Run], tmp_path: Path) -> None:
    def story(a: int, b: int) -> str:
        return f"A farmer has {a} red barns and {b} white goats in his yard. How many animals does he have?"
    run = run_of(rows=[(story(3, 7), "7"), (story(5, 7), "7"), (story(7, 5), "5"), *HELD_OUT])
    _trained_on(run, story(5, 7) + " Think.")
    _, a = evaluate.evaluate(run, {"a": tmp_path / "90"})
    found = run.lake.rows("SELECT text FROM contamination WHERE kind = 'evaluated' ORDER BY text")
    assert [row["text"] for row in found] == [story(5, 7), story(7, 5)], "the same numbers in another order count too"
    assert a["contaminated"] == 2


def test_what_the_model_was_trained_on_that_a_student_started_from_counts_too(run_of: Callable[..., Run], tmp_path: Path
                                                                              ) -> None:
    told_in_training = "A farmer has three red barns and seven white goats in his yard. How many animals does he have?"
    run = run_of(rows=[(told_in_training + " Think.", "7"), *HELD_OUT])
    _trained_on(run, told_in_training)
    run.lake.append("datasets", [dict(id="b1-e", selection="b1-none", run_id=run.id, name="e", rows=1, created="1")])
    run.lake.append("students", [dict(id="b1-b", run_id=run.id, name="b", dataset="b1-e", path=str(tmp_path / "20"),
                                      base=str(tmp_path / "90"), created="1")])
    _, b = evaluate.evaluate(run, {"b": tmp_path / "20"})
    assert b["contaminated"] == 1


def _trained_on(run: Run, prompt: str) -> None:
    """The student `a` was trained on one trace about the prompt."""
    run.lake.append("problems", [dict(id="b1-trained", prompt=prompt, reference="7", verifier="exact_match")])
    run.lake.append("traces", [dict(id="b1-trace", problem_id="b1-trained", teacher="{}", strategy="{}", sample=0,
                                    raw="Seven goats.")])
    run.lake.append("picks", [dict(id="b1-pick", selection="b1-s", run_id=run.id, dataset="d", problem_id="b1-trained",
                                   chosen="b1-trace")])
    run.lake.append("datasets", [dict(id="b1-d", selection="b1-s", run_id=run.id, name="d", rows=1, created="1")])
    run.lake.append("students", [dict(id="b1-a", run_id=run.id, name="a", dataset="b1-d", path=str(
        run.lake.folder.parent / "90"), created="1")])


# -- curves ----------------------------------------------------------------------------------------------------------


CURVES = {"budgets": [8, 40, 160], "k": [1, 2, 4], "samples": 4, "forcing": {"waits": 0, "answer_tokens": 40}}


def test_a_curve_has_a_point_for_each_budget_and_k_and_each_is_bought_once(run_of: Callable[..., Run], tmp_path: Path
                                                                           ) -> None:
    run = run_of(THINKER, HELD_OUT[:30], curves=CURVES)
    [base] = evaluate.evaluate(run, {})
    points = run.lake.rows("SELECT * FROM scores WHERE part = 'curve' AND budget IS NOT NULL ORDER BY budget")
    assert [(row["budget"], row["metric"], row["samples"]) for row in points] == [
        (8, "pass", 4), (40, "pass", 4), (160, "pass", 4)]
    assert points[0]["high"] < points[2]["low"], "more thinking is better for this student"
    assert [row["thinking"] for row in points] == [8, 40, 160]
    assert [row["k"] for row in told(run, part="curve", metric="consensus")] == [1, 2, 4]
    assert {row["evaluation"] for row in told(run, part="curve")} == {base["id"]}
    assert (tmp_path / "started.txt").read_text() == "x", "one server for all points"
    counts = [run.lake.value(f"SELECT count(*) FROM {table}") for table in ("traces", "scores")]
    evaluate.evaluate(run, {})
    assert [run.lake.value(f"SELECT count(*) FROM {table}") for table in ("traces", "scores")] == counts
    assert counts[0] == 30 * 4 * 4


def test_another_sampling_for_the_curves_is_asked_of_a_teacher_of_its_own(run_of: Callable[..., Run]) -> None:
    run = run_of(THINKER, HELD_OUT[:5], teacher={"sampling": {"temperature": 0.0, "max_tokens": 90}}, samples=1,
                 curves={"k": [1, 2], "sampling": {"temperature": 0.8}})
    [base] = evaluate.evaluate(run, {})
    assert (base["temperature"], base["top_p"], base["max_tokens"]) == (0.0, None, 90)
    assert {(row["temperature"], row["max_tokens"]) for row in told(run, part="curve")} == {(0.8, 90)}


def test_default_k_are_the_powers_of_two_and_all() -> None:
    assert [scores.default_k(n) for n in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]
