"""Votes: a verdict where no reference is, a doubt where most traces are against one, and each electorate votes once."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from factory.protocols import UserError
from factory.recipe import validate
from factory.records import Problem
from factory.run import Run
from factory.stages import choose, generate, load, majority, verify

Make = Callable[..., Run]
Private = Callable[[str, str], str]

SAYS = '''
import re
from factory.records import Completion
class Teacher:
    """It says the answers that stand in the prompt, one a sample, and begins anew when it is started anew."""
    identity, concurrency = {{"plugin": "says"}}, 1
    def check(self): pass
    async def __aenter__(self):
        self.asked = {{}}
        return self
    async def __aexit__(self, *_): pass
    async def ask(self, messages, seed):
        prompt = messages[-1]["content"]
        number = self.asked[prompt] = self.asked.get(prompt, -1) + 1
        said = prompt.split("|")[1:][number]
        return Completion("", f"\\\\boxed{{{{{{said}}}}}}" if said else "", said, "stop")
def says(): return Teacher()
'''


@pytest.fixture
def voted(make_run: Make, private: Private, tmp_path: Path) -> Callable[..., Run]:
    """A run on prompts `name|answer|answer…` with the given verifier and references."""
    def make(problems: Sequence[tuple[str, str]], verifier: str = "majority", samples: int = 4) -> Run:
        teacher = private("says", SAYS.format())
        file = tmp_path / "voted.jsonl"
        file.write_text("".join(json.dumps({"prompt": p} | ({"reference": r} if r else {})) + "\n"
                                for p, r in problems))
        run = make_run(problems=[{"plugin": "jsonl", "path": str(file), "verifier": verifier}], teacher=teacher,
                       generate={"samples": samples}, datasets=[
                           {"name": "sft", "selector": "everything_correct", "emitter": "sft"}])
        if verifier == "majority":
            put(run, [Problem(prompt, "", "majority") for prompt, _ in problems])
        else:
            load.load(run)
        generate.generate(run)
        run.lake.compact()
        work(run)
        return run
    return make


def put(run: Run, problems: Sequence[Problem]) -> None:
    """Into the lake without a look at their references."""
    run.lake.append_new("problems", [{"id": p.id, **asdict(p)} for p in problems])
    run.lake.append_new("members", [dict(id=f"{run.id}-{p.id}", run_id=run.id, problem_id=p.id, part="train")
                                    for p in problems])


def work(run: Run) -> int:
    for ids in verify.shards(run):
        verify.work(run.lake, ids, run.recipe.verify)
    return sum(majority.work(run, ids) for ids in majority.shards(run))


def verdicts(run: Run) -> dict[str, list[tuple[Any, ...]]]:
    """name of the problem -> (answer, status, reason) of its traces."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for name, *rest in run.lake.sql("""SELECT split_part(p.prompt, '|', 1), v.answer, v.status, v.reason FROM judged v
            JOIN traces t ON t.id = v.trace_id JOIN problems p ON p.id = t.problem_id
            WHERE v.verifier = 'majority' AND v.grade = 'majority' ORDER BY ALL""").fetchall():
        found.setdefault(name, []).append(tuple(rest))
    return found


def test_without_a_reference_the_majority_is_the_verdict(voted: Callable[..., Run]) -> None:
    run = voted([("most|1/2|0.5|\\frac{1}{2}|3", ""), ("tie|1|1|2|2", ""), ("few|1|1||", "")])
    found = verdicts(run)
    share = "share 0.75 of 4"
    assert found["most"] == [("0.5", "correct", share), ("1/2", "correct", share), ("3", "wrong", share),
                             ("\\frac{1}{2}", "correct", share)]
    assert {row[1:] for row in found["tie"]} == {("undecided", "a tie at share 0.50 of 4")}
    assert {row[1] for row in found["few"]} == {"undecided"}
    assert run.lake.rows("SELECT share, traces FROM votes WHERE answer IS NOT NULL") == [dict(share=0.75, traces=4)]
    assert run.lake.ids("doubts") == set()


def test_what_the_recipe_asks_a_vote_for_becomes_data(voted: Callable[..., Run]) -> None:
    run = voted([("most|5|5.0|10/2|3", ""), ("tie|1|1|2|2", "")])
    choose.choose(run)
    assert run.lake.value("SELECT count(*) FROM picks") == 3


def test_each_electorate_votes_once_and_a_larger_one_anew(voted: Callable[..., Run]) -> None:
    problems = [("p|5|5|5|3", "")]
    run = voted(problems)
    assert work(run) == 0
    more = voted(problems, samples=8)
    assert len(more.lake.ids("votes")) == 2
    assert {row[1:] for row in verdicts(more)["p"] if row[0] == "5"} == {("correct", "share 0.75 of 8")}
    assert len(more.lake.ids("verdicts")) == 4 + 8


def test_most_traces_against_the_reference_put_it_in_doubt(voted: Callable[..., Run]) -> None:
    run = voted([("doubted|7|7|7|8", "8"), ("scattered|1|2|3|8", "8"), ("split|7|7|8|8", "8"), ("few|7|7|7|", "8")],
                verifier="exact_match")
    rows = run.lake.rows("SELECT reference, answer, share, traces, run_id FROM doubts")
    assert rows == [dict(reference="8", answer="7", share=0.75, traces=4, run_id=run.id)]
    assert verdicts(run) == {}  # a vote against a reference is a question, no verdict
    assert work(run) == 0


def test_a_doubt_ends_when_the_verifier_takes_the_answer(voted: Callable[..., Run]) -> None:
    run = voted([("p|7|7|7|7", "8")], verifier="exact_match")
    assert len(run.lake.ids("doubts")) == 1
    old = run.lake.rows("SELECT * FROM verdicts")
    run.lake.append("verdicts", [{**row, "id": row["id"] + "x", "version": 99, "status": "correct"} for row in old])
    assert run.lake.ids("doubts") == set()


def test_only_the_verifier_majority_does_without_a_reference(voted: Callable[..., Run]) -> None:
    with pytest.raises(UserError, match="has no column 'reference' for reference"):
        voted([("p|7|7|7|7", "")], verifier="exact_match")


def test_the_shards_hold_each_problem_once(make_run: Make, voted: Callable[..., Run]) -> None:
    run = voted([(f"p{n}|7|7|7", "") for n in range(5)], samples=3)
    again = Run(validate({**run.recipe.model_dump(), "tasks": {"shard": 6}}, "the test"), run.lake)
    assert again.id == run.id
    assert majority.shards(again) == []
