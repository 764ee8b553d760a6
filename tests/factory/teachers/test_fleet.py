"""Several endpoints, and bad ones: the client against scripted servers in this process."""

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from factory.protocols import AskFailed, Exhausted, UserError
from factory.records import Completion, Message
from factory.teachers import _endpoint, _fleet
from factory.teachers._script import Script
from factory.teachers._script_server import Server
from factory.teachers.openai_api import OpenAiApi, openai_api

KEY = "sk-0123456789abcdef-top-secret"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_fleet, "POLL", 0.05)
    monkeypatch.setattr(_endpoint, "LONGEST", 0.2)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@contextlib.asynccontextmanager
async def servers(*settings: list[str], **parameters: Any) -> AsyncIterator[tuple[OpenAiApi, list[Server]]]:
    """A teacher in front of one server for each list of settings."""
    made = [Server(Script.read(given)) for given in settings]
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(server.serve()) for server in made]
        teacher = openai_api(**{"model": "scripted", "base_url": urls, "key_env": "", **parameters})
        yield await stack.enter_async_context(teacher), made


async def ask(teacher: OpenAiApi, number: int, attempts: int = 50) -> Completion:
    """As the stage asks, without its pauses."""
    messages: list[Message] = [{"role": "user", "content": f"Compute {number} + 1."}]
    for _ in range(attempts - 1):
        with contextlib.suppress(AskFailed):
            return await teacher.ask(messages, number)
    return await teacher.ask(messages, number)


async def ask_all(teacher: OpenAiApi, count: int) -> list[str]:
    return [completion.raw for completion in await asyncio.gather(*(ask(teacher, i) for i in range(count)))]


async def truth(count: int) -> list[str]:
    async with servers([]) as (teacher, _):
        return await ask_all(teacher, count)


def dead() -> Iterator[str]:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, not listening: nothing else can answer here
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"


dead_url = pytest.fixture(dead)


@pytest.mark.asyncio
async def test_the_work_is_shared_by_tokens_in_flight() -> None:
    async with servers(["delay=0.05"], ["delay=0.01"]) as (teacher, (slow, quick)):
        assert teacher.concurrency == 64
        assert len(set(await ask_all(teacher, 300))) > 250
    assert slow.answers + quick.answers == 300
    assert 20 < slow.answers < quick.answers, "who is slow has more in flight, and so gets less"


@pytest.mark.asyncio
async def test_one_dead_endpoint_at_the_start_is_left_out_and_two_are_an_error(
        dead_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with Server(Script()).serve() as url, openai_api(model="scripted", base_url=[dead_url, url],
                                                           key_env="") as teacher:
        await ask_all(teacher, 20)
    assert f"nothing answers at {dead_url}" in caplog.text
    with pytest.raises(UserError, match=r"nothing answers at .* or .*: start the server or set teacher\.base_url"):
        async with openai_api(model="scripted", base_url=[dead_url, dead_url.replace("127.0.0.1", "localhost")]):
            pass


@pytest.mark.asyncio
async def test_one_that_dies_hands_its_work_to_the_other_and_comes_back() -> None:
    a, b = Server(Script()), Server(Script())
    async with b.serve() as url_b, contextlib.AsyncExitStack() as stack:
        url_a = await stack.enter_async_context(a.serve())
        async with openai_api(model="scripted", base_url=[url_a, url_b], key_env="") as teacher:
            await ask_all(teacher, 40)
            await stack.aclose()
            before, all_there = b.answers, await ask_all(teacher, 200)
            assert b.answers >= before + 200
            assert teacher.concurrency == 32, "only one of the two is up"
            async with a.serve(int(url_a.split(":")[2].split("/")[0])):
                for _ in range(1000):
                    if teacher.concurrency == 64:
                        break
                    await asyncio.sleep(0.02)
                count = a.answers
                await ask_all(teacher, 100)
                assert a.answers > count
    assert all_there == await truth(200)


@pytest.mark.asyncio
async def test_a_lone_one_that_goes_away_is_waited_for() -> None:
    server = Server(Script())
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.serve())
        async with openai_api(model="scripted", base_url=url, key_env="") as teacher:
            await ask(teacher, 1)
            await stack.aclose()
            waiting = asyncio.ensure_future(ask(teacher, 2))
            await asyncio.wait([waiting], timeout=0.3)
            assert not waiting.done()
            async with server.serve(int(url.split(":")[2].split("/")[0])):
                assert r"\boxed{" in (await waiting).raw


