"""Budgets: asking stops there, what is in flight is finished, and the same run goes on with more."""

from collections.abc import Callable
from typing import Any

import pytest

from factory.protocols import Exhausted, UserError
from factory.run import Run
from factory.stages import budget, generate, load

Make = Callable[..., Run]
Private = Callable[[str, str], str]

TEACHER = '''
import asyncio
from factory.protocols import Exhausted
from factory.records import Completion

class Teacher:
    identity, gpus = {"plugin": "paid"}, 2
    def __init__(self, quota, concurrency):
        self.quota, self.concurrency, self.asked, self.most, self.now = quota, concurrency, 0, 0, 0
    def check(self): pass
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass
    async def ask(self, messages, seed):
        self.asked += 1
        if self.asked > self.quota:
            raise Exhausted("the quota of the day is used up")
        await asyncio.sleep(0.001 * (seed % 7))
        return Completion("so", "\\\\boxed{1}", "<think>so</think>\\\\boxed{1}", "stop", 100, 10, cached_tokens=60)

def paid(*, quota: int = 10**9, concurrency: int = 4):
    return Teacher(quota, concurrency)
'''


@pytest.fixture
def paid(make_run: Make, private: Private) -> Make:
    """A run of 4 problems with 25 samples of 10 tokens each; `teacher` are the plugin's parameters."""
    name = private("paid", TEACHER)

    def make(teacher: dict[str, Any] | None = None, **keys: Any) -> Run:
        run = make_run(**{"teacher": {"plugin": name, **(teacher or {})}, "generate": {"samples": 25}, **keys})
        load.load(run)
        return run
    return make


def bought(run: Run) -> int:
    return int(run.lake.value("SELECT count(*) FROM traces"))


def test_tokens_are_spent_up_to_the_limit_and_the_run_goes_on_with_more(paid: Make) -> None:
    run = paid(budget={"max_tokens": 300})
    with pytest.raises(Exhausted, match=r"budget.max_tokens = 300 is reached \(300\): nothing more was asked"):
        generate.generate(run)
    assert bought(run) == 30
    more = paid(budget={"max_tokens": 500})
    assert more.id == run.id
    with pytest.raises(Exhausted):
        generate.generate(more)
    assert bought(run) == 50
    assert generate.generate(paid()) == 50


def test_a_budget_that_is_used_up_starts_no_teacher(paid: Make) -> None:
    with pytest.raises(Exhausted):
        generate.generate(paid(budget={"max_tokens": 10}))
    run = paid(budget={"max_tokens": 10})
    starts = run.lake.value("SELECT count(*) FROM timings WHERE part = 'start the teacher'")
    with pytest.raises(Exhausted):
        generate.generate(run)
    assert run.lake.value("SELECT count(*) FROM timings WHERE part = 'start the teacher'") == starts


def test_a_run_that_is_finished_by_its_budget_says_nothing(paid: Make) -> None:
    assert generate.generate(paid(budget={"max_tokens": 1000})) == 100


def test_while_nobody_knows_what_a_sample_takes_few_are_asked(paid: Make) -> None:
    run = paid({"concurrency": 64}, budget={"max_tokens": 1})
    with pytest.raises(Exhausted):
        generate.generate(run)
    assert bought(run) <= budget.UNKNOWN


STUMBLES = """
from collections import Counter
from factory.protocols import AskFailed

SEEN = Counter()

async def stumbles(problem, ask):
    await ask([{"role": "user", "content": problem.prompt}])
    SEEN[ask.request.id] += 1
    if SEEN[ask.request.id] == 1:
        raise AskFailed("stumbled", retry=True, wait=0.001)
    return await ask([{"role": "user", "content": problem.prompt}])
"""


def test_a_resumed_run_knows_the_tokens_of_every_question_and_attempt(paid: Make, private: Private) -> None:
    strategy = {"plugin": private("stumbles", STUMBLES)}
    run = paid(generate={"samples": 2, "strategy": strategy})
    generate.generate(run)
    assert run.lake.rows("SELECT DISTINCT completion_tokens, spent FROM traces") == [
        {"completion_tokens": 10, "spent": 30}]
    job = generate.Job(run, "train", generate.make_teacher(run.recipe.teacher), run.recipe.generate)
    assert budget.Meter(job).tokens == 8 * 30


