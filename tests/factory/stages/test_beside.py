"""Verification beside generation, and sampling that follows it (`generate.adaptive`)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from factory.lake import Lake
from factory.run import Run
from factory.stages import beside, budget, buyer, generate, load, progress, verify
from verifiers.verdict import Verdict

Make = Callable[..., Run]
Private = Callable[[str, str], str]

TEACHER = '''
import asyncio
from factory.records import Completion

RIGHT = {{"Compute 1 + 2.": ["3"], "Compute 3 + 4.": ["7", "0", "7", "0"], "Compute 5 + 6.": ["0"],
         "Compute 7 + 8.": ["0", "15"]}}

class Teacher:
    identity, concurrency = {{"plugin": "mixed"}}, {concurrency}
    def __init__(self): self.asked = {{}}
    def check(self): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass
    async def ask(self, messages, seed):
        prompt = messages[-1]["content"]
        number = self.asked[prompt] = self.asked.get(prompt, -1) + 1
        await asyncio.sleep({slow} if prompt == "Compute 7 + 8." and number > 1 else 0.001)
        answers = RIGHT[prompt]
        text = "number %d: \\\\boxed{{%s}}" % (number, answers[number % len(answers)])
        return Completion("", text, text, "stop", 1, 3)

def mixed(): return Teacher()
'''


def verdicts(lake: Lake) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = lake.sql(
        "SELECT id, trace_id, verifier, version, status, answer, reason, grade FROM verdicts ORDER BY id").fetchall()
    return found


def generated(run: Run) -> Run:
    load.load(run)
    generate.generate(run)
    return run


def test_the_verdicts_are_those_that_the_stage_would_give(make_run: Make, tmp_path: Any) -> None:
    run = generated(make_run())
    assert verify.shards(run) == []
    later = generated(make_run(on=Lake(tmp_path / "other"), verify={"workers": 1, "beside": False}))
    assert verdicts(later.lake) == []
    for ids in verify.shards(later):
        verify.work(later.lake, ids, later.recipe.verify, later.id, 0.02)
    assert verdicts(run.lake) == verdicts(later.lake) != []
    audited = "SELECT verifier, kind, sum(items) FROM audits GROUP BY ALL ORDER BY ALL"
    assert run.lake.sql(audited).fetchall() == later.lake.sql(audited).fetchall() != []


def test_a_run_is_the_same_run_whether_it_is_judged_beside_or_later(make_run: Make) -> None:
    assert make_run().id == make_run(verify={"workers": 1, "beside": False}).id


def test_what_cannot_be_kept_up_with_is_left_to_the_stage(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "BACKLOG", 0)
    run = generated(make_run())
    assert verdicts(run.lake) == []
    assert sum(map(len, verify.shards(run))) == 16


@pytest.fixture
def adaptive(make_run: Make, private: Private) -> Make:
    """A run with one problem that is always right, two that are half the time, one never; 30 samples at most."""
    def make(concurrency: int = 4, hour: bool = True, **rule: Any) -> Run:
        name = private("mixed", TEACHER.format(concurrency=concurrency, slow=3600 if hour else 0))
        return make_run(teacher=name, generate={"samples": 30, "adaptive": {"correct": 3, **rule}})
    return make


def counts(run: Run) -> dict[str, tuple[int, int]]:
    """Prompt -> (traces, of them right)."""
    rows = run.lake.sql("""SELECT p.prompt, count(*), count(*) FILTER (v.status = 'correct') FROM traces t
        JOIN problems p ON p.id = t.problem_id JOIN verdicts v ON v.trace_id = t.id GROUP BY 1""").fetchall()
    return {prompt: (traces, right) for prompt, traces, right in rows}


def test_each_problem_is_asked_until_it_has_enough_or_is_hopeless(adaptive: Make) -> None:
    found = counts(generated(adaptive(concurrency=1, hour=False)))
    assert found["Compute 1 + 2."] == (3, 3)
    assert found["Compute 3 + 4."][1] == 3
    assert found["Compute 5 + 6."][1] == 0
    assert 8 <= found["Compute 5 + 6."][0] < 20  # 0 of 8 is hopeless; beyond are those that then were on their way


def test_siblings_that_are_not_needed_any_more_are_called_off(adaptive: Make) -> None:
    """Of the last problem the first sample is wrong, the second right, and every further one takes an hour."""
    run = generated(adaptive(concurrency=8, correct=1))
    assert counts(run)["Compute 7 + 8."] == (2, 1)
    assert run.lake.value("SELECT count(*) FROM failures") == 0
    assert run.lake.value("SELECT cancelled FROM throughput") >= 1


def test_a_run_that_is_settled_asks_nothing_more(adaptive: Make) -> None:
    run = generated(adaptive(correct=1))
    before = counts(run)
    assert generate.generate(run) == 0
    assert counts(run) == before


def test_traces_that_a_killed_run_left_unjudged_are_judged_before_more_are_asked(
        adaptive: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = adaptive(correct=1)
    generated(run)
    traces = run.lake.ids("traces")
    for part in (run.lake.folder / "tables" / "verdicts").glob("part-*.parquet"):
        if "schema" not in part.name:
            part.unlink()
    for segment in (run.lake.folder / "journal").glob("verdicts-*"):
        segment.unlink()
    assert run.lake.value("SELECT count(*) FROM verdicts") == 0
    generate.generate(Run(run.recipe, Lake(run.lake.folder)))
    assert run.lake.ids("traces") == traces
    assert run.lake.value("SELECT count(*) FROM verdicts") == len(traces)


def buyer_of(run: Run) -> buyer.Buyer:
    load.load(run)
    job = generate.Job(run, "train", generate.make_teacher(run.recipe.teacher), run.recipe.generate)
    made = buyer.Buyer(job, job.teacher, budget.Meter(job), progress.Progress("generate", 1))
    for problems in generate.owed(job):
        made.plan.add(problems)
    return made


def test_a_sample_that_is_called_off_before_its_first_step_has_ended(adaptive: Make) -> None:
    async def called_off() -> None:
        made = buyer_of(adaptive())
        made._launch()
        tasks = list(made.flying.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(tasks) == 4
        assert not made.flying
        assert not any(asked.flying for asked in made.plan.open.values())
        made.stop()
    asyncio.run(called_off())


def test_a_verdict_may_settle_a_problem_of_which_a_budget_kept_a_sample_from_being_asked(adaptive: Make) -> None:
    async def settled() -> None:
        made = buyer_of(adaptive(correct=1))
        problem = made.plan.fresh[0].problem
        made.plan.next()
        made.plan.open[problem.id].unjudged = 1
        made._heard(beside.Answer("trace", problem, "", "digest"), Verdict("correct", "", ""))
        assert made.plan.open[problem.id].done
        assert made.progress.cancelled == 0
        made.stop()
    asyncio.run(settled())


def test_nothing_is_judged_after_an_interruption(adaptive: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted() -> None:
        made = buyer_of(adaptive())
        made.beside.finish = lambda: asyncio.sleep(3600)  # type: ignore[union-attr,method-assign,assignment]
        judging = asyncio.ensure_future(made.judge_rest())
        await asyncio.sleep(0)
        judging.cancel()
        await asyncio.wait([judging])
        assert made.beside._stopped  # type: ignore[union-attr]
    asyncio.run(interrupted())
