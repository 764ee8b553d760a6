"""Public benchmarks by name, each with its prompt and its checker, from the Hugging Face hub or a local file.

    { plugin = "benchmark", name = "math500" }
    { plugin = "benchmark", name = "gpqa", path = "gpqa_diamond.csv", seed = 0 }

A local file (JSON lines or one array, CSV, Parquet; `.gz`) has the columns that the authors publish; `columns` names
others. Options are in an order of their own that `seed` decides. They are test sets: name them in `[decontaminate]`
too.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations_with_replacement, islice
from pathlib import Path
from typing import Any

from factory.columns import Item, existing_file
from factory.plugins import did_you_mean
from factory.protocols import BadRow, UserError
from factory.records import Problem
from factory.sources import _benchmark_rows as rows
from factory.sources import csv_file, hugging_face, jsonl, parquet
from verifiers.number_game import solution

HEAD = 100
"""So many rows are looked at before a column is called missing."""


@dataclass(frozen=True)
class Benchmark:
    """Where it is on the hub, how a row is made into a problem, and what checks the answer.

    `needs` and `may` are our fields with the columns that may hold them, of which the first that is there counts; `may`
    is optional.
    """

    dataset: str
    split: str
    make: Callable[[rows.Fields], rows.Made]
    verifier: str
    domain: str
    licence: str
    needs: Mapping[str, tuple[str, ...]]
    may: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    config: str | None = None


_QUESTION = ("problem", "question", "Problem", "Question")
_ANSWER = ("answer", "Answer")
_LEVEL = {"level": ("level", "Level"), "subject": ("subject", "Subject", "type")}
_AIME: dict[str, Any] = dict(make=rows.aime, verifier="math_equal", domain="math", licence="",
                             needs={"question": _QUESTION, "answer": _ANSWER}, may={"year": ("year",)})
_HUMAN_EVAL: dict[str, Any] = dict(
    make=rows.human_eval, verifier="code_tests", domain="code", split="test",
    needs={"prompt": ("prompt", "problem"), "test": ("test", "tests")},
    may={"entry_point": ("entry_point",), "canonical_solution": ("canonical_solution",), "tests": ("tests",),
         "solution": ("answer",)})
_MBPP: dict[str, Any] = dict(
    make=rows.mbpp, verifier="code_tests", domain="code", split="test",
    needs={"prompt": ("prompt", "text", "problem"), "test_list": ("test_list", "tests")},
    may={"test_setup_code": ("test_setup_code",), "test_imports": ("test_imports",), "code": ("code",),
         "tests": ("tests",), "solution": ("answer",)})

BENCHMARKS: dict[str, Benchmark] = {
    "aime24": Benchmark("HuggingFaceH4/aime_2024", "train", **_AIME),
    "aime25": Benchmark("math-ai/aime25", "test", **_AIME),
    "math500": Benchmark("HuggingFaceH4/MATH-500", "test", rows.math_problem, "math_equal", "math", "mit",
                         {"question": _QUESTION, "answer": _ANSWER}, _LEVEL),
    "gsm8k": Benchmark("openai/gsm8k", "test", rows.gsm8k, "math_equal", "math", "mit",
                       {"question": ("question", "problem"), "answer": _ANSWER}, config="main"),
    "gsm_hard": Benchmark("reasoning-machines/gsm-hard", "train", rows.gsm_hard, "float_close", "math", "mit",
                          {"question": ("input", "question", "problem"), "answer": ("target", "answer")}),
    "svamp": Benchmark("ChilleD/SVAMP", "test", rows.svamp, "math_equal", "math", "mit",
                       {"question": ("Question", "question", "problem"), "answer": ("Answer", "answer")},
                       {"body": ("Body", "body"), "type": ("Type",)}),
    "gpqa": Benchmark("Idavidrein/gpqa", "train", rows.gpqa, "multiple_choice", "science", "cc-by-4.0",
                      {"question": ("Question", "question"), "right": ("Correct Answer",),
                       **{f"wrong {n}": (f"Incorrect Answer {n}",) for n in (1, 2, 3)}},
                      {"subject": ("High-level domain",)}, config="gpqa_diamond"),
    "mmlu_pro": Benchmark("TIGER-Lab/MMLU-Pro", "test", rows.mmlu_pro, "multiple_choice", "knowledge", "mit",
                          {"question": ("question",), "options": ("options",), "answer": ("answer",)},
                          {"place": ("answer_index",), "subject": ("category",)}),
    "commonsense_qa": Benchmark("tau/commonsense_qa", "validation", rows.commonsense_qa, "multiple_choice",
                                "commonsense", "mit", {"question": ("question", "problem"), "choices": ("choices",),
                                                       "answer": ("answerKey", "answer")}),
    "strategy_qa": Benchmark("ChilleD/StrategyQA", "test", rows.strategy_qa, "yes_no", "commonsense", "mit",
                             {"question": ("question", "problem"), "answer": ("answer",)}),
    "humaneval": Benchmark("openai/openai_humaneval", licence="mit", **_HUMAN_EVAL),
    "humaneval_plus": Benchmark("evalplus/humanevalplus", licence="apache-2.0", **_HUMAN_EVAL),
    "mbpp": Benchmark("google-research-datasets/mbpp", licence="cc-by-4.0", config="full", **_MBPP),
    "mbpp_plus": Benchmark("evalplus/mbppplus", licence="apache-2.0", **{
        **_MBPP, "needs": {**_MBPP["needs"], "test": ("test", "tests")}}),
    "livecodebench": Benchmark("hf://datasets/livecodebench/code_generation_lite/test*.jsonl", "train",
                               rows.live_code_bench, "code_tests", "code", "cc",
                               {"prompt": ("question_content",), "date": ("contest_date",),
                                      "public_test_cases": ("public_test_cases",)},
                               {"private_test_cases": ("private_test_cases",), "metadata": ("metadata",),
                                "starter_code": ("starter_code",), "difficulty": ("difficulty",)}),
    "zebralogic": Benchmark("WildEval/ZebraLogic", "test", rows.zebra_logic, "zebra", "logic", "mit",
                            {"question": ("puzzle",), "solution": ("solution",)}, config="grid_mode"),
    "game24": Benchmark("", "test", rows.game24, "number_game", "puzzle", "mit",
                        {"numbers": ("Puzzles", "numbers", "meta")}),
}
"""Every benchmark by its name. One without a dataset is made here."""

KEPT = ("level", "subject", "year", "type", "difficulty")
"""Fields that go into the problem's meta, for accuracy by difficulty and the like."""


