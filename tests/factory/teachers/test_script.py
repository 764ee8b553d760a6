"""The scripted server: its script, its tokens, and that it speaks as vLLM does."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from factory.protocols import UserError
from factory.teachers._script import FAULTS, Faults, Script, decode, encode, parse, render
from factory.teachers._script_server import Server
from factory.teachers.openai_api import openai_api

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Compute 2 + 2."}]


@pytest.mark.parametrize(("settings", "said"), [
    (["http_501=0.1"], "the script has no 'http_501': use one of model, seed"),
    (["http_500=2"], "http_500 = 2 has to be a share from 0 to 1"), (["http_500=x"], "has to be a share"),
    (["steps=0.5"], "steps = 0.5 has to be int"), (["delay=-1"], "delay = -1 has to be float, 0 or more"),
    (["slots=0"], "slots = 0 has to be int, 1 or more"),
    (["engine=1"], "engine = 1 has to be bool"), (["http_500=0.6", "hang=0.6"], "come to more than 1: lower some")])
def test_a_setting_that_cannot_be_is_refused(settings: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Script.read(settings)


@pytest.mark.asyncio
async def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="port 99999 cannot be served"):
        async with Server(Script()).serve(99999):
            pass


def test_settings_are_read_by_their_types() -> None:
    script = Script.read(["http_500=1", "steps=3", "retry_after=2", "engine=false"])
    assert (script.http_500, script.steps, script.retry_after, script.engine) == (1.0, 3, "2", False)


def test_faults_come_in_their_shares_and_the_same_each_time() -> None:
    script = Script.read(["http_500=0.2", "reset=0.1", "seed=3"])
    first, second = ([Faults(script).next(str(i)) for i in range(3000)] for _ in range(2))
    assert first == second
    assert 500 < first.count("http_500") < 700 and 200 < first.count("reset") < 400
    faults = Faults(Script.read(["hang=0.5"]))
    assert {faults.next("the same") for _ in range(40)} == {"", "hang"}, "it may succeed when it comes again"


@pytest.mark.parametrize("text", ["", "abc", "<think>a\n</think>b</think>", "é漢字😀", "<thinking>"])
def test_tokens_give_the_text_back(text: str) -> None:
    assert decode(encode(text)) == text
    assert len(encode(text)) <= max(1, len(text))


def test_a_rendered_prompt_is_parsed_back() -> None:
    assert parse(render(MESSAGES) + "<think>so") == (MESSAGES, "<think>so")


async def call(url: str, path: str, body: Any = None) -> Any:
    async with aiohttp.ClientSession() as session, session.request(
            "POST" if body is not None else "GET", url.removesuffix("/v1") + path, json=body) as reply:
        return json.loads(await reply.read())


@pytest.mark.asyncio
async def test_it_counts_and_numbers_tokens_as_vllm_does() -> None:
    async with Server(Script()).serve() as url:
        body = {"model": "scripted", "messages": MESSAGES, "seed": 1, "return_token_ids": True}
        reply = await call(url, "/v1/chat/completions", body)
        listing = await call(url, "/v1/models")
        tokens = await call(url, "/tokenize", {"messages": MESSAGES})
        assert await call(url, "/detokenize", {"tokens": tokens["tokens"]}) == {"prompt": render(MESSAGES)}
    choice, usage = reply["choices"][0], reply["usage"]
    assert decode(choice["token_ids"]) == choice["message"]["content"]
    assert (len(reply["prompt_token_ids"]), len(choice["token_ids"])) == (usage["prompt_tokens"],
                                                                          usage["completion_tokens"])
    assert choice["token_ids"][-1] not in encode(choice["message"]["content"]), "it ends with an id of the end"
    assert tokens["tokens"] == reply["prompt_token_ids"] and tokens["max_model_len"] == Script().context
    assert listing["data"][0]["owned_by"] == "vllm"


@pytest.mark.asyncio
async def test_max_tokens_cuts_and_a_stop_stops() -> None:
    async with Server(Script()).serve() as url:
        ask: Callable[..., Any] = lambda **more: call(url, "/v1/chat/completions", {  # noqa: E731
            "model": "scripted", "messages": MESSAGES, "seed": 1, "return_token_ids": True, **more})
        cut, stopped, by_id = await ask(max_tokens=30), await ask(stop=["Step 2"]), await ask(stop_token_ids=[1])
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 30)
    said = stopped["choices"][0]
    assert said["message"]["content"].endswith("\n") and said["stop_reason"] == "Step 2"
    assert by_id["choices"][0]["token_ids"][-1] == 1 and "</think>" not in by_id["choices"][0]["message"]["content"]


@pytest.mark.asyncio
async def test_a_cut_thought_is_gone_on_with_by_its_tokens() -> None:
    async with Server(Script.read(["truncation=1.0", "accuracy=1.0"])).serve() as url, openai_api(
            model="scripted", base_url=url, key_env="") as teacher:
        cut = await teacher.ask([{"role": "user", "content": "Compute 2 + 2."}], 1)
        assert (cut.finish_reason, cut.response) == ("length", "")
        whole = Script.read(["accuracy=1.0"])
    async with Server(whole).serve() as url, openai_api(model="scripted", base_url=url, key_env="") as teacher:
        rest = await teacher.complete(cut.tokens, 2)
    assert rest.finish_reason == "stop" and rest.raw.endswith(r"</think>The answer is \boxed{4}.")


@pytest.mark.asyncio
async def test_a_context_too_long_a_wrong_model_and_a_start_that_takes_time_are_refused_as_by_vllm() -> None:
    async with Server(Script.read(["context=100"])).serve() as url:
        body = {"model": "scripted", "messages": MESSAGES, "max_tokens": 90}
        refused = await call(url, "/v1/chat/completions", body)
        assert "maximum context length is 100 tokens" in refused["error"]["message"]
        assert (await call(url, "/v1/chat/completions", {**body, "model": "x"}))["error"]["code"] == 404
    async with Server(Script.read(["slow_start=600"])).serve() as url:
        assert (await call(url, "/v1/models"))["error"]["code"] == 503


@pytest.mark.asyncio
async def test_what_was_answered_in_full_is_logged(tmp_path: Path) -> None:
    script = Script.read([f"log={tmp_path / 'log'}", "http_500=0.5"])
    async with Server(script).serve() as url:
        for seed in range(20):
            await call(url, "/v1/chat/completions", {"model": "scripted", "messages": MESSAGES, "seed": seed})
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert 0 < len(lines) < 20
    assert {(json.dumps(line["prompt"]), line["status"]) for line in lines} == {(json.dumps(MESSAGES), 200)}


@pytest.mark.asyncio
async def test_whoever_goes_away_has_no_answer_and_makes_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    server, body = Server(Script(delay=0.2)), json.dumps({"model": "scripted", "messages": MESSAGES})
    async with server.serve() as url:
        port = int(url.split(":")[2].split("/")[0])
        _, gone = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        gone.write((head + body).encode())
        while not server.in_flight:
            await asyncio.sleep(0.01)
        gone.close()
        while server.in_flight:
            await asyncio.sleep(0.01)
        async with aiohttp.ClientSession() as session, session.get(f"{url}/models") as reply:
            assert reply.status == 200
    assert (server.requests, server.answers) == (1, 0)
    assert caplog.text == ""


def test_every_fault_has_its_mischief() -> None:
    from factory.teachers._script_server import MISCHIEF
    assert set(MISCHIEF) == set(FAULTS)
