"""A teacher behind any OpenAI-compatible endpoint: one chat completion a sample, never `n` of them.

The client does not retry: it says whether asking again can help (`AskFailed`), and the stage decides. There is no
limit on a whole answer, only on silence (`idle_timeout`): a long thought that is cut off by a clock is bought twice.
"""

import difflib
import email.utils
import json
import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from factory import thoughts
from factory.protocols import AskFailed, UserError
from factory.records import Completion, Message

if TYPE_CHECKING:
    import openai

OURS = frozenset({"model", "messages", "seed", "n", "stream"})
"""Keys of a request that the factory sets itself."""

UNLISTED = frozenset({403, 404, 405, 429, 501})
"""Answers to GET /models of endpoints that may well answer chats: no such page, or a key restricted to chats."""

AGAIN = frozenset({408, 409, 425, 429})
"""Refusals below 500 that a later attempt may not meet."""


def openai_api(*, model: str, base_url: str = "https://api.openai.com/v1", key_env: str = "OPENAI_API_KEY",
               sampling: Mapping[str, Any] = {}, concurrency: int = 32, connect_timeout: float = 5.0,
               idle_timeout: float = 3600.0, seeds: bool = True) -> "OpenAiApi":
    """A teacher behind `base_url`.

    `key_env` names the environment variable with the key ("" for none); `sampling` goes into the request as it is
    (temperature, top_p, max_tokens, top_k, logprobs …; what `extra_body` holds goes beside it); `seeds = false` is for
    endpoints that refuse a seed; `idle_timeout` is the longest silence, in seconds, while an answer is being written.
    """
    return OpenAiApi(model, base_url.rstrip("/"), key_env, sampling, concurrency, connect_timeout, idle_timeout, seeds)


class OpenAiApi:
    """See `openai_api`. The client lives from `async with` on."""

    def __init__(self, model: str, base_url: str, key_env: str, sampling: Mapping[str, Any], concurrency: int,
                 connect_timeout: float, idle_timeout: float, seeds: bool) -> None:
        check_sampling(sampling)
        if concurrency < 1:
            raise UserError(f"teacher.concurrency is {concurrency}: set it to 1 or more")
        self.model, self.base_url, self.key_env, self.seeds = model, base_url, key_env, seeds
        self.sampling, self.concurrency = dict(sampling), concurrency
        self.connect_timeout, self.idle_timeout = connect_timeout, idle_timeout
        self.identity: Mapping[str, Any] = self._identity()
        self._client: openai.AsyncOpenAI | None = None

    def _identity(self) -> dict[str, Any]:
        """The same name means another model at another provider; a server of one's own may move about."""
        host = "" if _is_local(self.base_url) else urlsplit(self.base_url).hostname
        return {"plugin": "openai_api", "model": self.model, **({"host": host} if host else {}),
                "sampling": self.sampling}

    def check(self) -> None:
        if urlsplit(self.base_url).scheme not in ("http", "https"):
            raise UserError(f"teacher.base_url is '{self.base_url}': write it as http://host:port/v1")
        if self.key_env and not os.environ.get(self.key_env) and not _is_local(self.base_url):
            raise UserError(f"the environment variable {self.key_env} holds no key for {self.base_url}: set it, name "
                            'another by teacher.key_env, or set teacher.key_env = "" if the endpoint needs no key')

    async def __aenter__(self) -> Self:
        self.check()
        self._client = self._connect()
        try:
            await self._probe(self._client)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def ask(self, messages: Sequence[Message], seed: int) -> Completion:
        if self._client is None:
            raise RuntimeError("the teacher is not started: use `async with teacher:`")
        # Everything goes through extra_body, so that keys the client library does not know (top_k …) work alike.
        body = {**self.sampling, **({"seed": seed} if self.seeds else {})}
        body |= body.pop("extra_body", {})
        chats: Any = self._client.chat.completions.with_raw_response  # raw: half the CPU, and fields openai lacks
        try:
            reply = await chats.create(model=self.model, messages=list(messages), extra_body=body)
        except Exception as error:
            raise ask_failed(error) from error
        return read_completion(reply.content)

    def _connect(self) -> "openai.AsyncOpenAI":
        import openai  # takes a second to import: only for those who ask
        timeout = openai.Timeout(self.idle_timeout, connect=self.connect_timeout, pool=None)
        # The library's own limit of 1000 connections would hold back a larger `concurrency`; one is for probes.
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(max_connections=self.concurrency + 1)
        http = openai.DefaultAioHttpClient(timeout=timeout, limits=limits,
                                           trust_env=not _is_local(self.base_url))  # no proxy on the way to ourselves
        key = os.environ.get(self.key_env, "") if self.key_env else ""
        return openai.AsyncOpenAI(api_key=key or "none", base_url=self.base_url, max_retries=0, timeout=timeout,
                                  http_client=http)

    async def _probe(self, client: "openai.AsyncOpenAI") -> None:
        """Find out in a second what would otherwise fail ten thousand times."""
        import openai
        try:
            listing = await client.with_options(timeout=30.0).models.with_raw_response.list()
        except openai.APIStatusError as error:
            if error.status_code not in UNLISTED:
                raise self._refused(error) from error
            return
        except openai.APIConnectionError as error:
            raise UserError(f"nothing answers at {self.base_url} ({_cause(error)}): start the server or set "
                            "teacher.base_url in the recipe") from error
        self._find_model(model_names(listing.content))

    def _refused(self, error: "openai.APIStatusError") -> UserError:
        if error.status_code == 401:
            source = f"the environment variable {self.key_env}" if self.key_env else "teacher.key_env"
            return UserError(f"{self.base_url} refuses the key: put a valid one into {source}")
        return UserError(f"{self.base_url} answers with {error.status_code} ({_message(error)}): see to the server, or "
                         "set teacher.base_url in the recipe")

    def _find_model(self, names: Sequence[str]) -> None:
        if names and self.model not in names:
            near = difflib.get_close_matches(self.model, names, 5, 0.3) or list(names[:5])
            more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
            raise UserError(f"{self.base_url} has no model '{self.model}': set teacher.model to one it has "
                            f"({', '.join(near)}{more})")