def benchmark(*, name: str, path: str | Path = "", seed: int = 0, split: str = "test", limit: int | None = None,
              columns: Mapping[str, str] = {}, after: str = "", before: str = "", hf_split: str = "",
              dataset: str = "", config: str | None = None, revision: str | None = None, prefix: str = "",
              suffix: str = "") -> Iterator[Problem | BadRow]:
    """Keys: `name` of `BENCHMARKS`; `path` of a local file instead of the hub; `seed` of the options' order; `columns`
    (our field = their column); `after` and `before`, the days (2024-08-01) between which a LiveCodeBench contest was,
    `after` included; `dataset`, `config`, `hf_split`, `revision` in place of the usual ones; `limit`, `split`,
    `prefix`, `suffix` as in `jsonl`."""
    if name not in BENCHMARKS:
        raise UserError(f"benchmark has no name '{name}'{did_you_mean(name, list(BENCHMARKS))}")
    if limit is not None and limit < 1:
        raise UserError(f"limit is {limit}: use 1 or more, or leave it out to take every row")
    known = BENCHMARKS[name]
    window = _window(known, name, after, before)
    if unknown := sorted(set(columns) - {*known.needs, *known.may}):
        raise UserError(f"columns has no field '{unknown[0]}' for {name}: use {', '.join([*known.needs, *known.may])}")
    where = str(path or dataset or known.dataset or name)
    hub = (dataset or known.dataset, config or known.config, hf_split or known.split, revision)
    items = map(_flat, _local(path) if path else _hub(*hub) if hub[0] else _hands())
    found = (_problem(item, name, known, columns, seed, split, (prefix, suffix), where)
             for item in _checked(where, items, name, known, columns))
    inside = (one for one in found if isinstance(one, BadRow) or _within(one, window))
    return _limited(inside, limit)


