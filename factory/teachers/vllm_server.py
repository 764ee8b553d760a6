"""A teacher that brings its own servers: starts `vllm serve`, once or once a GPU, restarts what dies, and stops them.

vLLM is only ever run as a command: it may live in another environment, and nothing of it is imported. Or it is
`attach`ed to servers that run already, whose traces are the same as those of its own.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from factory import models
from factory.protocols import UserError
from factory.records import Completion, Message
from factory.teachers._fleet import log as logger
from factory.teachers._start import check_sampling
from factory.teachers._tokens import Tokens
from factory.teachers._vllm_command import Options, devices, launcher, refuse_secrets, telling
from factory.teachers._vllm_process import VllmProcess, is_free
from factory.teachers.openai_api import OpenAiApi

KEY = "VLLM_API_KEY"
"""The variable from which vLLM takes a key to ask for, and we the one to show."""


def vllm_server(*, model: str, sampling: Mapping[str, Any] = {}, port: int = 0, concurrency: int = 640,
                arguments: Sequence[str] = (), dtype: str = "auto", max_model_len: int | None = None,
                replicas: int = 1, attach: str | list[str] = "", start_timeout: float = 900.0, restarts: int = 3,
                idle_timeout: float = 3600.0, log: str = "") -> "VllmServer":
    """A teacher on vLLM servers of its own.

    `model` is a folder or a name on the Hugging Face hub; `port` 0 takes a free one, and replicas take the following
    ones; `arguments` are handed to `vllm serve` as they are, after ours, so that they win; `replicas` servers share the
    work, each on GPUs of its own (as many as --tensor-parallel-size says); `attach` names the base URLs of servers that
    run already, and none is started; `concurrency` is the most requests in flight at each, fewer when the engine's
    memory is full; `restarts` is how many deaths of each a run survives; `log` is the file for the server's output (a
    temporary one, removed after a run without trouble, if it is empty).
    """
    if restarts < 0 or concurrency < 1 or replicas < 1:
        raise UserError(f"teacher.restarts is {restarts}, teacher.concurrency {concurrency} and teacher.replicas "
                        f"{replicas}: set at least 0, 1 and 1")
    if not 0 <= port <= 65536 - replicas:
        raise UserError(f"teacher.port is {port}: set one up to {65536 - replicas}, or 0 for a free one")
    check_sampling(sampling)
    refuse_secrets(arguments)
    options = Options(model, tuple(arguments), dtype, max_model_len)
    urls = [attach] * bool(attach) if isinstance(attach, str) else list(attach)
    return VllmServer(options, dict(sampling), port, concurrency, replicas, urls, start_timeout, restarts, idle_timeout,
                      log)


class VllmServer(Tokens):
    """See `vllm_server`. `servers` are there from `async with` on, and keep their addresses through restarts."""

    def __init__(self, options: Options, sampling: Mapping[str, Any], port: int, concurrency: int, replicas: int,
                 attach: Sequence[str], start_timeout: float, restarts: int, idle_timeout: float, log: str) -> None:
        self.options, self.sampling, self.port, self.replicas = options, sampling, port, replicas
        self.attach, self.start_timeout, self.restarts = [url.rstrip("/") for url in attach], start_timeout, restarts
        self.idle_timeout, self.log, self.servers = idle_timeout, log, list[VllmProcess]()
        self._each = concurrency
        self._client: OpenAiApi | None = None

    def _read_identity(self) -> Mapping[str, Any]:
        folder, told = self.options.folder, telling(self.options.arguments)
        digest = {"digest": models.digest(folder)} if folder else {}
        return {"plugin": "vllm", "model": self.options.name, **digest, **({"arguments": told} if told else {}),
                "sampling": dict(self.sampling)}

    # Once, on first use: the digest reads every byte of a local model. Annotated, since `Teacher` has it as a variable.
    identity: Mapping[str, Any] = cached_property(_read_identity)  # type: ignore[assignment]

    @property
    def concurrency(self) -> int:
        """How many requests are wanted in flight now; before the start, how many there may be."""
        return self._client.concurrency if self._client else self._each * (len(self.attach) or self.replicas)

    def room(self) -> int:
        """As the endpoint's `room`; of servers of its own what they are told, 0 if that is left to the model."""
        return self._openai(self.attach, 0.0).room() if self.attach else self.options.room

    @property
    def engine(self) -> Any:
        """Teachers of one engine may share its servers, whatever their sampling: the later ones `join` the first."""
        return self.options, self.replicas, tuple(self.attach)

    def join(self, other: "VllmServer") -> None:
        """Use the servers that `other` has started, for as long as they are up."""
        self.attach = other.attach or [server.base_url for server in other.servers]

    @property
    def gpus(self) -> int:
        """How many GPUs its own servers take."""
        return 0 if self.attach else self.replicas * self.options.gpus

    @property
    def idle_share(self) -> float | None:
        return self._client.idle_share if self._client else None

    @property
    def deaths(self) -> int:
        return sum(server.deaths for server in self.servers)

    def figures(self) -> dict[str, float]:
        return {**(self._client.figures() if self._client else {}), "restarts": float(self.deaths)}

    def check(self) -> None:
        if self.options.folder:
            models.files(self.options.folder)
        if self.attach:
            return self._openai(self.attach, 0.0).check()
        launcher(self.options.model)
        devices(self.replicas, self.options.gpus)
        for port in range(self.port, self.port + self.replicas) if self.port else ():
            if not is_free(port):
                raise UserError(f"port {port} is in use: stop what listens there, or set teacher.port to another (0 "
                                "takes a free one)")

    def _openai(self, urls: Sequence[str], patience: float | None) -> OpenAiApi:
        return OpenAiApi(self.options.name, urls, KEY, self.sampling, self._each, 5.0, self.idle_timeout, True, {},
                         patience)

    async def __aenter__(self) -> Self:
        self.check()
        try:
            if not self.attach:
                await self._start()
            urls = self.attach or [server.base_url for server in self.servers]
            self._client = await self._openai(urls, 300.0 if self.attach else None).__aenter__()
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        self.token_ids = self._client.token_ids
        for server in self.servers:
            self._watch(server, self._client)
        return self

    async def _start(self) -> None:
        """The first one alone: what it compiles, the others find in the cache."""
        self.servers = []
        for i, gpus in enumerate(devices(self.replicas, self.options.gpus)):
            log = Path(f"{self.log}.{i}" if i else self.log) if self.log else None
            self.servers.append(VllmProcess(self.options, self.port and self.port + i, gpus, log, self.start_timeout,
                                            self.restarts))
        await self.servers[0].start()
        try:
            async with asyncio.TaskGroup() as group:
                for server in self.servers[1:]:
                    group.create_task(server.start())
        except ExceptionGroup as errors:  # one is enough to say
            raise errors.exceptions[0] from None

    def _watch(self, server: VllmProcess, client: OpenAiApi) -> None:
        """Let its death and its return be known to the client; the last one's last death ends the run."""
        def gone() -> None:
            if all(other.deaths > other.restarts for other in self.servers):
                client.end(server.obituary())
            else:
                logger.warning("%s; its work goes to the others", server.obituary())

        url = server.base_url
        server.watch(lambda: client.came_back(url), lambda why: client.went_away(url, why), gone)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        client, self._client = self._client, None
        servers, trouble = self.servers, bool(error or self.deaths)
        try:
            if client:
                await client.__aexit__(None, None, None)
        finally:
            await asyncio.gather(*(server.stop() for server in servers))
        for server in servers if not (self.log or trouble) else ():
            server.log.unlink(missing_ok=True)

    async def ask(self, messages: Sequence[Message], seed: int) -> Completion:
        """As the endpoint's `ask`; while the server restarts, this waits for it, so no attempt is wasted."""
        return await self._started().ask(messages, seed)

    async def post(self, path: str, body: Mapping[str, Any], session: str = "") -> bytes:
        return await self._started().post(path, body, session)

    def _started(self) -> OpenAiApi:
        if self._client is None:
            raise RuntimeError("the teacher is not started: use `async with teacher:`")
        return self._client
