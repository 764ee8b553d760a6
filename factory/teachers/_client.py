"""One connection pool to one OpenAI-compatible server: bytes in, bytes out, and what a failure means.

It is `openai` on its aiohttp transport, asked for the raw reply: a quarter of the default client's CPU, and the same at
two thousand requests in flight. It never retries by itself. No text that leaves here holds the key.
"""

import email.utils
import math
import re
import time
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from factory.protocols import AskFailed, UserError
from factory.teachers._reply import short

if TYPE_CHECKING:
    import openai

AGAIN = frozenset({408, 409, 425, 429})
"""Refusals below 500 that a later attempt may not meet."""

CONFIGURATION = frozenset({401, 402, 404})
"""Refusals that no row can be blamed for: the key, the account, the path or the model is wrong, for every request."""

HIDDEN = "[the key]"
REAL = 12
"""So many characters, not all of them letters, make a key that is cut out of answers too; "EMPTY" is left there."""


class Broken(AskFailed):
    """The connection ended, or was silent for too long, before the answer was there."""


class Unreachable(Broken):
    """No connection could be made, so nothing was asked."""


class Refused(AskFailed):
    """The server has no room now (429, 503): fewer at once, and not before `wait` seconds have passed."""


@dataclass(frozen=True)
class Wire:
    """How to talk to a server: `connections` at most, `connect` seconds for one, `silence` seconds without a byte."""

    url: str
    key: str
    connections: int
    connect: float = 5.0
    silence: float | None = None
    proxies: bool = True


class Client:
    """See the module. Lives until `close`. `patient`: somebody else looks after the silence."""

    def __init__(self, wire: Wire) -> None:
        import openai  # takes a second to import: only for those who ask
        self.wire, self.root = wire, wire.url.removesuffix("/v1")
        timeout = openai.Timeout(wire.silence, connect=wire.connect, pool=None)
        # The library's own limit of 1000 connections would hold back more; two are for probes.
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(max_connections=wire.connections + 2)
        http = openai.DefaultAioHttpClient(timeout=timeout, limits=limits, trust_env=wire.proxies)
        self._openai = openai.AsyncOpenAI(api_key=wire.key or "none", base_url=wire.url, max_retries=0,
                                          timeout=timeout, http_client=http)
        self._binary, self._limit = openai.HttpxBinaryResponseContent, timeout
        self._no_limit = openai.Timeout(None, connect=wire.connect, pool=None)
        self.patient = False

    async def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] = {}) -> bytes:
        """The reply's bytes. Raises AskFailed (Unreachable, Refused), and UserError when every request would fail."""
        return await self._bytes_of(self._openai.post(path, cast_to=self._binary, body=body, options={
            "headers": headers, "timeout": self._no_limit if self.patient else self._limit}))

    async def get(self, path: str, timeout: float = 30.0) -> bytes:
        """As `post`; a path with a host is taken as it is."""
        return await self._bytes_of(self._openai.get(path, cast_to=self._binary, options={"timeout": timeout}))

    async def _bytes_of(self, reply: Awaitable[Any]) -> bytes:
        try:
            return self._without_key(bytes((await reply).content))
        except Exception as error:
            failure = self._failed(error)
        raise failure  # out here, so that it has no context: the library's exceptions hold the request, and the key

    async def close(self) -> None:
        await self._openai.close()

    # -- what went wrong ---------------------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> Exception:
        import openai
        if isinstance(error, openai.APIStatusError):
            return self._status(error.status_code, _said(error), error.response.headers)
        reason = self.hide(_cause(error))
        if isinstance(error, openai.APIConnectionError):
            if _never_connected(error):
                return Unreachable(f"no connection: {reason}", True)
            silent = isinstance(error, openai.APITimeoutError) and "Timeout" in reason
            return Broken(f"{'no byte for too long' if silent else 'no connection'}: {reason}", True)
        return AskFailed(reason, retry=True)

    def _status(self, status: int, said: str, headers: Mapping[str, str]) -> Exception:
        said = self.hide(said)
        if status in CONFIGURATION or (status == 429 and _SPENT.search(said)):
            return Configuration(status, said)
        too_long = status in (400, 413, 422) and bool(_TOO_LONG.search(said))
        if too_long:
            said += " (raise the server's context, or lower teacher.sampling.max_tokens)"
        again, wait = status in AGAIN or status >= 500, retry_after(headers)
        kind = Refused if status == 429 or (status == 503 and wait) else AskFailed
        return kind(f"{status}: {said}", again, wait if again else 0.0, too_long)

    def hide(self, text: str) -> str:
        """A server may repeat the key in what it says."""
        return short(text.replace(self.wire.key, HIDDEN) if len(self.wire.key) > 3 else text)

    def _without_key(self, body: bytes) -> bytes:
        key = self.wire.key
        secret = len(key) >= REAL and not key.isalpha() and key.encode() in body
        return body.replace(key.encode(), HIDDEN.encode()) if secret else body


class Configuration(UserError):
    """The server refuses every request alike, with `status`, and has `said` why."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status, self.said = status, said


_SPENT = re.compile(r"insufficient_quota|exceeded your current quota|billing", re.IGNORECASE)
_TOO_LONG = re.compile(r"context length|context window|maximum (?:model )?(?:context|length)|too long|too many tokens",
                       re.IGNORECASE)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds the server asks us to wait, from a Retry-After of either form; 0 if it does not say."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else 0.0
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _said(error: "openai.APIStatusError") -> str:
    """The server's own words, which the library hides in a longer sentence."""
    body = error.body
    inner = body.get("error", body) if isinstance(body, dict) else body
    text = inner.get("message", inner) if isinstance(inner, dict) else inner or error.message
    code = inner.get("code") if isinstance(inner, dict) else None
    return f"{text} ({code})" if isinstance(code, str) and code not in str(text) else str(text)


def _cause(error: BaseException) -> str:
    """The bottom of the chain: `Connection error.` says nothing, `Connect call failed` does."""
    *_, last = _chain(error)
    return f"{type(last).__name__}: {last}"


def _never_connected(error: BaseException) -> bool:
    import aiohttp
    return any(isinstance(e, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)) for e in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__
