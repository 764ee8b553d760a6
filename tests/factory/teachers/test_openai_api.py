"""The client of an endpoint, against a small server in this process: what it sends, reads, and makes of failures."""

import asyncio
import contextlib
import json
import math
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from factory.protocols import AskFailed, Exhausted, UserError
from factory.records import Message
from factory.teachers._client import retry_after
from factory.teachers._reply import read_completion
from factory.teachers.openai_api import OpenAiApi, openai_api

Reply = Callable[[web.Request], web.StreamResponse]
PROMPT: list[Message] = [{"role": "user", "content": "2+2?"}]


def chat(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


class Endpoint:
    """A server whose answers are set by the test; `seen` holds the bodies that came."""

    def __init__(self) -> None:
        self.chat: Reply = lambda _: web.json_response(chat({"content": "<think>a</think>4"}))
        self.models: Reply = lambda _: web.json_response({"data": [{"id": "m"}, {"id": "other"}]})
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.url = ""

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        return self.chat(request)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return self.models(request)

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator["Endpoint"]:
        app = web.Application()
        app.add_routes([web.get("/v1/models", self._models), web.post("/v1/chat/completions", self._chat)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()

    def teacher(self, **parameters: Any) -> OpenAiApi:
        return openai_api(**{"model": "m", "base_url": self.url, **parameters})


async def failure(endpoint: Endpoint) -> AskFailed:
    async with endpoint.serve(), endpoint.teacher() as teacher:
        with pytest.raises(AskFailed) as failed:
            await teacher.ask(PROMPT, 1)
    return failed.value


# -- success ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_one_request_with_the_sampling_and_the_seed() -> None:
    sampling = {"temperature": 0.7, "top_k": 20, "extra_body": {"min_p": 0.1}}
    async with Endpoint().serve() as endpoint, endpoint.teacher(sampling=sampling) as teacher:
        completion = await teacher.ask(PROMPT, 42)
    assert endpoint.seen == [
        {"model": "m", "messages": PROMPT, "temperature": 0.7, "top_k": 20, "min_p": 0.1, "seed": 42}]
    assert (completion.thinking, completion.response, completion.raw) == ("a", "4", "<think>a</think>4")
    assert (completion.finish_reason, completion.prompt_tokens, completion.completion_tokens) == ("stop", 5, 7)
    assert (completion.thinking_tokens, completion.mean_logprob) == (None, None)


@pytest.mark.asyncio
async def test_no_seed_where_the_endpoint_takes_none() -> None:
    async with Endpoint().serve() as endpoint, endpoint.teacher(seeds=False) as teacher:
        await teacher.ask(PROMPT, 42)
    assert "seed" not in endpoint.seen[0]


@pytest.mark.asyncio
async def test_the_key_comes_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    async with Endpoint().serve() as endpoint, endpoint.teacher(key_env="MY_KEY") as teacher:
        await teacher.ask(PROMPT, 1)
    assert endpoint.keys == ["Bearer secret"]
    assert "secret" not in json.dumps(teacher.identity)


@pytest.mark.asyncio
async def test_as_many_requests_are_in_flight_as_asked_for() -> None:
    """Every answer waits until all requests are there: a hidden limit (aiohttp's is 100) would wait forever."""
    concurrency, arrived, all_here = 150, 0, asyncio.Event()

    async def wait(_: web.Request) -> web.StreamResponse:
        nonlocal arrived
        arrived += 1
        if arrived == concurrency:
            all_here.set()
        await all_here.wait()
        return web.json_response(chat({"content": "4"}))

    endpoint = Endpoint()
    endpoint._chat = wait  # type: ignore[method-assign, assignment]
    async with endpoint.serve(), endpoint.teacher(concurrency=concurrency, connect_timeout=600) as teacher:
        await asyncio.gather(*(teacher.ask(PROMPT, i) for i in range(concurrency)))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_separate_field_is_put_back_into_the_raw_text(field: str) -> None:
    completion = read_completion(json.dumps(chat({"content": "\n4", field: "a\n"})).encode())
    assert (completion.thinking, completion.response) == ("a", "4")
    assert completion.raw == "<think>a\n</think>\n4"


def test_a_thought_cut_off_in_a_separate_field_stays_open() -> None:
    completion = read_completion(json.dumps(chat({"content": None, "reasoning": "a"}, "length")).encode())
    assert (completion.raw, completion.thinking, completion.response) == ("<think>a", "a", "")


def test_reasoning_tokens_and_the_logprobs_are_read() -> None:
    reply = chat({"content": "4"}, logprobs={"content": [{"token": "4", "logprob": -1}, {"token": "", "logprob": -2}]})
    reply["usage"]["completion_tokens_details"] = {"reasoning_tokens": 3}
    completion = read_completion(json.dumps(reply).encode())
    assert completion.thinking_tokens == 3
    assert completion.mean_logprob is not None
    assert math.isclose(completion.mean_logprob, -1.5) and completion.min_logprob == -2


# -- failures of a request -------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "retry"), [
    (400, False), (403, False), (413, False), (422, False),
    (408, True), (409, True), (500, True), (502, True), (503, True), (529, True)])
async def test_which_statuses_are_worth_another_attempt(status: int, retry: bool) -> None:
    endpoint = Endpoint()
    endpoint.chat = lambda _: web.json_response({"error": {"message": "because"}}, status=status)
    failed = await failure(endpoint)
    assert (failed.reason, failed.retry, failed.wait) == (f"{status}: because", retry, 0)
    assert len(endpoint.seen) == 1, "the client must not retry by itself"


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "headers"), [
    (429, {}), (429, {"Retry-After": "0.1"}), (503, {"Retry-After": "0.1"})])
