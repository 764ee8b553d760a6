"""Tests by a teacher: what a quorum stands behind is kept, and everything else says why not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import validate
from factory.run import Run
from flows.write_tests import write
from verifiers.code_tests import code_tests, missing

Private = Callable[[str, str], str]
MISSING = missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "a sandbox is here")

TEACHER = '''
import re
from factory.records import Completion

ANSWERS = {answers!r}

class Coder:
    concurrency = 4
    identity = {{"plugin": "coder", "answers": ANSWERS}}
    def check(self): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *error): pass
    async def ask(self, messages, seed):
        prompt = messages[-1]["content"]
        kind = "writers" if "A generator:" in prompt else "solutions"
        given = ANSWERS[next(word for word in ANSWERS if prompt.startswith(word))][kind]
        self.turns = getattr(self, "turns", {{}})
        turn = self.turns[prompt] = self.turns.get(prompt, -1) + 1
        text = given[turn % len(given)]
        return Completion("", text, text, "stop", 1, 1)

def coder():
    return Coder()
'''


def block(*codes: str) -> str:
    return "\n\n".join(f"```python\n{code}\n```" for code in codes)


DRAW = "import random\nrandom.seed(int(input()))\nprint(*[random.randint(-9, 9) for _ in range(random.randint(1, 6))])"
CHECK = ("try:\n    ok = all(-9 <= int(n) <= 9 for n in input().split())\nexcept ValueError:\n    ok = False\n"
         "print('VALID' if ok else 'INVALID')")
GOOD, NEGLIGENT = "print(max(map(int, input().split())))", "print(max(map(abs, map(int, input().split()))))"
MAX = {"solutions": [block(GOOD)] * 9 + [block("print(sorted(map(int, input().split()))[-1])")],
       "writers": [block(DRAW, CHECK)]}
PUBLIC = {"kind": "stdio", "public": 1, "tests": [{"stdin": "1 2\n", "stdout": "2\n"}]}


def recipe(private: Private, tmp_path: Path, answers: dict[str, Any], reference: dict[str, Any] | None = PUBLIC,
           **changes: Any) -> Any:
    rows = [{"prompt": f"{word} of the numbers.", "reference": json.dumps(reference) if reference else "-"}
            for word in answers]
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    verifier = "code_tests" if reference else "majority"
    return validate({
        "name": "coding", "problems": [{"plugin": "jsonl", "path": str(file), "verifier": verifier}],
        "teacher": private("coder", TEACHER.format(answers=answers)), "generate": {"samples": 10}, **changes}, "here")


def suites(folder: Path) -> list[dict[str, Any]]:
    return Lake(folder).rows("SELECT * FROM suites ORDER BY created")


def test_tests_with_a_quorum_become_problems_that_judge(private: Private, tmp_path: Path) -> None:
    made, out = recipe(private, tmp_path, {"Max": MAX}), tmp_path / "out.jsonl"
    assert write(made, tmp_path / "lake", out, 12).startswith("1 of 1 problems have 12 tests, which notice ")
    [suite] = suites(tmp_path / "lake")
    assert (suite["candidates"], suite["inputs"], suite["tests"], suite["passing"]) == (10, 12, 12, 10)
    assert suite["killed"] > 0
    [row] = [json.loads(line) for line in out.read_text().splitlines()]
    reference = json.loads(row["reference"])
    assert (reference["public"], len(reference["tests"]), len(row["generated"])) == (1, 13, 12)
    assert reference["tests"][0] == PUBLIC["tests"][0]  # type: ignore[index]
    assert all(set(test) == {"stdin"} for test in row["generated"])
    assert code_tests(block(GOOD), row["reference"]).status == "correct"
    assert code_tests(block(NEGLIGENT), row["reference"]).status == "wrong"


def test_the_second_time_nothing_is_bought_or_run(private: Private, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                  ) -> None:
    made, out = recipe(private, tmp_path, {"Max": MAX}), tmp_path / "out.jsonl"
    first = write(made, tmp_path / "lake", out, 12)
    text, rows = out.read_text(), Lake(tmp_path / "lake").value("SELECT count(*) FROM traces")
    monkeypatch.setattr("factory.stages.write_tests._build", None)
    assert write(made, tmp_path / "lake", out, 12) == first
    assert (out.read_text(), Lake(tmp_path / "lake").value("SELECT count(*) FROM traces")) == (text, rows)
    assert rows == 10 + 4


@pytest.mark.slow
def test_a_problem_without_any_test_of_its_own_gets_some(private: Private, tmp_path: Path) -> None:
    made = recipe(private, tmp_path, {"Max": MAX}, reference=None)
    write(made, tmp_path / "lake", tmp_path / "out.jsonl", 12)
    [suite] = suites(tmp_path / "lake")
    assert suite["kept"] and json.loads(suite["reference"])["public"] == 0


@pytest.mark.slow
def test_functions_get_tests_of_their_kind(private: Private, tmp_path: Path) -> None:
    public = {"kind": "call", "entry": "top", "public": 1, "tests": [{"args": [[1, 2]], "expected": 2}]}
    draw = DRAW.replace("print(*[", "import json\nprint(json.dumps([[").replace("))])", "))]]))")
    check = "import json\n[numbers] = json.loads(input())\nprint('VALID' if numbers else 'INVALID')"
    answers = {"Max": {"solutions": [block("def top(numbers):\n    return sorted(numbers)[len(numbers) - 1]")],
                       "writers": [block(draw, check)]}}
    write(recipe(private, tmp_path, answers, public), tmp_path / "lake", tmp_path / "out.jsonl", 10)
    [suite] = suites(tmp_path / "lake")
    assert (suite["reason"], suite["tests"]) == ("", 10)
    assert code_tests(block("def top(numbers):\n    return max(numbers)"), suite["reference"]).status == "correct"
    assert code_tests(block("def top(numbers):\n    return numbers[-1]"), suite["reference"]).status == "wrong"


REASONS = {
    "Few": ("under 10 candidates pass its public tests", {**MAX, "solutions": [block(GOOD)] * 9 + [block("print(0)")]}),
    "Torn": ("the candidates do not agree", {**MAX, "solutions": [block(GOOD)] * 6 + [block(NEGLIGENT)] * 4}),
    "Unsound": ("the candidates do not agree", {**MAX, "solutions": [block(GOOD)] * 8 + [block(NEGLIGENT)] * 2}),
    "Unchecked": ("no validator works", {**MAX, "writers": [block(DRAW, "print('INVALID')"), block(DRAW)]}),
    "Scarce": ("under 5 of its inputs are valid", {**MAX, "writers": [block("print(input())", CHECK.replace(
        "-9 <= int(n) <= 9", "int(n) < 4"))]}),
    "Blind": ("the tests do not notice planted mistakes", {
        "solutions": [block("numbers = list(map(int, input().split()))\nunused = [n + 1 for n in numbers if n < 3]\n"
                            "other = len(numbers) - 7 * 3 > 2\nprint(max(numbers))")],
        "writers": [block(DRAW, CHECK)]}),
}


@pytest.mark.slow
def test_every_problem_without_tests_says_why(private: Private, tmp_path: Path) -> None:
    made = recipe(private, tmp_path, {word: answers for word, (_, answers) in REASONS.items()})
    report = write(made, tmp_path / "lake", tmp_path / "out.jsonl", 12)
    assert report.startswith("0 of 6 problems have 0 tests")
    rows = Lake(tmp_path / "lake").rows("SELECT prompt, reason FROM suites s JOIN problems p ON p.id = s.problem_id")
    assert {row["prompt"].split()[0]: row["reason"] for row in rows} == {w: why for w, (why, _) in REASONS.items()}
    assert (tmp_path / "out.jsonl").read_text() == ""


@pytest.mark.slow
def test_hostile_generators_and_validators_cost_nothing_but_themselves(private: Private, tmp_path: Path) -> None:
    bad = [block("import os\nos.kill(1, 9)\nos.kill(-1, 9)\nprint(1)", "import sys; sys.exit(3)"),
           block("print('x' * 10 ** 9)", "print('VALID'"), "no code at all"]
    answers = {"Max": {**MAX, "writers": [block(DRAW, CHECK), *bad]}}
    write(recipe(private, tmp_path, answers), tmp_path / "lake", tmp_path / "out.jsonl", 12)
    assert [suite["reason"] for suite in suites(tmp_path / "lake")] == [""]


@pytest.mark.parametrize(("changes", "inputs", "sentence"), [
    ({"generate": {"samples": 4}}, 12, "set generate.samples to 10 or more"), ({}, 3, "--inputs 3 is too few")])
def test_what_cannot_work_is_one_sentence_before_anything_is_bought(
        private: Private, tmp_path: Path, changes: dict[str, Any], inputs: int, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        write(recipe(private, tmp_path, {"Max": MAX}, **changes), tmp_path / "lake", tmp_path / "out.jsonl", inputs)
    with pytest.raises(UserError, match="there is no folder"):
        write(recipe(private, tmp_path, {"Max": MAX}), tmp_path / "lake", tmp_path / "no" / "out.jsonl", 12)
    assert not (tmp_path / "lake").exists()


@pytest.mark.slow
def test_the_new_problems_load_and_their_solution_passes(private: Private, tmp_path: Path) -> None:
    from factory.stages import load

    made, out = recipe(private, tmp_path, {"Max": MAX}), tmp_path / "out.jsonl"
    write(made, tmp_path / "lake", out, 12)
    source = {"plugin": "jsonl", "path": str(out), "verifier": "code_tests", "meta": ["generated"]}
    run = Run(made.model_copy(update={"problems": validate({**made.model_dump(), "problems": [source]}, "").problems}),
              Lake(tmp_path / "other"))
    run.register()
    load.load(run)
    [row] = run.lake.rows("SELECT * FROM problems")
    assert len(json.loads(row["meta"])["generated"]) == 12
    assert run.lake.rows("SELECT reason FROM set_aside") == []
