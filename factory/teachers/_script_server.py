"""The scripted teacher as an OpenAI-compatible server that speaks as vLLM does, and misbehaves on purpose.

    cot teacher serve --scripted --set http_500=0.1 --set delay=0.5

For dry runs of a recipe as it is, and for everything that has to be proven against a bad server.
"""

import asyncio
import contextlib
import email.utils
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from factory.protocols import UserError
from factory.teachers._script import END, Faults, Script, decode, encode, go_on, parse, render
from factory.thoughts import CLOSE, OPEN

Answer = Callable[[Mapping[str, Any]], dict[str, Any]]


class Server:
    """See the module. `requests` counts what was asked, `answers` what was answered in full."""

    def __init__(self, script: Script) -> None:
        self.script, self.faults, self.teacher = script, Faults(script), script.teacher()
        self.key = os.environ.get(script.key_env, "") if script.key_env else ""
        self.requests = self.answers = self.in_flight = self.tokens = self.written = self.preemptions = 0
        self.started = time.monotonic()

    @contextlib.asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        """Listens from here on; gives its base URL."""
        app = web.Application(client_max_size=2**26)
        app.add_routes([
            web.get("/health", self._health), web.get("/metrics", self._metrics), web.get("/v1/models", self._models),
            web.post("/tokenize", self._tokenize), web.post("/detokenize", self._detokenize),
            web.post("/v1/chat/completions", self._chats), web.post("/v1/completions", self._completions)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await _listen(runner, port)
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()

    # -- pages -------------------------------------------------------------------------------------------------------

    @property
    def _starting(self) -> bool:
        return time.monotonic() < self.started + self.script.slow_start

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=503 if self._starting else 200)

    async def _models(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        return web.json_response({"object": "list", "data": [
            {"id": self.script.model, "object": "model", "owned_by": "vllm" if self.script.engine else "scripted",
             "max_model_len": self.script.context}]})

    async def _metrics(self, _: web.Request) -> web.Response:
        """As vLLM's, under the names of its old or its new versions."""
        if not self.script.engine:
            return web.Response(status=404)
        script, running = self.script, min(self.in_flight, self.script.slots)
        kv, end = ("gpu_cache_usage_perc", "") if script.old_metrics else ("kv_cache_usage_perc", "_total")
        values = {kv: min(1.0, self.tokens / script.kv_tokens), "num_requests_running": running,
                  "num_requests_waiting": self.in_flight - running, f"num_preemptions{end}": self.preemptions,
                  f"generation_tokens{end}": self.written}
        lines = [f'vllm:{name}{{engine="0"}} {float(value)}' for name, value in values.items()]
        lines.append(f'vllm:cache_config_info{{block_size="16",num_gpu_blocks="{script.kv_tokens // 16}"}} 1.0')
        return web.Response(text="\n".join(lines) + "\n")

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        text = render(body["messages"]) if "messages" in body else body["prompt"]
        tokens = encode(text)
        strings = {"token_strs": [decode([token]) for token in tokens]} if body.get("return_token_strs") else {}
        return web.json_response({"tokens": tokens, "count": len(tokens), "max_model_len": self.script.context,
                                  **strings})

    async def _detokenize(self, request: web.Request) -> web.Response:
        return web.json_response({"prompt": decode(orjson.loads(await request.read())["tokens"])})

    # -- answers -----------------------------------------------------------------------------------------------------

    async def _chats(self, request: web.Request) -> web.StreamResponse:
        return await self._handle(request, self._chat)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._handle(request, self._completion)

    async def _handle(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        raw = await request.read()
        self.requests += 1
        if refusal := self._refusal(request):
            return refusal
        body = orjson.loads(raw)
        if body.get("model") != self.script.model:
            return _error(404, f"The model `{body.get('model')}` does not exist.")
        if self.script.busy_above and self.in_flight >= self.script.busy_above:
            return self._busy()
        fault = self.faults.next(f"{body.get('seed')}/{body.get('messages') or body.get('prompt')}")
        if fault in MISCHIEF and fault not in ("reset", "half"):
            return await MISCHIEF[fault](self, request, b"")
        reply = answer(body)
        if "error" in reply:
            return _error(400, reply["error"])
        await self._work(reply["usage"])
        data = orjson.dumps(reply)
        return await (MISCHIEF[fault](self, request, data) if fault else self._send(request, data, body))

    async def _work(self, usage: Mapping[str, int]) -> None:
        """The time that the answer takes, and the memory that it holds."""
        self.in_flight, self.tokens = self.in_flight + 1, self.tokens + usage["total_tokens"]
        self.preemptions += self.tokens > self.script.kv_tokens
        try:
            await asyncio.sleep(self.script.delay + self.script.token_delay * usage["completion_tokens"])
            self.written += usage["completion_tokens"]
        finally:
            self.in_flight, self.tokens = self.in_flight - 1, self.tokens - usage["total_tokens"]

    async def _send(self, request: web.Request, data: bytes, body: Mapping[str, Any]) -> web.StreamResponse:
        response = web.Response(body=data, content_type="application/json")
        try:
            await response.prepare(request)
            await response.write_eof()
        except ConnectionResetError:  # whoever asked has gone, so nothing was answered
            return response
        self.answers += 1
        if self.script.log:
            line = {"prompt": body.get("messages") or body.get("prompt"), "seed": body.get("seed"), "status": 200,
                    "t": time.time()}
            with open(self.script.log, "ab", buffering=0) as file:
                file.write(orjson.dumps(line) + b"\n")
        if self.answers == self.script.die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return response

    def _chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        messages = [{"role": message["role"], "content": message["content"]} for message in body["messages"]]
        if body["messages"][-1]["role"] == "assistant":
            return self._prefilled(body, messages)
        completion = self.teacher.answer(messages, int(body.get("seed") or 0))
        return self._reply(body, encode(render(messages)), completion.raw, completion.finish_reason, chat=True)

    def _prefilled(self, body: Mapping[str, Any], messages: list[dict[str, str]]) -> dict[str, Any]:
        """The beginning of an answer is gone on from, in whatever form it is told."""
        last = body["messages"][-1]
        thought = f"{OPEN}{last['reasoning_content']}" if last.get("reasoning_content") else ""
        written = thought + (CLOSE if thought and last["content"] else "") + last["content"]
        text = go_on(self.script, messages[:-1], written, int(body.get("seed") or 0))
        return self._reply(body, encode(render(messages[:-1]) + written), text, "stop", chat=True)

    def _completion(self, body: Mapping[str, Any]) -> dict[str, Any]:
        prompt = body["prompt"] if isinstance(body["prompt"], list) else encode(body["prompt"])
        text = go_on(self.script, *parse(decode(prompt)), int(body.get("seed") or 0))
        return self._reply(body, prompt, text, "stop", chat=False)

    def _reply(self, body: Mapping[str, Any], prompt: list[int], text: str, finish: str, chat: bool) -> dict[str, Any]:
        room = self.script.context - len(prompt)
        most = body.get("max_tokens") or body.get("max_completion_tokens") or room
        if most > room or room < 1:
            return {"error": f"This model's maximum context length is {self.script.context} tokens. However, you "
                             f"requested {len(prompt) + most} tokens."}
        stops = [*map(encode, body.get("stop") or ()), *([stop] for stop in body.get("stop_token_ids") or ())]
        end = [END] if finish == "stop" else []
        tokens, finish, why = _cut(encode(text) + end, stops, most, finish)
        text = decode(tokens[:-1] if isinstance(why, int) else tokens)
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "stop_reason": why,
                  **({"message": {"role": "assistant", "content": text}} if chat else {"text": text})}
        ids = {"prompt_token_ids": prompt} if body.get("return_token_ids") else {}
        choice |= {"token_ids": tokens, **({} if chat else ids)} if ids else {}
        return {"id": "scripted", "object": "chat.completion" if chat else "text_completion", "created": 0,
                "model": self.script.model, "choices": [choice], **(ids if chat else {}),
                "usage": {"prompt_tokens": len(prompt), "completion_tokens": len(tokens),
                          "total_tokens": len(prompt) + len(tokens)}}

    # -- mischief ----------------------------------------------------------------------------------------------------

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self._starting:
            return _error(503, "The model is loading.")
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, f"Incorrect API key provided: {request.headers.get('Authorization')}")
        return None

    def _busy(self) -> web.Response:
        value = self.script.retry_after
        if value.startswith("date:"):
            value = email.utils.formatdate(time.time() + float(value[5:]), usegmt=True)
        return _error(429, "Too many requests.", {"Retry-After": value} if value else {})

    async def _reset(self, request: web.Request, data: bytes) -> web.StreamResponse:
        """Half a body, and then no connection."""
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[:len(data) // 2])
        if request.transport:
            request.transport.abort()
        return response

    async def _hang(self, request: web.Request, data: bytes) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"port {port} cannot be served ({why}): choose another with --port") from error


async def _plain(response: web.Response) -> web.StreamResponse:
    return response


MISCHIEF: dict[str, Callable[[Server, web.Request, bytes], Awaitable[web.StreamResponse]]] = {
    "http_500": lambda server, request, data: _plain(_error(500, "Internal error.")),
    "http_429": lambda server, request, data: _plain(server._busy()),
    "html": lambda server, request, data: _plain(
        web.Response(text="<html>Bad gateway</html>", content_type="text/html")),
    "half": lambda server, request, data: _plain(
        web.Response(body=data[:len(data) // 2], content_type="application/json")),
    "reset": Server._reset,
    "hang": Server._hang,
}


def _error(status: int, message: str, headers: Mapping[str, str] = {}) -> web.Response:
    return web.Response(status=status, headers=headers, content_type="application/json",
                        text=json.dumps({"error": {"message": message, "type": "scripted", "code": status}}))


def _cut(tokens: list[int], stops: list[list[int]], most: int, finish: str) -> tuple[list[int], str, int | str | None]:
    """The tokens up to the first stop (a single id is kept, as vLLM does; a text is not) or the most, and why."""
    for end in range(len(tokens)):
        for stop in stops:
            if tokens[end:end + len(stop)] == stop and end < most:
                kept = len(stop) == 1
                return tokens[:end + kept], "stop", stop[0] if kept else decode(stop)
    return (tokens[:most], "length", None) if len(tokens) > most else (tokens, finish, None)
