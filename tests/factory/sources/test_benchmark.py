"""benchmark: rows as their authors publish them become problems whose own reference passes; faults are one sentence."""

import base64
import gzip
import json
import pickle
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.protocols import BadRow, UserError
from factory.records import Problem
from factory.sources.benchmark import BENCHMARKS, benchmark
from factory.sources.probes import probes
from factory.stages.load import _own_answer
from verifiers.code_tests import missing
from verifiers.lookup import load
from verifiers.pool import Case, Pool

SHARED = Path("/work/shared/data")
SANDBOX = pytest.mark.skipif(bool(missing()), reason="no sandbox here")

SQUARE = {"code": "def square(n):\n    return n * n", "test_list": ["assert square(3) == 9", "assert square(0) == 0"]}
HUMAN = {"task_id": "HumanEval/0", "prompt": "def add(a: int, b: int) -> int:\n    \"\"\" The sum. \"\"\"\n",
         "canonical_solution": "    return a + b\n", "entry_point": "add",
         "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n"}
PACKED = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(
    [{"input": "5", "output": "6", "testtype": "stdin"}])))).decode()
LIVE = {"question_title": "Next", "question_content": "Print n + 1.", "platform": "atcoder", "question_id": "abc1",
        "contest_id": "abc", "contest_date": "2024-08-24T00:00:00", "starter_code": "", "difficulty": "easy",
        "public_test_cases": json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}]),
        "private_test_cases": PACKED, "metadata": "{}"}
ZEBRA = {"id": "lgp-test-2x2-1", "size": "2*2", "puzzle": "There are 2 houses. Eric is in the first one.",
         "solution": {"header": ["House", "Name", "Pet"], "rows": [["1", "Eric", "cat"], ["2", "Arnold", "dog"]]}}

ROWS: dict[str, dict[str, Any]] = {
    "aime24": {"id": 60, "problem": "Find x.", "solution": "…", "answer": "033", "url": "…", "year": "2024"},
    "aime25": {"problem": "Find y.", "answer": "588", "id": "0"},
    "math500": {"problem": "Convert $(0,3)$.", "solution": "…", "answer": "\\left( 3, \\frac{\\pi}{2} \\right)",
                "subject": "Precalculus", "level": 2, "unique_id": "test/precalculus/807.json"},
    "gsm8k": {"question": "How many eggs?", "answer": "16 - 3 = <<16-3=13>>13.\n#### 1,300"},
    "gsm_hard": {"input": "How many?", "code": "def solution(): …", "target": 36.666666666666664},
    "svamp": {"ID": "chal-777", "Body": "There are 87 oranges.", "Question": "How many?", "Equation": "( 290.0 / 2.0 )",
              "Answer": "145.0", "Type": "Common-Division"},
    "gpqa": {"Question": "Which?", "Correct Answer": "gold", "Incorrect Answer 1": "tin", "Incorrect Answer 2": "iron",
             "Incorrect Answer 3": "lead", "High-level domain": "Chemistry", "Record ID": "rec1"},
    "mmlu_pro": {"question_id": 70, "question": "Typical?", "options": [f"option number {i}" for i in range(10)],
                 "answer": "I", "answer_index": 8, "cot_content": "", "category": "business", "src": "…"},
    "commonsense_qa": {"id": "1", "question": "Where is a revolving door?", "question_concept": "revolving door",
                       "choices": {"label": ["A", "B", "C", "D", "E"], "text": ["bank", "shop", "mall", "zoo", "sea"]},
                       "answerKey": "A"},
    "strategy_qa": {"qid": "1", "term": "t", "description": "d", "question": "Is it common?", "answer": True,
                    "facts": "…", "decomposition": []},
    "humaneval": HUMAN, "humaneval_plus": HUMAN,
    "mbpp": {"task_id": 1, "text": "Square a number.", "test_setup_code": "", "challenge_test_list": [], **SQUARE},
    "mbpp_plus": {"task_id": 2, "prompt": "Square a number.", "source_file": "", "test_imports": [],
                  "test": "assert square(4) == 16", **SQUARE},
    "livecodebench": LIVE, "zebralogic": ZEBRA,
    "game24": {"Rank": 1, "Puzzles": "1 1 4 6", "AMT (s)": 4.4, "Solved rate": "99.20%"},
}


