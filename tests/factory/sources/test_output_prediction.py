"""Answers come from the sandbox; what has no certain answer is set aside with the reason."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from factory.protocols import BadRow, UserError
from factory.records import Problem
from factory.sources.output_prediction import output_prediction
from verifiers.code_tests import missing
from verifiers.python_literal import python_literal, read

CRUXEVAL = Path(__file__).parents[4] / "shared" / "data" / "code" / "cruxeval.jsonl.gz"


MISSING = missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "a sandbox is here")


def made(tmp_path: Path, *rows: Any, **keys: Any) -> list[Problem | BadRow]:
    file = tmp_path / "programs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(output_prediction(path=file, workers=1, **keys))


def f(body: str, given: str = "") -> dict[str, str]:
    return {"code": f"def f(x=0):\n    {body}", "input": given}


def test_the_answer_is_what_the_call_returns(tmp_path: Path) -> None:
    rows = [f("return [x, (x, str(x))]", "3"), f("return {x: None}", "'a' + 'b'"), f("return set()", "1"),
            f("return {'b', 'a', 'c'}", "")]
    found = made(tmp_path, *rows)
    assert [p.reference for p in found if isinstance(p, Problem)] == [
        "[3, (3, '3')]", "{'ab': None}", "set()", "{'a', 'b', 'c'}"]
    first = found[0]
    assert isinstance(first, Problem)
    assert first.verifier == "python_literal"
    assert "What does `f(3)` return?" in first.prompt and rows[0]["code"] in first.prompt
    assert first.reference not in first.prompt
    assert all(python_literal(f"\\boxed{{{p.reference}}}", p.reference).status == "correct"
               for p in found if isinstance(p, Problem))


def test_the_answer_is_what_the_program_prints(tmp_path: Path) -> None:
    [one] = made(tmp_path, {"code": "a, b = input().split()\nprint(int(a) + int(b))\nprint('ok')", "stdin": "1 2\n"},
                 of="print")
    assert isinstance(one, Problem)
    assert one.reference == r"'3\nok'"
    assert r"when its input is '1 2\n'" in one.prompt


@pytest.mark.parametrize(("row", "reason"), [
    (f("return 1 / 0", "1"), "it does not run to its end: runtime_error"),
    (f("while True: pass", "1"), "it does not run to its end: timeout"),
    (f("return 1", "1 +"), "it does not run to its end: compile_error"),
    (f("import time; return time.time_ns()", "1"), "it is not deterministic"),
    (f("import random; return random.random()", "1"), "it is not deterministic"),
    (f("return list(set(x))", "'abcdefgh'"), "it is not deterministic"),
    (f("return id(object())", "1"), "it is not deterministic"),
    (f("import os; return os.urandom(4)", "1"), "it is not deterministic"),
    (f("return 'x' * 501", "1"), "its value is 503 characters long, over 500"),
    (f("return lambda: 1", "1"), "returns something that is no plain value"),
    (f("return float('inf')", "1"), "its value cannot be written as a Python literal"),
    ({"code": "", "input": ""}, "'code' is missing or empty"),
    ({"code": "def f(): pass"}, "'input', the arguments of the call, is missing"),
    ({"code": "def f(): pass", "input": "", "entry": "f(); g"}, "is no name of a function"),
    ([1], "a list, not an object"),
])
def test_what_has_no_certain_answer_is_set_aside(tmp_path: Path, row: Any, reason: str) -> None:
    good = f("return x", "1")
    bad, one = made(tmp_path, row, good, cpu_s=0.3)
    assert isinstance(bad, BadRow) and reason in bad.reason
    assert isinstance(one, Problem) and one.reference == "1"


def test_limit_counts_problems_and_columns_have_other_names(tmp_path: Path) -> None:
    rows = [{"program": "def g(x):\n    return x", "args": str(n)} for n in range(5)]
    found = made(tmp_path, *rows, columns={"code": "program", "input": "args"}, entry="g", limit=3)
    assert [p.reference for p in found if isinstance(p, Problem)] == ["0", "1", "2"]


def test_a_wrong_parameter_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="columns has no field 'prompt'"):
        made(tmp_path, f("return 1"), columns={"prompt": "code"})
    with pytest.raises(UserError, match="there is no file"):
        list(output_prediction(path=tmp_path / "none.jsonl"))


@pytest.mark.slow
@pytest.mark.skipif(not CRUXEVAL.exists(), reason="the shared data are not here")
def test_cruxevals_own_answers_are_what_is_executed(tmp_path: Path) -> None:
    with gzip.open(CRUXEVAL) as lines:
        rows = [json.loads(line) for line in lines][:120]
    found = made(tmp_path, *({**row["tests"], "id": row["id"]} for row in rows))
    pairs = [(p.reference, row["answer"]) for p, row in zip(found, rows, strict=True) if isinstance(p, Problem)]
    assert len(pairs) >= 110
    assert [(ours, theirs) for ours, theirs in pairs if read(ours) != read(theirs)] == []
