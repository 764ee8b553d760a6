"""verdicts: three answers, each trace once for each version of its verifier; a hang or a crash is `undecided`."""

from collections.abc import Callable
from typing import Any

import pytest

from factory.run import Run
from factory.stages import generate, load, verify

Make = Callable[..., Run]
Private = Callable[[str, str], str]

NASTY = '''
import time
from verifiers.verdict import Verdict
VERSION = {version}

def nasty(response, reference):
    if response == r"\\boxed{{" + reference + "}}":  # the reference as `load` shows it
        return Verdict("correct")
    if "1 + 2" in reference:
        time.sleep(60)
    if "3 + 4" in reference:
        raise RuntimeError("a bug")
    return Verdict("wrong", "7", "another number")
'''


@pytest.fixture
def nasty(make_run: Make, private: Private, source: Callable[..., dict[str, Any]],
          request: pytest.FixtureRequest) -> Run:
    """Three problems whose verifier hangs, crashes and judges, one trace each; judged `beside` generation if asked."""
    rows = [(f"Compute {text}.", f"Compute {text}.") for text in ("1 + 2", "3 + 4", "5 + 6")]
    run = make_run(problems=[source(rows, verifier=private("nasty", NASTY.format(version=1)))],
                   generate={"samples": 1},
                   verify={"workers": 1, "timeout": 0.5, "beside": getattr(request, "param", False)})
    load.load(run)
    generate.generate(run)
    return run


def work(run: Run) -> int:
    return sum(verify.work(run.lake, ids, run.recipe.verify) for ids in verify.shards(run))


@pytest.mark.parametrize(("nasty", "left"), [(False, 3), (True, 0)], indirect=["nasty"], ids=["later", "beside"])
def test_what_hangs_or_crashes_is_undecided_and_says_why(nasty: Run, left: int) -> None:
    assert work(nasty) == left
    found = {row["reference"]: (row["status"], row["reason"]) for row in nasty.lake.rows(
        "SELECT p.reference, v.status, v.reason FROM verdicts v JOIN traces t ON t.id = v.trace_id "
        "JOIN problems p ON p.id = t.problem_id")}
    assert found["Compute 1 + 2."] == ("undecided", "over the time limit of 0.5 s")
    assert found["Compute 3 + 4."][0] == "undecided"
    assert "RuntimeError: a bug" in found["Compute 3 + 4."][1]
    assert found["Compute 5 + 6."] == ("wrong", "another number")


def test_a_verdict_is_given_once_and_anew_by_a_new_version(nasty: Run, private: Private) -> None:
    work(nasty)
    assert work(nasty) == 0
    import importlib
    import sys

    name = private("nasty", NASTY.format(version=22))
    importlib.reload(sys.modules[name])
    assert work(nasty) == 3
    assert nasty.lake.value("SELECT count(*) FROM verdicts") == 6
    assert nasty.lake.rows("SELECT DISTINCT version FROM judged") == [{"version": 22}]


def test_a_shard_that_is_tried_again_doubles_nothing(judged: Make) -> None:
    run = judged()
    ids = sorted(run.lake.ids("traces"))
    assert verify.work(run.lake, ids, run.recipe.verify) == 0
    assert run.lake.value("SELECT count(*) FROM verdicts") == len(ids)


def test_the_shards_are_of_the_size_asked_for_and_hold_each_trace_once(make_run: Make) -> None:
    run = make_run(tasks={"shard": 3}, verify={"beside": False})
    load.load(run)
    generate.generate(run)
    shards = verify.shards(run)
    assert [len(shard) for shard in shards] == [3] * 5 + [1]
    assert {name for shard in shards for name in shard} == run.lake.ids("traces")


def test_only_the_response_is_judged(make_run: Make, private: Private) -> None:
    name = private("muses", r'''
from factory.records import Completion
class Teacher:
    identity, concurrency = {"plugin": "muses"}, 1
    def check(self): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass
    async def ask(self, messages, seed):
        return Completion("It is \\boxed{3}, \\boxed{7}, \\boxed{11} or \\boxed{15}.", "", "", "stop")
def muses(): return Teacher()
''')
    run = make_run(teacher=name, generate={"samples": 1})
    load.load(run)
    generate.generate(run)
    work(run)
    assert run.lake.rows("SELECT DISTINCT status FROM verdicts") == [{"status": "undecided"}]