async def test_a_refusal_is_waited_out_and_costs_no_attempt(status: int, headers: dict[str, str]) -> None:
    endpoint = Endpoint()
    good = endpoint.chat
    refusal = dict(status=status, headers=headers)
    endpoint.chat = lambda r: good(r) if len(endpoint.seen) > 2 else web.json_response({}, **refusal)
    async with endpoint.serve(), endpoint.teacher() as teacher:
        assert (await teacher.ask(PROMPT, 1)).response == "4"
    assert len(endpoint.seen) == 3


@pytest.mark.asyncio
async def test_a_retry_after_of_hours_ends_the_run_until_then() -> None:
    endpoint = Endpoint()
    endpoint.chat = lambda _: web.json_response({"error": {"message": "daily quota"}}, status=429,
                                                headers={"Retry-After": "40000"})
    async with endpoint.serve(), endpoint.teacher() as teacher:
        for _ in range(2):
            with pytest.raises(Exhausted, match=r"no requests before 20.* UTC \(429: daily quota\).*goes on after"):
                await teacher.ask(PROMPT, 1)
    assert len(endpoint.seen) == 1, "nobody asks before the time is over"


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "body", "said"), [
    (401, {}, "refuses the key: put a valid one into the environment variable OPENAI_API_KEY"),
    (404, {"error": {"message": "gone"}}, r"no model 'm' or no chat completions \(gone\): set teacher\.model"),
    (402, {"error": {"message": "balance"}}, "top the account up"),
    (429, {"error": {"message": "no", "code": "insufficient_quota"}}, "top the account up")])
async def test_what_every_request_would_meet_ends_the_run_and_no_row_is_blamed(
        status: int, body: dict[str, Any], said: str) -> None:
    endpoint = Endpoint()
    endpoint.chat = lambda _: web.json_response(body, status=status)
    async with endpoint.serve(), endpoint.teacher() as teacher:
        for _ in range(2):
            with pytest.raises(UserError, match=said):
                await teacher.ask(PROMPT, 1)
    assert len(endpoint.seen) == 1


@pytest.mark.asyncio
async def test_a_context_that_is_too_short_is_said_with_what_to_do() -> None:
    endpoint = Endpoint()
    endpoint.chat = lambda _: web.json_response(
        {"error": {"message": "This model's maximum context length is 512 tokens."}}, status=400)
    failed = await failure(endpoint)
    assert (failed.retry, "lower teacher.sampling.max_tokens" in failed.reason) == (False, True)


@pytest.mark.parametrize(("value", "seconds"), [
    ("2.5", 2.5), ("-1", 0), ("", 0), ("soon", 0), ("nan", 0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)])
def test_forms_of_retry_after(value: str, seconds: float) -> None:
    assert retry_after({"retry-after": value}) == seconds


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [
    '{"choices": [{"mess', "<html>busy</html>", "[]", "null", '{"choices": []}', '{"choices": [{"message": null}]}',
    '{"error": {"message": "overloaded"}}'])
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
async def test_a_reply_that_is_no_completion_is_worth_another_attempt(body: str, kind: str) -> None:
    endpoint = Endpoint()
    endpoint.chat = lambda _: web.Response(text=body, content_type=kind)
    assert (await failure(endpoint)).retry


