"""From a strategy's attempts to rows of datasets: both sides of a repair are judged by the whole suite."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory.run import Run
from factory.stages import choose, generate, load, verify
from verifiers.code_tests import missing

from .conftest import forget_the_references, selected

Make = Callable[..., Run]
Private = Callable[[str, str], str]
MISSING = missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "a sandbox is here")

TEACHER = '''
from factory.records import Completion

class Coder:
    concurrency = 2
    identity = {"plugin": "coder"}
    def check(self): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *error): pass
    async def ask(self, messages, seed):
        factor = 3 if len(messages) == 1 else 2
        if "never" in messages[0]["content"]: factor = 3
        code = f"print(int(input()) * {factor})"
        if "hidden" in messages[0]["content"] and len(messages) > 1:
            code = "n = int(input())\\nprint(n * 2 if n < 9 else 0)"
        text = f"<think>Times {factor}.</think>\\n```python\\n{code}\\n```"
        return Completion(f"Times {factor}.", text.split("</think>")[1].strip(), text, "stop", 1, 30)

def coder():
    return Coder()
'''
REFERENCE = {"kind": "stdio", "public": 1, "tests": [
    {"stdin": "2\n", "stdout": "4\n"}, {"stdin": "9\n", "stdout": "18\n"}]}


@pytest.fixture
def run(make_run: Make, private: Private, tmp_path: Path) -> Run:
    file = tmp_path / "code.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"Double it, {how}.", "reference": json.dumps(REFERENCE)}) + "\n"
                            for how in ("please", "never", "hidden")))
    made = make_run(problems=[{"plugin": "jsonl", "path": str(file), "verifier": "code_tests"}],
                    teacher=private("coder", TEACHER), generate={"samples": 1, "strategy": "repair"},
                    datasets=[{"name": "pairs", "selector": "repaired", "emitter": "dpo"},
                              {"name": "journeys", "selector": {"plugin": "repaired", "form": "journey"},
                               "emitter": "sft"}])
    load.load(made)
    generate.generate(made)
    made.lake.compact()
    for ids in verify.shards(made):
        verify.work(made.lake, ids, made.recipe.verify)
    return made


def test_repairs_are_chosen_without_a_look_at_the_tests(run: Run) -> None:
    """With `test_choose`: every selector there is."""
    choose.choose(run)
    before = selected(run)
    assert {row[0] for row in before} == {"pairs", "journeys"}
    forget_the_references(run)
    choose.choose(run)
    assert selected(run) == before


def texts(run: Run, dataset: str) -> list[dict[str, Any]]:
    selection = choose.choose(run)[dataset]
    return run.lake.rows("""SELECT p.prompt, c.raw AS chosen, r.raw AS rejected, cv.status AS right, rv.status AS wrong
        FROM picks k JOIN problems p ON p.id = k.problem_id JOIN traces c ON c.id = k.chosen
        LEFT JOIN traces r ON r.id = k.rejected LEFT JOIN judged cv ON cv.trace_id = c.id
        LEFT JOIN judged rv ON rv.trace_id = r.id WHERE k.selection = $1""", [selection])


def test_the_attempts_are_steps_and_what_passes_only_the_public_tests_is_wrong(run: Run) -> None:
    rows = run.lake.rows("""SELECT p.prompt, v.status, count(*) FILTER (s.kind = 'attempt') AS attempts
        FROM traces t JOIN problems p ON p.id = t.problem_id JOIN judged v ON v.trace_id = t.id
        JOIN steps s ON s.trace_id = t.id GROUP BY ALL ORDER BY 1""")
    assert [(r["prompt"].split()[2], r["status"], r["attempts"]) for r in rows] == [
        ("hidden.", "wrong", 2), ("never.", "wrong", 3), ("please.", "correct", 2)]


def test_a_pair_has_two_texts_with_two_verdicts_of_the_whole_suite(run: Run) -> None:
    [row] = texts(run, "pairs")
    assert ("* 2" in row["chosen"], "* 3" in row["rejected"]) == (True, True)
    assert (row["right"], row["wrong"]) == ("correct", "wrong")


def test_a_journey_is_judged_again_and_holds_the_way_back(run: Run) -> None:
    [row] = texts(run, "journeys")
    assert row["right"] == "correct" and row["rejected"] is None
    assert row["chosen"].index("Times 3.") < row["chosen"].index("does not pass") < row["chosen"].index("Times 2.")


def test_a_first_attempt_that_the_whole_suite_does_not_call_wrong_is_no_pair(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from verifiers.verdict import Verdict

    monkeypatch.setattr(verify, "Pool", type("Doubting", (), {
        "__init__": lambda self, **keys: None, "__enter__": lambda self: self, "__exit__": lambda self, *error: None,
        "map": lambda self, cases: (Verdict("undecided", reason="no sandbox") for _ in cases)}))
    assert texts(run, "pairs") == []
    selection = choose.choose(run)["pairs"]
    assert run.lake.rows("SELECT reason FROM drops WHERE selection = $1 AND reason LIKE 'its cut%'", [selection]) == [
        {"reason": "its cut is undecided"}]