@pytest.mark.asyncio
async def test_one_that_stays_away_ends_the_run_with_one_sentence() -> None:
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(Server(Script()).serve())
        async with openai_api(model="scripted", base_url=url, key_env="", patience=0.1) as teacher:
            await stack.aclose()
            for _ in range(2):
                with pytest.raises(UserError, match=rf"no answer from {url} any more.*run the same command again"):
                    await ask(teacher, 1)
            assert teacher.concurrency == 1, "somebody has to be told"


@pytest.mark.asyncio
async def test_one_that_only_fails_is_left_out_while_another_is_there() -> None:
    async with servers(["http_500=1.0"], []) as (teacher, (bad, good)):
        assert await ask_all(teacher, 300) == await truth(300)
    assert good.answers == 300
    assert bad.requests < 150


@pytest.mark.asyncio
async def test_every_fault_is_met_and_every_sample_comes_once_and_right() -> None:
    settings = ["http_500=0.1", "reset=0.08", "half=0.04", "html=0.04", "hang=0.02", "http_429=0.02"]
    async with servers(settings, idle_timeout=0.3) as (teacher, (server,)):
        teacher._fleet.endpoints[0]._moved = -1e9
        assert await ask_all(teacher, 300) == await truth(300)
    assert server.requests > 380


@pytest.mark.asyncio
async def test_a_refusing_server_is_asked_for_less_at_once_until_it_refuses_no_more() -> None:
    async with servers(["busy_above=4", "delay=0.02", "engine=false"], concurrency=64) as (teacher, (server,)):
        await ask_all(teacher, 300)
        assert teacher.concurrency < 16
    assert server.requests < 600, "not three hundred at once again and again"


@pytest.mark.asyncio
async def test_one_that_refuses_everything_ends_the_run() -> None:
    async with servers(["http_429=1.0"]) as (teacher, _):
        with pytest.raises(UserError, match=r"refuses every request .429: Too many requests.*see to the limits"):
            await ask(teacher, 1)


@pytest.mark.asyncio
async def test_retry_after_as_a_date_is_obeyed() -> None:
    async with servers(["http_429=1.0", "retry_after=date:7200"]) as (teacher, (server,)):
        with pytest.raises(Exhausted, match="takes no requests before 20"):
            await ask(teacher, 1)
    assert server.requests == 1


@pytest.mark.asyncio
async def test_a_days_quota_is_never_passed_and_a_restart_goes_on_counting() -> None:
    for before in (0, 7):
        async with servers([], limits={"requests_per_day": 7}) as (teacher, (server,)):
            await ask_all(teacher, 7 - before)
            with pytest.raises(Exhausted, match=r"the day's quota of 127\.0\.0\.1 is spent"):
                await ask(teacher, 20)
            assert server.requests == 7 - before


@pytest.mark.asyncio
@pytest.mark.parametrize("old", ["true", "false"])
async def test_the_cap_follows_an_engine_of_either_generation(old: str) -> None:
    settings = [f"old_metrics={old}", "kv_tokens=20000", "delay=0.2"]
    async with servers(settings, concurrency=640, sampling={"max_tokens": 500}) as (teacher, (server,)):
        assert teacher.concurrency == 40, "20,000 tokens of memory for answers of at most 500"
        await ask_all(teacher, 200)
        assert teacher.figures()["looks"] > 2
        assert teacher.idle_share is not None
    assert server.answers == 200


@pytest.mark.asyncio
async def test_without_an_engine_the_cap_is_fixed() -> None:
    async with servers(["engine=false"], concurrency=17) as (teacher, _):
        await ask(teacher, 1)
        assert (teacher.concurrency, teacher.idle_share, teacher.token_ids) == (17, None, False)