# -- what comes back -------------------------------------------------------------------------------------------------


def read_completion(body: bytes) -> Completion:
    """The completion in a reply's JSON. A reply that is not one may be a proxy's hiccup: worth another attempt."""
    try:
        reply = json.loads(body)
        if "error" in reply and not reply.get("choices"):
            raise AskFailed(f"the endpoint answered with an error: {_short(reply['error'])}", retry=True)
        choice, usage = reply["choices"][0], reply.get("usage") or {}
        return _completion(choice, usage)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise AskFailed(f"the reply is no chat completion ({type(error).__name__}): {_short(body)}", True) from error


def _completion(choice: Mapping[str, Any], usage: Mapping[str, Any]) -> Completion:
    message = choice["message"]
    text, finish = message.get("content") or "", choice.get("finish_reason") or ""
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    thinking, response = thoughts.split(text, reasoning)
    raw = thoughts.join(reasoning, text, closed=bool(text) or finish != "length") if reasoning else text
    return Completion(
        thinking, response, raw, finish,
        prompt_tokens=usage.get("prompt_tokens") or 0, completion_tokens=usage.get("completion_tokens") or 0,
        thinking_tokens=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
        mean_logprob=_mean_logprob(choice.get("logprobs")))


def _mean_logprob(logprobs: Mapping[str, Any] | None) -> float | None:
    tokens = (logprobs or {}).get("content") or []
    return sum(token["logprob"] for token in tokens) / len(tokens) if tokens else None


def model_names(body: bytes) -> list[str]:
    """The names in a listing; none if it is something else, for then it proves nothing."""
    try:
        return [str(entry["id"]) for entry in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        return []


# -- what goes wrong -------------------------------------------------------------------------------------------------


def check_sampling(sampling: Mapping[str, Any]) -> None:
    """Refuse what is no JSON, and the keys that are the factory's own."""
    for key in sorted(OURS & (set(sampling) | set(sampling.get("extra_body", {})))):
        raise UserError(f"teacher.sampling.{key} is set by the factory: remove it from the recipe")
    try:
        json.dumps(sampling, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"teacher.sampling may hold numbers, texts, lists and tables only: mend it ({error})") from None


def ask_failed(error: Exception) -> AskFailed:
    """What a failed request means for the stage: try again (and when), or not."""
    import openai
    if isinstance(error, openai.APIStatusError):
        again = error.status_code in AGAIN or error.status_code >= 500
        wait = retry_after(error.response.headers) if again else 0.0
        return AskFailed(f"{error.status_code}: {_message(error)}", again, wait)
    if isinstance(error, openai.APIConnectionError):
        return AskFailed(f"no connection: {_cause(error)}", retry=True)
    return AskFailed(f"{type(error).__name__}: {_short(error)}", retry=True)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds the server asks us to wait, from a Retry-After of either form; 0 if it does not say."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def _message(error: "openai.APIStatusError") -> str:
    """The server's own words, which the library hides in a longer sentence."""
    body = error.body
    inner = body.get("error", body) if isinstance(body, dict) else body
    return _short(inner.get("message", inner) if isinstance(inner, dict) else inner or error.message)


def _cause(error: BaseException) -> str:
    """The bottom of the chain: `Connection error.` says nothing, `Connect call failed` does."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {_short(error)}"


def _short(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:297] + "…"


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
