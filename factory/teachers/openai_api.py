"""A teacher behind any OpenAI-compatible endpoint, or several at once: one chat completion a sample, never `n` of them.

The client does not retry what failed: it says whether asking again can help (`AskFailed`), and the stage decides. What
was not asked at all, because an endpoint is away or has no room, is asked elsewhere or later here. There is no limit
on a whole answer, only on silence (`idle_timeout`): a long thought that is cut off by a clock is bought twice.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import orjson

from factory.protocols import AskFailed, UserError
from factory.records import Completion, Message
from factory.teachers import _prefill
from factory.teachers._client import Configuration, Refused, Unreachable, Wire
from factory.teachers._endpoint import Endpoint
from factory.teachers._fleet import Fleet, log
from factory.teachers._limits import Charge, Limits, Meter
from factory.teachers._reply import read_completion
from factory.teachers._start import allow_files, check_sampling, complaint, is_local, is_vllm
from factory.teachers._tokens import Tokens, check_owner, listed

ROOT = frozenset({"/tokenize", "/detokenize"})
"""Paths of vLLM that lie beside /v1."""

USUAL = 4096
"""Tokens that an answer is taken to come to where the sampling sets no most."""

T = TypeVar("T")


def openai_api(*, model: str, base_url: str | list[str] = "https://api.openai.com/v1", key_env: str = "OPENAI_API_KEY",
               sampling: Mapping[str, Any] = {}, concurrency: int = 32, connect_timeout: float = 5.0,
               idle_timeout: float = 3600.0, seeds: bool = True, limits: Mapping[str, float] = {},
               patience: float = 300.0, prefill: str = "") -> "OpenAiApi":
    """A teacher behind `base_url`, or behind several that serve the same model: what the first one is called is what
    they all are in a trace's identity, so more can be added later.

    `key_env` names the environment variable with the key ("" for none); `sampling` goes into the request as it is
    (temperature, top_p, max_tokens, top_k, logprobs …; what `extra_body` holds goes beside it); `seeds = false` is for
    endpoints that refuse a seed; `concurrency` is the most requests in flight at each endpoint, and fewer are when its
    engine is full or it refuses; `idle_timeout` is the longest silence, in seconds, while an answer is being written
    (an engine that writes tokens is not silent); `limits` are the account's: `requests_per_minute`,
    `tokens_per_minute`, `requests_per_day`, `tokens_per_day`, and `reset_hour` (UTC) of its day; `patience` is how many
    seconds all endpoints may be away before the run ends; `prefill` is how an endpoint that is no vLLM takes the
    beginning of an answer ("continue_final_message", "prefix" or "assistant"), for `generate.truncation`: not exact.
    """
    urls = [base_url] if isinstance(base_url, str) else list(base_url)
    return OpenAiApi(model, [url.rstrip("/") for url in urls], key_env, sampling, concurrency, connect_timeout,
                     idle_timeout, seeds, limits, patience, prefill)


class OpenAiApi(Tokens):
    """See `openai_api`. The clients live from `async with` on."""

    def __init__(self, model: str, urls: Sequence[str], key_env: str, sampling: Mapping[str, Any], concurrency: int,
                 connect_timeout: float, idle_timeout: float, seeds: bool, limits: Mapping[str, float],
                 patience: float | None, prefill: str = "") -> None:
        check_sampling(sampling)
        if prefill and prefill not in _prefill.FORMS:
            raise UserError(f"teacher.prefill is '{prefill}': write one of {', '.join(_prefill.FORMS)}, or nothing")
        if concurrency < 1:
            raise UserError(f"teacher.concurrency is {concurrency}: set it to 1 or more")
        if connect_timeout <= 0 or idle_timeout <= 0:
            raise UserError(f"teacher.connect_timeout is {connect_timeout:g} and teacher.idle_timeout "
                            f"{idle_timeout:g}: set seconds above 0")
        self.model, self.urls, self.key_env, self.seeds = model, urls, key_env, seeds
        self.sampling, self.limits, self.token_ids = dict(sampling), Limits.read(limits), False
        self.prefill = prefill
        self.connect_timeout, self.idle_timeout, self.patience = connect_timeout, idle_timeout, patience
        self.identity: Mapping[str, Any] = self._identity()
        self._each, self._fleet, self._meter = concurrency, Fleet([], 1, None), Meter(Limits(), "")

    def _identity(self) -> dict[str, Any]:
        """The same name means another model at another provider; a server of one's own may move about."""
        hosts = [urlsplit(url).hostname for url in self.urls[:1] if not is_local(url)]
        return {"plugin": "openai_api", "model": self.model, **({"host": hosts[0]} if hosts else {}),
                "sampling": self.sampling}

    @property
    def concurrency(self) -> int:
        """How many requests are wanted in flight now; before the start, how many there may be."""
        return self._fleet.concurrency if self._fleet.endpoints else self._each * len(self.urls)

    @property
    def idle_share(self) -> float | None:
        """Share of the looks at the engines that found nothing to do; None where there are no gauges."""
        return self._fleet.figures().get("idle_share")

    def figures(self) -> dict[str, float]:
        return self._fleet.figures()

    def check(self) -> None:
        if not self.urls:
            raise UserError("teacher.base_url is empty: write one as http://host:port/v1, or several in a list")
        for url in self.urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https"):
                raise UserError(f"teacher.base_url is '{url}': write it as http://host:port/v1")
            if parts.username or parts.password or parts.query:
                raise UserError(f"teacher.base_url for {parts.hostname} holds more than an address: a key belongs into "
                                "the environment variable that teacher.key_env names")
            if self.key_env and not os.environ.get(self.key_env) and not is_local(url):
                raise UserError(f"the environment variable {self.key_env} holds no key for {url}: set it, name "
                                'another by teacher.key_env, or set teacher.key_env = "" if the endpoint needs no key')

    def check_tokens(self) -> None:
        """Raise UserError if an endpoint answers that surely cannot be asked token by token."""
        for url in self.urls:
            check_owner(url, self._key, proxies=not is_local(url))

    def room(self) -> int:
        """How many tokens a prompt and its answer may have together, as the endpoints say before and after the start;
        the least of them, 0 where none says so."""
        models = [entry for url in self.urls for entry in listed(url, self._key, proxies=not is_local(url)) or ()]
        told = [entry.get("max_model_len") for entry in models if entry.get("id") == self.model]
        return min((most for most in told if isinstance(most, int)), default=0)

    @property
    def _key(self) -> str:
        return os.environ.get(self.key_env, "") if self.key_env else ""

    async def __aenter__(self) -> Self:
        self.check()
        allow_files(self._each * len(self.urls))
        self._meter = Meter(self.limits, f"{urlsplit(self.urls[0]).hostname} {self.model} {self.key_env}")
        self._fleet = Fleet([self._endpoint(url) for url in dict.fromkeys(self.urls)], self._each * len(self.urls),
                            self.patience)
        try:
            await self._probe()
            self._fleet.start(expected=self._most({}))
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self._fleet.close()

    async def ask(self, messages: Sequence[Message], seed: int) -> Completion:
        body = {"messages": list(messages), **self.sampling, **({"seed": seed} if self.seeds else {})}
        body |= body.pop("extra_body", {})
        body |= {"return_token_ids": True} if self.token_ids else {}
        close = await self.thought_end()
        made = await self._asked("/chat/completions", body, "", lambda reply: read_completion(reply, close))
        by_text = self.prefill and made.finish_reason == "length" and not made.tokens
        return replace(made, asked=tuple(messages)) if by_text else made

    async def resume(self, asked: Sequence[Message], written: str, seed: int, session: str = "",
                     **limits: Any) -> Completion:
        """What comes after `written`, the beginning of the answer to `asked`, as `raw`; by `prefill`, so not exact."""
        sampling = _prefill.limited(self.sampling, limits)
        body = {**sampling, **_prefill.body(self.prefill, asked, written), **({"seed": seed} if self.seeds else {})}
        body |= body.pop("extra_body", {})
        return _prefill.fresh(await self._asked("/chat/completions", body, session, read_completion), written)

    async def post(self, path: str, body: Mapping[str, Any], session: str = "") -> bytes:
        """The reply to any POST below the base URL, with the model filled in; `session` keeps to one endpoint."""
        return await self._asked(path, body, session, bytes)

    async def _asked(self, path: str, body: Mapping[str, Any], session: str, read: Callable[[bytes], T]) -> T:
        """Ask until somebody takes the request: a refusal and an endpoint that is away cost no attempt."""
        whole = {"model": self.model, **body}
        tokens = _size(body) + (0 if path in ROOT else self._most(body) or USUAL)
        headers = {"X-Session-ID": session} if session else {}
        while True:
            async with self._meter.charged(0 if path in ROOT else tokens) as charge:
                endpoint = await self._fleet.take(session)
                with contextlib.suppress(Refused, Unreachable):
                    return await self._at(endpoint, path, whole, headers, charge, read)

    async def _at(self, endpoint: Endpoint, path: str, body: Mapping[str, Any], headers: Mapping[str, str],
                  charge: Charge, read: Callable[[bytes], T]) -> T:
        """Ask this one, and let the fleet and the meter know what came of it."""
        def reading(reply: bytes) -> T:
            charge.used = _used(reply) if self._meter.counts else 0
            return read(reply)

        charge.used, reached = None, True
        try:
            url = endpoint.client.root + path if path in ROOT else path
            return await endpoint.post(url, body, headers, charge.tokens, reading)
        except (Refused, Unreachable) as failure:
            charge.used, reached = 0, isinstance(failure, Refused)
            raise
        except Configuration as error:
            self._refuse(endpoint, error, path)
            raise Unreachable(str(error), True) from None
        finally:
            self._fleet.failed(endpoint, reached)
            self._fleet.wake()

    def _refuse(self, endpoint: Endpoint, error: Configuration, path: str) -> None:
        """The key or the model is wrong there: for good, but another endpoint may be right."""
        if path in ROOT:
            raise AskFailed(str(error), retry=False) from None
        said = complaint(endpoint.url, error, self.model, self.key_env)
        if not self._fleet.dismiss(endpoint, said):
            raise self._fleet.finish(said) from None

    # -- for whoever runs the servers --------------------------------------------------------------------------------

    def went_away(self, url: str, why: str) -> None:
        for endpoint in self._fleet.endpoints:
            if endpoint.url == url:
                self._fleet.eject(endpoint, why)

    def came_back(self, url: str) -> None:
        for endpoint in self._fleet.endpoints:
            if endpoint.url == url:
                self._fleet.come_back(endpoint)

    def end(self, error: UserError) -> None:
        """Whoever asks from now on is told this."""
        self._fleet.finish(error)

    def _most(self, body: Mapping[str, Any]) -> int:
        """Tokens that an answer may come to; 0 if nothing says so."""
        for given in (body, self.sampling, self.sampling.get("extra_body", {})):
            if most := given.get("max_completion_tokens") or given.get("max_tokens"):
                return int(most)
        return 0

    # -- the start ---------------------------------------------------------------------------------------------------

    def _endpoint(self, url: str) -> Endpoint:
        wire = Wire(url, self._key, self._each, self.connect_timeout, self.idle_timeout,
                    proxies=not is_local(url))  # no proxy on the way to ourselves
        return Endpoint(wire, self._each, self.idle_timeout)

    async def _probe(self) -> None:
        """Find out in a second what would otherwise fail ten thousand times. One that answers is enough."""
        found = await asyncio.gather(*(is_vllm(e, self.model, self.key_env) for e in self._fleet.endpoints))
        if dead := [endpoint for endpoint in self._fleet.endpoints if not endpoint.up]:
            if len(dead) == len(self._fleet.endpoints):
                raise UserError(f"nothing answers at {' or '.join(e.url for e in dead)} ({dead[0].why}): start the "
                                "server or set teacher.base_url in the recipe")
            log.warning("nothing answers at %s: going on without", ", ".join(e.url for e in dead))
        for endpoint in self._fleet.endpoints:
            await endpoint.look(expected=self._most({}))
        self.token_ids = all(found) and not dead
        if self.token_ids:
            try:
                await self.thought_end()
            except AskFailed:  # something before it that passes chats only
                self.token_ids = False


def _size(body: Mapping[str, Any]) -> int:
    """About how many tokens a request is, itself."""
    prompt = body.get("prompt") or ""
    text = sum(len(message.get("content") or "") for message in body.get("messages") or ())
    return (len(prompt) // 3 if isinstance(prompt, str) else len(prompt)) + text // 3


def _used(reply: bytes) -> int | None:
    """The tokens that a reply says it took."""
    try:
        return int(orjson.loads(reply)["usage"]["total_tokens"])
    except (ValueError, KeyError, TypeError):
        return None
