"""The bundled teacher in a real vLLM: a continued trace is the uncut one, token for token, and budgets are kept."""

import asyncio
import importlib.util
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from factory import truncation
from factory.lake import Lake
from factory.prices import Usage
from factory.recipe import Truncation, validate
from factory.records import Message, Problem, Request
from factory.run import Run
from factory.stages import generate, load
from factory.stages.asker import Asker
from factory.strategies.budget_forcing import budget_forcing
from factory.teachers.openai_api import openai_api
from factory.teachers.vllm_server import vllm_server

TEACHER = Path(__file__).parents[2] / "data" / "teacher"
PROBLEM = Problem("Compute 34 * 4 + 57 - 12.", "181")
ASKED: list[Message] = [{"role": "user", "content": PROBLEM.prompt}]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """One vLLM for all tests here; its base URL."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    url: Queue[str] = Queue()
    stop = threading.Event()

    async def serving() -> None:
        try:
            async with vllm_server(model=str(TEACHER), sampling={}, concurrency=8) as teacher:
                assert len((await teacher.complete(await teacher.encode("Wait"), 1, max_tokens=2)).tokens) > 2
                url.put(teacher.servers[0].base_url)
                await asyncio.to_thread(stop.wait)
        finally:
            url.put("")

    thread = threading.Thread(target=lambda: asyncio.run(serving()))
    thread.start()
    if base_url := url.get():
        yield base_url
    stop.set()
    thread.join()
    assert base_url, "the server did not start"


@asynccontextmanager
async def asking(url: str, most: int = 600) -> AsyncIterator[Asker]:
    sampling = {"temperature": 0.0, "max_tokens": most, "logprobs": True}
    async with openai_api(model="teacher", base_url=url, key_env="", sampling=sampling) as teacher:
        yield Asker(teacher, Request(PROBLEM.id, "{}", "{}", 0), Usage())


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_continued_trace_is_the_one_that_was_never_cut_off(server: str) -> None:
    async with asking(server) as ask:
        whole = await ask(ASKED)
    assert (whole.finish_reason, whole.tokens) == ("stop", ())
    for size in range(3, whole.completion_tokens, 7):
        async with asking(server, size) as ask:
            cut = await ask(ASKED)
            assert (cut.finish_reason, cut.completion_tokens) == ("length", size)
            more = await truncation.go_on(cut, ask, Truncation(policy="continue", max_tokens=600))
            assert (more.raw, more.finish_reason, more.completion_tokens) == (
                whole.raw, "stop", whole.completion_tokens)
            assert more.mean_logprob == pytest.approx(whole.mean_logprob, abs=1e-3)
            if not cut.response:
                closed = await truncation.go_on(cut, ask, Truncation(policy="force_close", max_tokens=60))
                assert closed.raw.startswith(cut.raw + "\n</think>\n\n")
                assert closed.response


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_budget_is_kept_to_the_token(server: str) -> None:
    async with asking(server) as ask:
        for maximum in (5, 20, 33):
            await stops_at(ask, maximum)
        await waits(ask)


async def stops_at(ask: Asker, maximum: int) -> None:
    made = await budget_forcing(PROBLEM, ask, maximum=maximum, waits=0, answer_tokens=60)
    assert made.thinking_tokens == maximum
    assert made.raw.startswith(made.steps[0].text + "\n</think>\n\nFinal Answer:")


async def waits(ask: Asker) -> None:
    waited = await budget_forcing(PROBLEM, ask, maximum=500, waits=2, answer_tokens=60)
    assert [step.text for step in waited.steps if step.kind == "inserted"] == ["Wait", "Wait", "</think>"]
    assert "".join(step.text for step in waited.steps) == waited.raw
    assert "</think>" not in waited.thinking
    sizes = [json.loads(str(step.state)) for step in waited.steps if step.kind == "segment"]
    assert sum(state["tokens"] for state in sizes[:-1]) + 2 * len(await ask.encode("Wait")) == waited.thinking_tokens


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_text_goes_on_inside_a_character(server: str) -> None:
    async with asking(server) as ask:
        prompt, sign = list(await ask.encode(ASKED)), list(await ask.encode("🙂"))
        assert len(sign) > 2, "the bundled teacher has a token for each byte"
        parts = [await ask.complete([*prompt, *sign[:size]], max_tokens=1, allowed_token_ids=[sign[size]])
                 for size in range(len(sign))]
    assert "".join(part.raw for part in parts) == "🙂"


@pytest.mark.slow
def test_a_run_continues_what_another_left_cut_off(server: str, tmp_path: Path) -> None:
    made = {policy: bought(server, tmp_path, policy) for policy in ("keep", "continue")}
    kept, continued = made["keep"], made["continue"]
    assert {row["finish_reason"] for row in kept} == {"length"}
    assert {row["parent"] for row in continued} == {row["id"] for row in kept}
    assert {row["finish_reason"] for row in continued} == {"stop"}
    assert all(row["response"] for row in continued)


def bought(url: str, folder: Path, policy: str) -> list[dict[str, Any]]:
    """What a run of that policy has, on the one lake of the test."""
    recipe = validate({
        "name": "r", "problems": [{"plugin": "worlds", "count": 4, "families": ["expression"]}],
        "teacher": {"plugin": "openai_api", "model": "teacher", "base_url": url, "key_env": "",
                    "sampling": {"temperature": 0.7, "max_tokens": 12}},
        "generate": {"samples": 2, "truncation": policy if policy == "keep" else {"policy": policy, "max_tokens": 600}},
        "verify": {"beside": False}}, "the test")
    run = Run(recipe, Lake(folder / "lake"))
    run.register()
    load.load(run)
    assert generate.generate(run) == 8
    return run.lake.rows("SELECT * FROM run_traces WHERE run_id = $1", [run.id])