def test_dollars_count_the_cached_part_of_a_prompt_for_less(paid: Make) -> None:
    each = (40 * 10 + 60 * 1 + 10 * 100) / 1e6
    run = paid(price={"input": 10, "cached_input": 1, "output": 100}, budget={"max_usd": 20 * each})
    with pytest.raises(Exhausted, match=r"budget\.max_usd"):
        generate.generate(run)
    assert run.lake.value("SELECT max(abs(cost - $1)) FROM traces", [each]) < 1e-12
    row = run.lake.rows("SELECT * FROM costs")[0]
    assert 20 <= row["traces"] <= 21
    assert row["usd_per_trace"] == pytest.approx(each)
    assert row["usd_per_verified_trace"] is None


def test_gpu_hours_are_the_teachers_and_shared_among_its_traces(paid: Make) -> None:
    run = paid(price={"gpu_hour": 3.6e6}, budget={"max_gpu_hours": 100})  # $1000 a second for each of the two
    generate.generate(run)
    seconds = run.lake.value("SELECT sum(seconds) FROM timings WHERE part = 'GPU time'")
    spent = run.lake.value("SELECT sum(cost) FROM traces")
    assert 0 < spent <= 1000 * seconds


def test_gpu_hours_of_earlier_starts_count(paid: Make) -> None:
    run = paid(budget={"max_gpu_hours": 1.5})
    run.note_time("generate", "GPU time", 2 * 3600.0, rows=2)
    with pytest.raises(Exhausted, match=r"budget.max_gpu_hours = 1.5 is reached \(2.00\)"):
        generate.generate(run)


def test_seconds_are_those_of_one_start(paid: Make) -> None:
    with pytest.raises(Exhausted, match=r"budget\.max_seconds = 1e-09 is reached"):
        generate.generate(paid(budget={"max_seconds": 1e-9}))
    assert generate.generate(paid()) == 100


@pytest.mark.parametrize(("keys", "sentence"), [
    ({"budget": {"max_usd": 1}}, "budget.max_usd needs a price, and none is known for this teacher: set price.input"),
    ({"budget": {"max_gpu_hours": 1}, "price": {"gpus": 0}}, "budget.max_gpu_hours needs to know how many GPUs"),
])
def test_a_budget_that_cannot_be_measured_is_refused(paid: Make, keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        generate.generate(paid(**keys))


def test_when_a_quota_is_used_up_what_is_in_flight_is_finished_and_judged(paid: Make) -> None:
    run = paid({"quota": 30})
    with pytest.raises(Exhausted, match="the quota of the day is used up"):
        generate.generate(run)
    assert (bought(run), run.lake.value("SELECT count(*) FROM failures")) == (30, 0)
    assert run.lake.value("SELECT count(*) FROM verdicts") == 30


@pytest.mark.parametrize("key", ["max_tokens", "max_usd", "max_gpu_hours", "max_seconds"])
@pytest.mark.parametrize("value", [0, -1, "much"])
def test_a_limit_that_is_none_is_refused(make_run: Make, key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"budget.{key}"):
        make_run(budget={key: value})


def test_the_gpu_time_of_an_evaluation_is_none_of_the_runs(paid: Make) -> None:
    run = paid()
    for part, noted in (("evaluate", 0), ("train", 1)):
        teacher = generate.make_teacher(run.recipe.teacher)
        budget.Meter(generate.Job(run, part, teacher, run.recipe.generate)).note_gpus(at_once=True)
        assert run.lake.value("SELECT count(*) FROM timings WHERE part = 'GPU time'") == noted


def test_gpu_time_is_noted_of_a_run_that_breaks_off(paid: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Any) -> None:
        raise UserError("no more")
    run = paid()
    monkeypatch.setattr(generate.Buyer, "work", broken)
    with pytest.raises(UserError, match="no more"):
        generate.generate(run)
    assert run.lake.value("SELECT sum(seconds) FROM timings WHERE part = 'GPU time'") > 0


def test_what_is_in_flight_is_expected_to_cost_what_the_gpus_did(paid: Make) -> None:
    run = paid(price={"gpu_hour": 1}, budget={"max_usd": 10})
    meter = budget.Meter(generate.Job(run, "train", generate.make_teacher(run.recipe.teacher), run.recipe.generate))
    meter.spend(budget.Usage(completion=10), 0.0)
    meter.usd += 4
    assert meter.admits(1)
    assert not meter.admits(2)