@pytest.mark.asyncio
async def test_a_connection_that_breaks_is_worth_another_attempt() -> None:
    def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.close()
        return web.Response()

    endpoint = Endpoint()
    endpoint.chat = hang_up
    failed = await failure(endpoint)
    assert (failed.retry, failed.reason.startswith("no connection")) == (True, True)


# -- mistakes that are found before the first request ----------------------------------------------------------------


async def refusal(endpoint: Endpoint, **parameters: Any) -> str:
    async with endpoint.serve():
        with pytest.raises(UserError) as refused:
            async with endpoint.teacher(**parameters):
                pass
    return str(refused.value)


@pytest.mark.asyncio
async def test_a_dead_endpoint_is_named() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, not listening: nothing else can answer here
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
        with pytest.raises(UserError, match=f"nothing answers at {url}.*start the server or set teacher.base_url"):
            async with openai_api(model="m", base_url=url):
                pass


@pytest.mark.asyncio
async def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    said = await refusal(Endpoint(), model="othr")
    assert "no model 'othr'" in said
    assert "other" in said


@pytest.mark.asyncio
async def test_a_refused_key_names_its_variable() -> None:
    endpoint = Endpoint()
    endpoint.models = lambda _: web.json_response({}, status=401)
    assert "MY_KEY" in await refusal(endpoint, key_env="MY_KEY")


@pytest.mark.asyncio
async def test_a_server_in_trouble_is_not_started_on() -> None:
    endpoint = Endpoint()
    endpoint.models = lambda _: web.json_response({"message": "loading"}, status=503)
    assert "503 (loading)" in await refusal(endpoint)


@pytest.mark.asyncio
@pytest.mark.parametrize("reply", [
    lambda _: web.Response(status=404), lambda _: web.Response(status=405), lambda _: web.Response(status=403),
    lambda _: web.Response(text="hello"), lambda _: web.json_response({"data": []})])
async def test_an_endpoint_without_a_listing_is_accepted(reply: Reply) -> None:
    endpoint = Endpoint()
    endpoint.models = reply
    async with endpoint.serve(), endpoint.teacher() as teacher:
        assert (await teacher.ask(PROMPT, 1)).response == "4"


def test_a_key_is_needed_unless_the_endpoint_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        openai_api(model="m").check()
    openai_api(model="m", base_url="http://localhost:8000/v1").check()
    openai_api(model="m", base_url="http://10.0.0.1:8000/v1", key_env="").check()
    with pytest.raises(UserError, match="http://host:port/v1"):
        openai_api(model="m", base_url="localhost:8000").check()


@pytest.mark.parametrize(("sampling", "said"), [
    ({"n": 4}, "teacher.sampling.n is set"), ({"seed": 1}, "teacher.sampling.seed"), ({"x": {1}}, "numbers, texts"),
    ({"extra_body": {"stream": True}}, "teacher.sampling.stream"), ({"x": math.nan}, "numbers, texts"),
    ({"extra_body": 3}, "teacher.sampling.extra_body is 3: write a table"),
    ({"max_tokens": "x"}, "teacher.sampling.max_tokens is 'x': set a whole number"),
    ({"extra_body": {"max_tokens": 0}}, "teacher.sampling.max_tokens is 0")])
def test_sampling_that_cannot_be_sent_is_refused(sampling: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        openai_api(model="m", sampling=sampling)


@pytest.mark.parametrize("seconds", [{"connect_timeout": 0}, {"idle_timeout": -1}])
def test_a_time_limit_that_is_none_is_refused(seconds: dict[str, float]) -> None:
    with pytest.raises(UserError, match="set seconds above 0"):
        openai_api(model="m", **seconds)  # type: ignore[arg-type]


def test_the_identity_is_what_determines_answers() -> None:
    local = openai_api(model="m", base_url="http://127.0.0.1:1/v1", sampling={"top_p": 0.9})
    moved = openai_api(model="m", base_url="http://localhost:2/v1", sampling={"top_p": 0.9}, concurrency=1)
    assert local.identity == moved.identity == {"plugin": "openai_api", "model": "m", "sampling": {"top_p": 0.9}}
    assert openai_api(model="m").identity["host"] == "api.openai.com"