@pytest.mark.asyncio
async def test_a_long_answer_is_waited_for_while_the_engine_writes() -> None:
    """Silent for longer than `idle_timeout`, but other requests show that the engine moves."""
    async with servers(["delay=0.6"], idle_timeout=0.3) as (teacher, (server,)):
        async def others() -> None:
            while True:
                server.written += 1
                await asyncio.sleep(0.02)
        moving = asyncio.ensure_future(others())
        assert r"\boxed{" in (await ask(teacher, 1, attempts=1)).raw
        moving.cancel()


@pytest.mark.asyncio
async def test_a_wrong_key_at_one_of_two_costs_that_one_only(monkeypatch: pytest.MonkeyPatch,
                                                             caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("SERVERS_KEY", KEY)
    monkeypatch.setenv("OUR_KEY", "sk-another-0123456789")
    async with servers([], [], key_env="OUR_KEY") as (teacher, (a, b)):
        a.key = KEY  # taken back while the run is going
        assert await ask_all(teacher, 60) == await truth(60)
    assert (b.answers, "going on without it" in caplog.text) == (60, True)


@pytest.mark.asyncio
async def test_the_key_is_in_no_error_no_answer_and_no_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                           caplog: pytest.LogCaptureFixture) -> None:
    """The server repeats it in its refusal, as some do, and in an answer, as none should."""
    caplog.set_level("DEBUG")
    monkeypatch.setenv("OUR_KEY", KEY)
    texts: list[str] = []
    server = Server(Script())
    async with server.serve() as url, openai_api(model="scripted", base_url=url, key_env="OUR_KEY") as teacher:
        completion = await teacher.ask([{"role": "user", "content": "Compute 1 + 1."}], 1)
        monkeypatch.setattr(server, "_chat", lambda body: {"error": f"bad request with {KEY}"})
        with pytest.raises(AskFailed) as failed:
            await teacher.ask([{"role": "user", "content": "?"}], 1)
        texts += [failed.value.reason, repr(failed.value.__cause__), repr(failed.value.__context__)]
        monkeypatch.setattr(server, "_chat", lambda body: {
            "choices": [{"message": {"content": f"my key is {KEY}"}, "finish_reason": "stop"}],
            "usage": {"total_tokens": 1, "completion_tokens": 1}})
        echoed = await teacher.ask([{"role": "user", "content": "?"}], 1)
        server.key = "another"
        with pytest.raises(UserError) as refused:
            await teacher.ask([{"role": "user", "content": "?"}], 1)
        texts += [str(refused.value), repr(completion), repr(echoed), json.dumps(teacher.identity),
                  json.dumps(teacher.figures()), caplog.text]
    assert "[the key]" in echoed.raw
    assert [text for text in texts if KEY in text or "top-secret" in text] == []


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1:1/v1", "http://127.0.0.1:1/v1?api_key=secret"])
def test_a_key_in_an_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UserError, match=r"the environment variable that teacher\.key_env names") as refused:
        openai_api(model="m", base_url=url, key_env="").check()
    assert "secret" not in str(refused.value)


def test_adding_an_endpoint_changes_no_identity() -> None:
    one = openai_api(model="m", base_url="https://a.example/v1").identity
    assert openai_api(model="m", base_url=["https://a.example/v1", "https://b.example/v1"]).identity == one
    assert openai_api(model="m", base_url="https://b.example/v1").identity != one


@pytest.mark.asyncio
async def test_no_more_are_in_flight_at_an_endpoint_than_its_cap() -> None:
    async with servers(["delay=0.02"], ["delay=0.02"], concurrency=5) as (teacher, made):
        peak: Counter[int] = Counter()

        async def watch() -> None:
            while True:
                for i, server in enumerate(made):
                    peak[i] = max(peak[i], server.in_flight)
                await asyncio.sleep(0.001)
        watching = asyncio.ensure_future(watch())
        await ask_all(teacher, 100)
        watching.cancel()
    assert max(peak.values()) == 5


@pytest.mark.asyncio
async def test_a_server_without_gauges_that_hangs_is_given_up_after_its_silence() -> None:
    async with servers(["hang=1.0", "engine=false"], idle_timeout=0.2) as (teacher, _):
        with pytest.raises(AskFailed, match="no byte for too long") as failed:
            await ask(teacher, 1, attempts=1)
    assert failed.value.retry
