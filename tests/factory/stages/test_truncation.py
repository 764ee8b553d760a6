"""What becomes of a cut-off trace: kept, dropped, continued token by token, or closed; and nothing is bought twice."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from factory import truncation
from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import validate
from factory.run import Run, make_teacher
from factory.stages import choose, generate, load
from factory.teachers._script import Script, decode, encode, render
from factory.teachers._script_server import Server

Make = Callable[..., Run]
LIMIT = 40
"""Characters, which are the scripted server's tokens: less than any of its thoughts."""


class Bench:
    """A scripted server in a thread of its own, and runs that ask it."""

    def __init__(self, make_run: Make, log: Path) -> None:
        self.make_run, self.log = make_run, log

    def serve(self, **settings: Any) -> None:
        ready, self.stop = threading.Event(), threading.Event()
        self.context = settings.get("context")

        async def serving() -> None:
            async with Server(Script(log=str(self.log), **settings)).serve() as self.url:
                ready.set()
                await asyncio.to_thread(self.stop.wait)

        self.thread = threading.Thread(target=lambda: asyncio.run(serving()))
        self.thread.start()
        assert ready.wait(60)

    def stop_serving(self) -> None:
        self.stop.set()
        self.thread.join()

    def keys(self, truncation: Any = "keep", limit: int = LIMIT, prefill: str = "", **options: Any) -> dict[str, Any]:
        """What a recipe says of it."""
        teacher = {"plugin": "openai_api", "model": "scripted", "base_url": self.url, "key_env": "",
                   "sampling": {"max_tokens": limit}, "prefill": prefill}
        return {"teacher": teacher, "generate": {"samples": 2, "truncation": truncation, **options}}

    def run(self, truncation: Any = "keep", limit: int = LIMIT, **options: Any) -> Run:
        made = self.make_run(**self.keys(truncation, limit, **options))
        load.load(made)
        return made

    def asked(self) -> Counter[str]:
        """How many requests were answered, by their kind."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return Counter("chat" if isinstance(json.loads(line)["prompt"][0], dict) else "text" for line in lines)


@pytest.fixture
def bench(make_run: Make, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(make_run, tmp_path / "answers.jsonl")
    yield bench
    bench.stop_serving()


def traces(run: Run) -> list[dict[str, Any]]:
    return run.lake.rows("SELECT * FROM run_traces WHERE run_id = $1 ORDER BY problem_id, sample", [run.id])


@pytest.mark.parametrize(("policy", "context", "there"), [("keep", 60, 0), ("continue", 78, 8)])
def test_what_was_too_long_is_asked_again_only_of_a_server_with_more_room(bench: Bench, policy: str, context: int,
                                                                          there: int) -> None:
    bench.serve(context=context)
    run = bench.run(policy)
    assert generate.generate(run) == there
    assert run.lake.rows("SELECT retry, context, count(*) AS rows FROM failures GROUP BY ALL") == [
        {"retry": False, "context": context, "rows": 8}]
    assert generate.generate(run) == 0
    bench.stop_serving()
    assert generate.generate(run) == 0, "nobody answers, so nobody has more room"
    bench.serve(context=100_000)
    assert generate.generate(bench.run(policy)) == (16 if policy == "continue" else 8) - there
    assert generate.generate(bench.run(policy)) == 0


def test_a_cut_trace_is_kept_and_marked(bench: Bench) -> None:
    bench.serve()
    run = bench.run()
    assert generate.generate(run) == 8
    kept = traces(run)
    assert {row["finish_reason"] for row in kept} == {"length"}
    assert {row["response"] for row in kept} == {""}
    assert all(decode(json.loads(row["tokens"])).endswith(row["raw"]) for row in kept)
    assert {row["parent"] for row in kept} == {None}


def test_a_whole_trace_keeps_no_tokens(bench: Bench) -> None:
    bench.serve()
    run = bench.run("continue", limit=100_000)
    assert generate.generate(run) == 8
    assert {(row["finish_reason"], row["tokens"], row["parent"]) for row in traces(run)} == {("stop", None, None)}
    assert bench.asked() == {"chat": 8}


def test_continuing_later_buys_only_the_continuations(bench: Bench, lake: Lake) -> None:
    bench.serve()
    generate.generate(bench.run())
    before = {row["id"]: row for row in lake.rows("SELECT * FROM traces")}
    run = bench.run({"policy": "continue", "max_tokens": 5000})
    assert generate.owed_count(generate.Job(run, "train", make_teacher(run.recipe.teacher), run.recipe.generate)) == 8
    assert generate.generate(run) == 8
    assert bench.asked() == {"chat": 8, "text": 8}
    for row in traces(run):
        parent = before[row["parent"]]
        assert row["raw"].startswith(parent["raw"])
        assert (row["finish_reason"], bool(row["response"])) == ("stop", True)
        assert row["prompt_tokens"] == parent["prompt_tokens"]
        assert row["completion_tokens"] > parent["completion_tokens"] == LIMIT
    assert len(traces(run)) == 8
    assert generate.generate(run) == 0


def test_it_goes_on_from_exactly_the_tokens_there_were(bench: Bench, lake: Lake) -> None:
    bench.serve()
    generate.generate(bench.run("continue"))
    rows = lake.rows("SELECT t.raw, t.parent, p.prompt FROM traces t JOIN problems p ON p.id = t.problem_id")
    sent = [json.loads(line)["prompt"] for line in bench.log.read_text().splitlines()]
    wanted = [encode(render([{"role": "user", "content": row["prompt"]}]) + row["raw"])
              for row in rows if row["parent"] is None]
    assert sorted(prompt for prompt in sent if isinstance(prompt[0], int)) == sorted(wanted)


def test_both_are_bought_in_one_go_and_going_back_buys_nothing(bench: Bench) -> None:
    bench.serve()
    run = bench.run("continue")
    assert generate.generate(run) == 16
    continued = traces(run)
    assert all(row["parent"] for row in continued)
    back = bench.run("keep")
    assert generate.generate(back) == 0
    assert {row["id"] for row in traces(back)} == {row["parent"] for row in continued}
    assert bench.asked() == {"chat": 8, "text": 8}


@pytest.mark.parametrize("form", ["continue_final_message", "prefix", "assistant"])
@pytest.mark.parametrize("policy", ["continue", "force_close"])
def test_where_no_tokens_are_told_a_text_is_gone_on_from_by_its_text_and_marked(bench: Bench, lake: Lake, form: str,
                                                                                policy: str) -> None:
    bench.serve(engine=False)
    kept = bench.run(prefill=form)
    assert generate.generate(kept) == 8
    run = bench.run({"policy": policy, "max_tokens": 5000}, prefill=form)
    truncation.check(make_teacher(run.recipe.teacher), run.recipe.generate)
    assert generate.generate(run) == 8
    for row in traces(run):
        parent = lake.rows("SELECT * FROM traces WHERE id = $1", [row["parent"]])[0]
        steps = lake.rows('SELECT * FROM steps WHERE trace_id = $1 ORDER BY "index"', [row["id"]])
        assert row["raw"] == "".join(step["text"] for step in steps)
        assert row["raw"].startswith(parent["raw"])
        assert row["raw"].count("<think>") == row["raw"].count("</think>") == 1
        assert (row["finish_reason"], bool(row["response"])) == ("stop", True)
        assert json.loads(steps[-1]["state"])["exact"] is False
        assert row["completion_tokens"] == LIMIT + row["spent"]
    assert generate.generate(run) == 0
    again = bench.run({"policy": policy, "max_tokens": 6000}, prefill=form)
    assert generate.generate(again) == 8, "another policy, from the same beginnings"
    assert len(traces(again)) == 8


def test_without_tokens_and_without_prefill_nothing_can_be_continued(bench: Bench) -> None:
    bench.serve(engine=False)
    run = bench.run("continue")
    with pytest.raises(UserError, match=r"tells no token ids.*teacher\.prefill"):
        generate.generate(run)


def test_the_segments_are_steps(bench: Bench, lake: Lake) -> None:
    bench.serve()
    run = bench.run({"policy": "continue", "max_tokens": 7})
    generate.generate(run)
    row = traces(run)[0]
    steps = lake.rows('SELECT * FROM steps WHERE trace_id = $1 ORDER BY "index"', [row["id"]])
    assert [(step["kind"], json.loads(step["state"])) for step in steps] == [
        ("segment", {"tokens": LIMIT, "ended": "length"}), ("segment", {"tokens": 7, "ended": "length"})]
    assert {step["value"] for step in steps} == {None}, "a value would be a label of a right or a wrong step"
    assert "".join(step["text"] for step in steps) == row["raw"]
    assert row["completion_tokens"] == LIMIT + 7
    assert row["finish_reason"] == "length"


def test_a_thought_is_closed_by_force(bench: Bench, lake: Lake) -> None:
    bench.serve()
    run = bench.run("force_close", limit=LIMIT)
    generate.generate(run)
    for row in traces(run):
        assert row["raw"][LIMIT + len("<think>") - 1:].startswith("\n</think>\n\n")
        assert row["response"]
        assert "think>" not in row["thinking"] + row["response"]
    kinds = Counter(row["kind"] for row in lake.rows("SELECT kind FROM steps"))
    assert kinds == {"segment": 16, "inserted": 8}


def test_what_was_cut_off_in_its_answer_has_nothing_to_close(bench: Bench, lake: Lake) -> None:
    bench.serve(steps=1)
    generate.generate(bench.run(limit=100_000))
    sizes = [len(encode(row["raw"])) for row in lake.rows("SELECT raw FROM traces")]
    run = bench.run("force_close", limit=sum(sizes) // len(sizes) - 4)
    generate.generate(run)
    in_answer = [row for row in traces(run) if row["finish_reason"] == "length" and row["response"]]
    assert in_answer
    assert all(row["parent"] is None for row in in_answer)
    assert generate.generate(run) == 0


def test_a_full_context_is_told_once_and_the_trace_stays(bench: Bench, lake: Lake) -> None:
    bench.serve(context=LIMIT + 60)
    run = bench.run("continue", limit=LIMIT, abort_after=2)
    generate.generate(run)
    size = LIMIT + 60
    rows = traces(run)
    assert len(rows) == 8
    assert all(row["prompt_tokens"] + row["completion_tokens"] == size for row in rows if row["parent"])
    again = bench.run({"policy": "continue", "max_tokens": 1}, limit=size - rows[0]["prompt_tokens"], abort_after=2)
    generate.generate(again)
    reasons = {row["reason"] for row in lake.rows("SELECT * FROM failures WHERE NOT retry")}
    assert reasons == {truncation.FULL}
    asked = bench.asked()
    assert generate.generate(again) == 0
    assert bench.asked() == asked


def test_old_traces_without_tokens_stay_as_they_are(bench: Bench, lake: Lake) -> None:
    bench.serve()
    generate.generate(bench.run())
    run = bench.run("continue")
    lake.compact()
    rows = [{**row, "tokens": None} for row in lake.rows("SELECT * FROM traces")]
    for part in (lake.folder / "tables" / "traces").glob("part-t*.parquet"):
        part.unlink()
    lake.append("traces", rows)
    assert generate.generate(run) == 0
    assert len(traces(run)) == 8


def test_a_continuation_that_fails_leaves_the_trace(bench: Bench, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("no luck")

    bench.serve()
    with monkeypatch.context() as patch:
        patch.setattr(truncation, "go_on", broken)
        run = bench.run("continue")
        assert generate.generate(run) == 8
    assert len(traces(run)) == 8
    assert lake.value("SELECT count(*) FROM failures WHERE reason LIKE '%no luck%'") == 8


def test_with_adaptive_samples_the_continuation_is_what_counts(bench: Bench, lake: Lake) -> None:
    bench.serve(accuracy=1.0)
    policy = {"policy": "continue", "max_tokens": 5000}
    run = bench.run(policy, samples=8, adaptive={"correct": 1})
    generate.generate(run)
    assert bench.asked()["text"] < 16, "of 32 samples most are not needed"
    status = lake.rows("SELECT t.parent, v.status FROM traces t LEFT JOIN verdicts v ON v.trace_id = t.id")
    assert {row["status"] for row in status if row["parent"]} == {"correct"}
    assert {row["status"] for row in status if not row["parent"]} == {None}
    assert generate.generate(run) == 0


def test_a_policy_of_dropping_is_a_rule(bench: Bench, lake: Lake, judged: Make) -> None:
    bench.serve()
    dataset = [{"name": "d", "selector": "shortest", "emitter": "sft"}]
    choose.choose(judged(**bench.keys("drop"), datasets=dataset))
    assert {row["reason"] for row in lake.rows("SELECT reason FROM drops")} == {"truncated"}
    kept = judged(**bench.keys("keep"), datasets=dataset)
    choose.choose(kept)
    reasons = lake.rows("SELECT reason FROM drops WHERE run_id = $1", [kept.id])
    assert {row["reason"] for row in reasons} == {"undecided"}
    assert bench.asked() == {"chat": 8}


def test_an_endpoint_that_tells_no_tokens_is_told_at_once(bench: Bench, lake: Lake) -> None:
    bench.serve(engine=False)
    run = bench.run("continue")
    with pytest.raises(UserError, match=r"no token ids.*vLLM"):
        truncation.check(make_teacher(run.recipe.teacher), run.recipe.generate)
    with pytest.raises(UserError, match=r"no token ids.*vLLM"):
        generate.generate(run)
    assert bench.asked() == {}
    generate.generate(bench.run("keep"))
    assert bench.asked() == {"chat": 8}


def test_a_teacher_that_knows_no_tokens_is_told_at_once(make_run: Make) -> None:
    run = make_run(generate={"truncation": "force_close"})
    with pytest.raises(UserError, match='truncation = "force_close" needs a teacher'):
        truncation.check(make_teacher(run.recipe.teacher), run.recipe.generate)
    forcing = make_run(generate={"strategy": {"plugin": "budget_forcing", "maximum": 9}})
    with pytest.raises(UserError, match="strategy 'budget_forcing' needs a teacher"):
        truncation.check(make_teacher(forcing.recipe.teacher), forcing.recipe.generate)
    truncation.check(make_teacher(run.recipe.teacher), make_run().recipe.generate)


def test_a_wrong_policy_is_refused() -> None:
    base = {"name": "x", "problems": ["jsonl"], "teacher": "scripted"}
    with pytest.raises(UserError, match=r"generate\.truncation\.policy = 'continu'"):
        validate({**base, "generate": {"truncation": "continu"}}, "here")
    with pytest.raises(UserError, match=r"generate\.truncation\.max_tokens"):
        validate({**base, "generate": {"truncation": {"policy": "continue", "max_tokens": 0}}}, "here")
