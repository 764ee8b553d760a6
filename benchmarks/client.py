"""What a request costs the client, at 64, 512 and 2,000 in flight: ours, with bare aiohttp and openai's default beside.

    .venv/bin/python -m benchmarks.client

A server in another process answers every chat with 24 KB after 0.2 s. The client is bound to one core, the server to
another. Ours is the whole teacher: choice of the endpoint, limits, the reply parsed and told apart. CPU time of the
client's process, the best of three rounds (neighbours only add). Exits 1 unless ours takes at most 1.5 ms at each
number, is flat (the largest at most 1.5 times the smallest), reaches 500 requests/s on its core at 512 in flight, and
grows by less than 30 MB from the first to the last of the rounds.
"""

import asyncio
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
import openai
import orjson
from aiohttp import web

from benchmarks.machine import machine
from factory.records import Message
from factory.teachers.openai_api import openai_api

IN_FLIGHT = (64, 512, 2000)
ROUNDS = 3
MOST, LEAST, FLAT, GROWTH = 1.5, 500.0, 1.5, 30.0
"""Milliseconds a request, requests a second, largest over smallest, megabytes."""

PROMPT: list[Message] = [{"role": "user", "content": "Compute 7 * (12 - 5). " * 20}]
REPLY = json.dumps({
    "id": "x", "object": "chat.completion", "created": 0, "model": "m", "usage": {
        "prompt_tokens": 120, "completion_tokens": 6000, "total_tokens": 6120},
    "choices": [{"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "content": "<think>\n" + "So far this looks right.\n" * 940 + "</think>\n\\boxed{49}"}}],
}).encode()

Ask = Callable[[], Awaitable[Any]]


def serve(pipe: Connection, core: int) -> None:
    os.sched_setaffinity(0, {core})
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    async def chat(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(0.2)
        return web.Response(body=REPLY, content_type="application/json")

    async def run() -> None:
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", chat)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def server(core: int) -> Iterator[str]:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, core), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()


@asynccontextmanager
async def factory_client(url: str, most: int) -> AsyncIterator[Ask]:
    async with openai_api(model="m", base_url=url, key_env="", concurrency=most, sampling={"max_tokens": 8192}) as ours:
        yield lambda: ours.ask(PROMPT, 1)


@asynccontextmanager
async def bare_aiohttp(url: str, most: int) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=most)) as session:
        async def ask() -> None:
            body = orjson.dumps({"model": "m", "messages": PROMPT, "seed": 1})
            async with session.post(f"{url}/chat/completions", data=body,
                                    headers={"Content-Type": "application/json"}) as reply:
                orjson.loads(await reply.read())
        yield ask


@asynccontextmanager
async def default_openai(url: str, most: int) -> AsyncIterator[Ask]:
    limits = type(openai.DEFAULT_CONNECTION_LIMITS)(max_connections=most, max_keepalive_connections=most)
    http = openai.DefaultAsyncHttpxClient(limits=limits, trust_env=False)
    settings = dict(api_key="none", base_url=url, max_retries=0, timeout=None, http_client=http)
    async with openai.AsyncOpenAI(**settings) as client:  # type: ignore[arg-type]
        yield lambda: client.chat.completions.create(model="m", messages=PROMPT, seed=1)  # type: ignore[call-overload]


CLIENTS = {"ours": factory_client, "bare aiohttp": bare_aiohttp, "openai, default": default_openai}


async def measure(client: Any, url: str, most: int) -> tuple[float, float]:
    """(milliseconds of CPU a request, requests a second), the best of the rounds; the first requests only connect."""
    async with client(url, most) as ask:
        await asyncio.gather(*(ask() for _ in range(most)))
        rounds = [await one_round(ask, most, max(1000, 2 * most)) for _ in range(ROUNDS)]
    return min(cpu for cpu, _ in rounds), max(speed for _, speed in rounds)


async def one_round(ask: Ask, most: int, total: int) -> tuple[float, float]:
    """So many workers take one request after the other: no task a request."""
    left = iter(range(total))

    async def worker() -> None:
        for _ in left:
            await ask()

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(most)))
    return (time.process_time() - cpu) / total * 1000, total / (time.perf_counter() - wall)


def memory() -> float:
    """Megabytes resident now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    cores = sorted(os.sched_getaffinity(0))
    print(machine())
    print(f"replies of {len(REPLY):,} bytes\n\n| client | in flight | CPU ms a request | requests/s on one core |\n"
          "|---|---|---|---|")
    figures: dict[tuple[str, int], tuple[float, float]] = {}
    with server(cores[-1]) as url:
        os.sched_setaffinity(0, {cores[0]})
        resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        for name, client in CLIENTS.items():
            for most in IN_FLIGHT[:2] if client is default_openai else IN_FLIGHT:  # minutes, at 2,000
                cpu, speed = figures[name, most] = asyncio.run(measure(client, url, most))
                print(f"| {name} | {most:,} | {cpu:.2f} | {speed:,.0f} |", flush=True)
        asyncio.run(measure(factory_client, url, 512))
        before = memory()
        asyncio.run(measure(factory_client, url, 512))
        grown = memory() - before
    return judge(figures, grown)


def judge(figures: dict[tuple[str, int], tuple[float, float]], grown: float) -> int:
    ours = [figures["ours", most][0] for most in IN_FLIGHT]
    speed = figures["ours", 512][1]
    met = max(ours) <= MOST and max(ours) <= FLAT * min(ours) and speed >= LEAST and grown < GROWTH
    print(f"\nours: at most {max(ours):.2f} ms (target {MOST}), largest over smallest {max(ours) / min(ours):.2f} "
          f"(target {FLAT}), {speed:,.0f} requests/s at 512 in flight (target {LEAST:.0f}), {grown:.0f} MB more after "
          f"another {ROUNDS * 1024:,} requests (target {GROWTH:.0f}): {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