def written(folder: Path, *rows: Any, name: str = "rows.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def one(folder: Path, name: str, row: Any, **keys: Any) -> Problem:
    [found] = benchmark(name=name, path=written(folder, row), **keys)
    assert isinstance(found, Problem), found
    return found


NEXT = "```python\nprint(int(input()) + 1)\n```"


def judged(problem: Problem) -> str:
    response = _own_answer(problem) or NEXT  # LiveCodeBench has no solutions
    return load(problem.verifier)(response, problem.reference).status


# -- every benchmark -------------------------------------------------------------------------------------------------


def test_there_is_a_row_in_the_authors_form_for_every_benchmark() -> None:
    assert set(ROWS) == set(BENCHMARKS)


@pytest.mark.parametrize("name", [pytest.param(n, marks=SANDBOX) if BENCHMARKS[n].verifier == "code_tests" else n
                                  for n in BENCHMARKS])
def test_its_own_reference_passes_its_checker_and_is_not_in_the_prompt_as_an_answer(name: str, tmp_path: Path) -> None:
    problem = one(tmp_path, name, ROWS[name])
    assert judged(problem) == "correct"
    assert (problem.source, problem.split, problem.verifier) == (name, "test", BENCHMARKS[name].verifier)
    assert problem.prompt.strip()


@pytest.mark.parametrize(("name", "wrong"), [
    ("aime24", "34"), ("gsm8k", "1301"), ("gsm_hard", "37"), ("svamp", "146"), ("strategy_qa", "no"),
    ("math500", "(3, \\pi)"), ("game24", "1+1+4+6")])
def test_another_answer_is_wrong(name: str, wrong: str, tmp_path: Path) -> None:
    problem = one(tmp_path, name, ROWS[name])
    assert load(problem.verifier)(f"\\boxed{{{wrong}}}", problem.reference).status == "wrong"


def test_references_are_in_the_form_that_a_model_would_write(tmp_path: Path) -> None:
    told = {name: one(tmp_path, name, ROWS[name]).reference for name in ("aime24", "gsm8k", "svamp", "strategy_qa")}
    assert told == {"aime24": "33", "gsm8k": "1300", "svamp": "145", "strategy_qa": "yes"}


def test_what_difficulty_needs_is_kept(tmp_path: Path) -> None:
    assert json.loads(one(tmp_path, "math500", ROWS["math500"]).meta)["level"] == 2
    assert json.loads(one(tmp_path, "zebralogic", ZEBRA).meta)["size"] == "S"
    assert json.loads(one(tmp_path, "livecodebench", LIVE).meta)["difficulty"] == "easy"


def test_tables_of_other_kinds_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Rank,Puzzles\n1,1 1 4 6\n")
    pq.write_table(pa.Table.from_pylist([ROWS["mmlu_pro"]]), tmp_path / "b.parquet")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as file:
        file.write(json.dumps(ROWS["aime25"]))
    for name, file_name in (("game24", "a.csv"), ("mmlu_pro", "b.parquet"), ("aime25", "c.jsonl.gz")):
        [problem] = benchmark(name=name, path=str(tmp_path / file_name))
        assert judged(problem) == "correct"  # type: ignore[arg-type]


NESTED = {"answerKey": "A", "id": "1", "question": {"question_concept": "door", "stem": "Where is a revolving door?",
          "choices": [{"label": label, "text": text} for label, text in zip(
              "ABCDE", ("bank", "shop", "mall", "zoo", "sea"), strict=True)]}}
PUBLISHED: list[tuple[str, str, str, str]] = [
    ("strategy_qa", "strategyqa_train.json", json.dumps([ROWS["strategy_qa"]], indent=2), "yes"),
    ("svamp", "SVAMP.json", json.dumps([{**ROWS["svamp"], "Answer": 145.0}], indent=4), "145"),
    ("commonsense_qa", "dev_rand_split.jsonl", json.dumps(NESTED), "bank"),
    ("aime25", "aime2025-I.jsonl", json.dumps({"question": "The angle?", "answer": "336^\\circ"}), "336"),
    ("aime24", "aime24.jsonl", json.dumps({"problem": "Find x.", "answer": "\\boxed{033}"}), "33"),
    ("mmlu_pro", "test.csv", "question,options,answer\nWhich?,\"['tin', \"\"it's gold\"\"]\",B\n", "it's gold"),
]


@pytest.mark.parametrize(("name", "file", "text", "answer"), PUBLISHED)
def test_files_as_other_authors_publish_them(name: str, file: str, text: str, answer: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text)
    [problem] = benchmark(name=name, path=str(tmp_path / file))
    assert isinstance(problem, Problem), problem
    assert judged(problem) == "correct"
    assert problem.reference == answer or f"\n{problem.reference}) {answer}" in problem.prompt


@pytest.mark.skipif(bool(missing()), reason="no sandbox here")
def test_the_sanitized_file_of_mbpp_is_one_array(tmp_path: Path) -> None:
    row = {"source_file": "", "task_id": 2, "prompt": "Square a number.", "test_imports": [], **SQUARE}
    (tmp_path / "sanitized-mbpp.json").write_text(json.dumps([row, row], indent=1))
    found = list(benchmark(name="mbpp", path=str(tmp_path / "sanitized-mbpp.json")))
    assert [judged(problem) for problem in found if isinstance(problem, Problem)] == ["correct"] * 2


def test_the_usual_place_on_the_hub_is_asked_where_no_file_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("factory.sources.hugging_face._open",
                        lambda *given: asked.append(given) or iter([ROWS["gsm8k"]]))
    assert len(list(benchmark(name="gsm8k"))) == 1
    assert asked == [("openai/gsm8k", "main", "test", True, None)]


def test_without_a_network_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")
    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(UserError, match="the dataset 'HuggingFaceH4/MATH-500' cannot be opened"):
        list(benchmark(name="math500"))


# -- options ---------------------------------------------------------------------------------------------------------


def rows_of_choices(n: int) -> list[dict[str, Any]]:
    return [{**ROWS["gpqa"], "Question": f"Which of them is number {i}?"} for i in range(n)]


def test_options_are_shuffled_by_a_fixed_seed(tmp_path: Path) -> None:
    path = written(tmp_path, *rows_of_choices(40))
    first, again, other = (list(benchmark(name="gpqa", path=path, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    places = Counter(problem.reference for problem in first if isinstance(problem, Problem))
    assert set(places) == set("ABCD"), "the right one is not always first"
    for problem in first:
        assert isinstance(problem, Problem)
        assert f"\n{problem.reference}) gold" in problem.prompt


def test_the_order_of_one_problem_does_not_depend_on_the_others(tmp_path: Path) -> None:
    rows = rows_of_choices(6)
    all_of_them = list(benchmark(name="gpqa", path=written(tmp_path, *rows)))
    [last] = benchmark(name="gpqa", path=written(tmp_path, rows[-1]))
    assert last == all_of_them[-1]


def test_an_option_with_the_text_of_the_right_one_is_left_out(tmp_path: Path) -> None:
    problem = one(tmp_path, "gpqa", {**ROWS["gpqa"], "Incorrect Answer 2": "gold "})
    assert problem.prompt.count(") gold") == 1
    assert f"\n{problem.reference}) gold" in problem.prompt
    assert "D)" not in problem.prompt


@pytest.mark.parametrize("option", ["All of the above", "Both A and B", "none of these", "Options (A) and (C) only"])
def test_options_that_speak_of_others_keep_the_order(option: str, tmp_path: Path) -> None:
    row = {**ROWS["mmlu_pro"], "options": ["one", "two", "three", option], "answer": "D", "answer_index": 3}
    for seed in range(5):
        assert one(tmp_path, "mmlu_pro", row, seed=seed).reference == "D"


@pytest.mark.parametrize(("name", "change", "says"), [
    ("mmlu_pro", {"options": []}, "there are no options"),
    ("mmlu_pro", {"options": None}, "there are no options"),
    ("mmlu_pro", {"options": ["one", "two"], "answer_index": 8}, "none of the 2 options"),
    ("gpqa", {"Incorrect Answer 2": ""}, "'wrong 2' is missing or empty"),
    ("commonsense_qa", {"answerKey": "F"}, "none of the 5 options"),
    ("commonsense_qa", {"choices": "[broken"}, "no JSON"),
    ("aime24", {"answer": "1000"}, "no whole number from 0 to 999"),
    ("gsm8k", {"answer": "so ####"}, "ends at ####"),
    ("gsm8k", {"question": None}, "'question' is missing or empty"),
    ("gsm_hard", {"target": "many"}, "is no number"),
    ("gsm_hard", {"target": "inf"}, "the answer is inf"),
    ("strategy_qa", {"answer": "perhaps"}, "is not yes or no"),
    ("mbpp", {"test_list": []}, "there is no test to show"),
    ("zebralogic", {"solution": {"header": ["House", "Name"], "rows": [["___", "___"], ["___", "___"]]}}, "is hidden"),
    ("game24", {"Puzzles": "four sevens"}, "is no hand"),
])
def test_a_bad_row_is_data_and_says_why(name: str, change: dict[str, Any], says: str, tmp_path: Path) -> None:
    good = ROWS[name]
    found = list(benchmark(name=name, path=written(tmp_path, {**good, **change}, good)))
    assert isinstance(found[0], BadRow)
    assert says in found[0].reason
    assert found[0].where.endswith("rows.jsonl line 1")
    assert isinstance(found[1], Problem)


# -- bad input -------------------------------------------------------------------------------------------------------


def test_an_unknown_name_says_the_right_one() -> None:
    with pytest.raises(UserError, match="no name 'math-500': did you mean 'math500'"):
        list(benchmark(name="math-500"))


def test_a_file_without_the_column_says_what_it_has(tmp_path: Path) -> None:
    path = written(tmp_path, {"task": "1 + 1?", "answer": "2"})
    with pytest.raises(UserError, match=r"has no column 'problem', the question of math500.*it has task, answer"):
        list(benchmark(name="math500", path=path))
    [problem] = benchmark(name="math500", path=path, columns={"question": "task"})
    assert isinstance(problem, Problem)
    with pytest.raises(UserError, match="columns has no field 'prompt' for math500: use question, answer"):
        list(benchmark(name="math500", path=path, columns={"prompt": "task"}))


def test_an_empty_file_and_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is empty"):
        list(benchmark(name="gsm8k", path=written(tmp_path)))
    with pytest.raises(UserError, match="there is no file"):
        list(benchmark(name="gsm8k", path=str(tmp_path / "no.jsonl")))


def test_the_window_of_dates(tmp_path: Path) -> None:
    days = ("2024-07-31", "2024-08-01", "2024-11-30", "2024-12-01")
    path = written(tmp_path, *({**LIVE, "question_content": day, "contest_date": f"{day}T00:00:00"} for day in days))
    found = list(benchmark(name="livecodebench", path=path, after="2024-08-01", before="2024-12-01"))
    assert [json.loads(p.meta)["contest_date"] for p in found if isinstance(p, Problem)] == ["2024-08-01", "2024-11-30"]
    for keys, says in (({"after": "August"}, "write a day as 2024-08-01"), ({"limit": 0}, "limit is 0")):
        with pytest.raises(UserError, match=says):
            list(benchmark(name="livecodebench", path=path, **keys))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="gsm8k has no dates"):
        list(benchmark(name="gsm8k", path=path, before="2024-08-01"))


# -- 24, made here ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_1362_hands_that_make_24_are_there_and_each_can_be_solved() -> None:
    hands = [p for p in benchmark(name="game24") if isinstance(p, Problem)]
    assert len(hands) == 1362
    with Pool(workers=2) as pool:
        verdicts = pool.map(Case(p.verifier, _own_answer(p) or "", p.reference) for p in hands)
        assert {verdict.status for verdict in verdicts} == {"correct"}


# -- probes ----------------------------------------------------------------------------------------------------------


def test_probes_are_right_by_their_own_reference_and_of_every_family() -> None:
    found = list(probes(count=80))
    counts = Counter(p.verifier for p in found)  # one that repeats another is left out
    assert set(counts) == {"letter_count", "decimal_compare", "math_equal", "number_game"}
    assert min(counts.values()) >= 15
    assert [p for p in found if judged(p) != "correct"] == []
    assert len({p.prompt for p in found}) == 80


def test_probes_are_the_same_for_a_release_and_fresh_for_the_next() -> None:
    first, again, later = (list(probes(count=60, release=release)) for release in ("1.0.0", "1.0.0", "1.1.0"))
    assert first == again
    arithmetic = [{p.prompt for p in found if p.verifier != "number_game"} for found in (first, later)]
    assert len(arithmetic[0] & arithmetic[1]) <= 2
    assert '"release"' in next(iter(probes(count=4))).meta


def test_bad_probes_are_one_sentence() -> None:
    with pytest.raises(UserError, match="no family 'letter': did you mean 'letters'"):
        list(probes(families=["letter"]))
    with pytest.raises(UserError, match="levels from 1 to 6"):
        list(probes(levels=[7]))
    with pytest.raises(UserError, match="only about"):
        list(probes(families=["game24"], levels=[1], count=500))


# -- against what is shared, where it is there -----------------------------------------------------------------------

SETS = {"math500": "problems/math500", "gsm8k": "problems/gsm8k_test", "svamp": "problems/svamp",
        "commonsense_qa": "problems/commonsenseqa_dev", "strategy_qa": "problems/strategyqa",
        "game24": "problems/game24"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not there")
@pytest.mark.parametrize("name", SETS)
def test_real_rows_become_problems_whose_reference_passes(name: str) -> None:
    found = list(benchmark(name=name, path=str(SHARED / f"{SETS[name]}.jsonl.gz"), limit=100))
    good = [p for p in found if isinstance(p, Problem)]
    assert (len(good), len(found)) == (100, 100)
    with Pool(workers=2) as pool:
        cases = (Case(p.verifier, _own_answer(p) or "", p.reference) for p in good)
        assert {verdict.status for verdict in pool.map(cases)} == {"correct"}


def test_gpqa_is_shuffled_also_where_an_option_has_a_word_of_place() -> None:
    from factory.sources import _benchmark_rows

    row = {"seed": 0, "right": "above 300 K", "wrong 1": "below 1 K", "wrong 2": "none of the above", "wrong 3": "5 K"}
    assert {_benchmark_rows.gpqa({**row, "question": f"q{i}"})[1] for i in range(40)} == set("ABCD")


def test_files_by_a_pattern_are_read_as_those_of_live_code_bench_are(tmp_path: Path) -> None:
    from factory.sources import hugging_face

    for n in ("", "2"):
        (tmp_path / f"test{n}.jsonl").write_text(json.dumps({"question_content": f"q{n}"}) + "\n")
    read = hugging_face.read(f"{tmp_path}/test*.jsonl", None, "train", True, None)
    assert {one[1]["question_content"] for one in read if not isinstance(one, BadRow)} == {"q", "q2"}


def test_files_on_the_hub_are_read_at_the_revision_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()
    monkeypatch.setattr("datasets.load_dataset", lambda kind, data_files, **_: asked.append(data_files) or [LIVE])
    for revision in (None, "0abc"):
        list(benchmark(name="livecodebench", revision=revision))
    assert asked == [f"hf://datasets/livecodebench/code_generation_lite{at}/test*.jsonl" for at in ("", "@0abc")]
