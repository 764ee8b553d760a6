"""Programs that must be compiled: in a job of their own with larger limits, once for each content, and kept on disk.

The folder of what was compiled is $COT_CACHE, /var/cache/cot-factory for root, or ~/.cache/cot-factory. g++ reads
bits/stdc++.h precompiled (100 MB, made here with the first C++ program), which saves a CPU second a program.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from verifiers.cell import bwrap
from verifiers.cell.jobs import Executable, Job
from verifiers.cell.languages import LANGUAGES, Language, Program, compiler_of, key_of
from verifiers.cell.outcome import Limits, Run

LIMITS = Limits(cpu_s=10.0, wall_s=30.0, memory_mb=2_000, output_bytes=64 << 20, processes=32, tmp_mb=128,
                allow_fork=True)
HEADERS_LIMITS = Limits(cpu_s=60.0, memory_mb=3_000, output_bytes=512 << 20, processes=32, tmp_mb=600, allow_fork=True)
KEPT_BYTES = 2 << 30
THREADS = re.compile(rb"thread|concurrent|asyncio|async", re.IGNORECASE)

Start = Callable[[Executable, Limits], Job]


def executable(program: Program, start: Start) -> Executable | Run:
    """The program ready to be run, or the Run of each of its tests: compile_error or, without compiler, sandbox_error.

    Unknown for a language that is not in the table.
    """
    key = key_of(program.language)
    language, (_, missing) = LANGUAGES[key], compiler_of(key)
    source = program.code.encode("utf-8", "surrogatepass")
    threads = language.threads or bool(THREADS.search(source))
    if missing:
        return Run("sandbox_error", reason=missing)
    if not language.needs:
        return Executable(source, threads=threads)
    if not language.compile:
        command = tuple(part.replace("{source}", "{file}") for part in language.run)
        return Executable(source, command, language.source, True, language.limit_addresses, threads=threads)
    made = _compiled(language, source, start)
    if isinstance(made, Run):
        return made
    return Executable(made, language.run or ("solution",), stack_mb=16 if threads else 0, threads=threads)


def _compiled(language: Language, source: bytes, start: Start) -> bytes | Run:
    headers = _headers(language, start)
    command = [part.replace("{headers}", headers).replace("{source}", "{file}") for part in language.compile]
    kept = _place(repr((command, _version(language.needs))).encode() + source)
    with contextlib.suppress(OSError):
        if kept:
            data = kept.read_bytes()
            os.utime(kept)
            return data
    with start(_compiler(command, source, language.source), LIMITS) as job:
        run, made = job.build("/tmp/solution")
    if run.outcome != "ran":
        why = run.reason if run.outcome != "runtime_error" else _first_error(run.stderr)
        return run if run.outcome == "sandbox_error" else Run("compile_error", stderr=run.stderr,
                                                              reason=f"it does not compile: {why}")
    _keep(kept, made)
    return made


def _compiler(command: list[str], source: bytes, name: str) -> Executable:
    return Executable(source, tuple(part.replace("{out}", "/tmp/solution") for part in command), name, execute=True)


def _first_error(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if "error" in line] or stderr.splitlines() or ["the compiler failed"]
    return lines[0].replace("/tmp/", "")[:200]


@functools.cache
def _version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout


# -- the folder of what was compiled ---------------------------------------------------------------------------------


def folder(name: str) -> Path | None:
    """A folder of the cache that this process may write and a cell may read; None where there is none."""
    usual = "/var/cache" if os.geteuid() == 0 else os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    path = Path(os.environ.get("COT_CACHE") or Path(usual, "cot-factory"), name).absolute()
    with contextlib.suppress(OSError):
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
        if os.access(path, os.W_OK) and bwrap.readable(str(path)):
            return path
    return None


def _place(identity: bytes) -> Path | None:
    programs = folder("programs")
    return programs / hashlib.sha256(identity).hexdigest() if programs else None


def _keep(kept: Path | None, data: bytes) -> None:
    """Written under another name and renamed, so that nobody reads half of it."""
    if kept is None:
        return
    with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
        file.write(data)
        file.close()
        os.replace(file.name, kept)
        if kept.name.startswith("00"):  # once in 256 programs
            _forget_the_oldest(kept.parent)


def _forget_the_oldest(programs: Path) -> None:
    files = sorted(programs.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > KEPT_BYTES:
            path.unlink()


def _headers(language: Language, start: Start) -> str:
    """The folder with bits/stdc++.h precompiled by this compiler; an empty one if that cannot be made."""
    place = folder("headers") if "-I{headers}" in language.compile else None
    if place is None:
        return "/nowhere"
    flags = [part for part in language.compile[:-3] if part != "-I{headers}"]
    name = hashlib.sha256(repr((flags, _version(language.needs))).encode()).hexdigest()[:16]
    header = place / name / "bits" / "stdc++.h.gch"
    if not header.exists():
        with contextlib.suppress(OSError), open(place / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one process makes it, the others wait for it
            if not header.exists():
                _precompile(flags, header, start)
    return f"{bwrap.HEADERS}/{name}"


def _precompile(flags: list[str], header: Path, start: Start) -> None:
    command = [*flags, "-x", "c++-header", "{file}", "-o", "{out}"]
    with start(_compiler(command, b"#include <bits/stdc++.h>\n", "stdc++.h"), HEADERS_LIMITS) as job:
        run, made = job.build("/tmp/solution")
    if run.outcome == "ran":
        header.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        _keep(header, made)
        header.chmod(0o644)
