"""The IOI strategy from a recipe: programs are run, measured, clustered and submitted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from factory.run import Run
from factory.stages import choose
from verifiers.code_tests import missing

Make = Callable[..., Run]
Private = Callable[[str, str], str]
MISSING = missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "a sandbox is here")

TEACHER = '''
from factory.records import Completion

CODES = ["n * n", "n * 2", "n + n", "n + 2", "2 * n", "n ** 2"]

class Coder:
    concurrency = 1
    identity = {"plugin": "coder"}
    turn = -1
    def check(self): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *error): pass
    async def ask(self, messages, seed):
        self.turn += 1
        text = f"```python\\nn = int(input())\\nprint({CODES[self.turn % len(CODES)]})\\n```"
        return Completion("", text, text, "stop", 1, 30)

def coder():
    return Coder()
'''
REFERENCE = {"kind": "stdio", "public": 1, "tests": [
    {"stdin": "2\n", "stdout": "4\n"}, {"stdin": "9\n", "stdout": "18\n"}]}
OF = ("behaviour", "public_failed", "generated_failed")


def test_the_largest_cluster_that_passes_the_public_tests_is_submitted_first(
        judged: Make, private: Private, tmp_path: Path) -> None:
    file = tmp_path / "code.jsonl"
    generated = [{"stdin": "3\n"}, {"stdin": "5\n"}]
    row = {"prompt": "Double it.", "reference": json.dumps(REFERENCE), "generated": generated}
    file.write_text(json.dumps(row) + "\n")
    run = judged(problems=[{"plugin": "jsonl", "path": str(file), "verifier": "code_tests", "meta": ["generated"]}],
                 teacher=private("coder", TEACHER), generate={"samples": 6},
                 measures=[{"plugin": "execution", "of": of, "name": of} for of in OF],
                 datasets=[{"name": "best", "selector": {"plugin": "by_tests", "budget": 10}, "emitter": "sft"},
                           {"name": "pairs", "selector": {"plugin": "by_tests", "size": -1.0, "rejected": True},
                            "emitter": "dpo"}])
    shown = {r["code"]: (r["behaviour"], r["failed"]) for r in run.lake.rows("""
        SELECT regexp_extract(t.raw, 'print\\((.*)\\)\\n', 1) AS code, max(value) FILTER (params LIKE '%behaviour%')
        AS behaviour, max(value) FILTER (params LIKE '%public%') AS failed
        FROM traces t JOIN measurements m ON m.trace_id = t.id GROUP BY 1""")}
    assert {failed for _, failed in shown.values()} == {0.0}  # 2 + 2 is 2 * 2 is 2 ** 2: clusters have to decide
    assert shown["n * 2"] == shown["n + n"] == shown["2 * n"] != shown["n * n"] == shown["n ** 2"] != shown["n + 2"]
    made = choose.choose(run)
    [best] = run.lake.rows("SELECT why FROM picks WHERE selection = $1", [made["best"]])
    assert best["why"] == "accepted at submission 1"
    [pair] = run.lake.rows("""SELECT k.why, c.raw AS chosen, r.raw AS rejected FROM picks k JOIN traces c
        ON c.id = k.chosen JOIN traces r ON r.id = k.rejected WHERE k.selection = $1""", [made["pairs"]])
    assert "n + 2" in pair["rejected"] and pair["why"].endswith("over the first one refused")