def _limited(found: Iterator[Problem | BadRow], limit: int | None) -> Iterator[Problem | BadRow]:
    made = 0
    for one in found:
        yield one
        made += isinstance(one, Problem)
        if made == limit:
            return


# -- where rows come from --------------------------------------------------------------------------------------------


def _local(path: str | Path) -> Iterator[Item]:
    file = existing_file(path)
    kind = file.name.removesuffix(".gz").rpartition(".")[2]
    if kind in ("csv", "tsv"):
        return csv_file.read(file, "\t" if kind == "tsv" else ",")
    return parquet.read(file) if kind == "parquet" else jsonl.rows(file)


def _flat(item: Item) -> Item:
    """What the authors of CommonsenseQA publish has its text and choices inside the question."""
    if isinstance(item, BadRow) or not isinstance(item[1].get("question"), dict):
        return item
    question = item[1]["question"]
    return item[0], {**item[1], **question, "question": question.get("stem")}


def _hub(dataset: str, config: str | None, split: str, revision: str | None) -> Iterator[Item]:
    return hugging_face.read(dataset, config, split, True, revision)


def _hands() -> Iterator[Item]:
    """All hands of four cards, 1 to 13, that make 24: 1,362 of 1,820."""
    for hand in combinations_with_replacement(range(1, 14), 4):
        if solution(hand, 24):
            yield f"the hand {hand}", {"numbers": list(hand)}


def _checked(where: str, items: Iterator[Item], name: str, known: Benchmark, columns: Mapping[str, str]
             ) -> Iterator[Item]:
    """`items` unchanged, after a look at the first rows for the columns that are needed."""
    head = list(islice(items, HEAD))
    if not head:
        raise UserError(f"{where} is empty: give a file that holds at least one row")
    there = list(dict.fromkeys(str(c) for item in head if not isinstance(item, BadRow) for c in item[1]))
    for ours, theirs in known.needs.items() if there else ():
        wanted = (columns[ours],) if ours in columns else theirs
        if not set(wanted) & set(there):
            raise UserError(f"{where} has no column '{wanted[0]}', the {ours} of {name}: name the right one, as in "
                            f'columns = {{ "{ours}" = "…" }} (it has {", ".join(there[:40])})')
    return chain(head, items)


# -- rows ------------------------------------------------------------------------------------------------------------


def _problem(item: Item, name: str, known: Benchmark, columns: Mapping[str, str], seed: int, split: str,
             around: tuple[str, str], where: str) -> Problem | BadRow:
    if isinstance(item, BadRow):
        return item
    place, row = item
    fields = {ours: row[column] for ours, theirs in {**known.needs, **known.may}.items()
              if (column := _column(row, columns.get(ours), theirs)) is not None}
    try:
        prompt, reference, meta = known.make({**fields, "seed": seed})
    except BadRow as bad:
        return BadRow(place, bad.reason)
    meta |= {key: fields[key] for key in KEPT if fields.get(key) not in (None, "")}
    return Problem(around[0] + prompt + around[1], reference, known.verifier, name, known.domain, split, known.licence,
                   json.dumps(meta, sort_keys=True, default=str))


def _column(row: Mapping[str, Any], named: str | None, usual: tuple[str, ...]) -> str | None:
    return next((column for column in ((named,) if named else usual) if column in row), None)


# -- the window of dates ---------------------------------------------------------------------------------------------


def _window(known: Benchmark, name: str, after: str, before: str) -> tuple[str, str]:
    for key, day in (("after", after), ("before", before)):
        if day and "date" not in known.needs:
            raise UserError(f"{name} has no dates, so `{key}` cannot be set: leave it out, or take livecodebench")
        if day and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
            raise UserError(f"{key} is '{day}': write a day as 2024-08-01")
    return after, before or "~"


def _within(problem: Problem, window: tuple[str, str]) -> bool:
    day = json.loads(problem.meta).get("contest_date")
    return day is None or window[0] <= day < window[1]
