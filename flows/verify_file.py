"""`cot verify`: rows {"id", "reference", "response"[, "verifier"]} in, verdicts out, in order, streaming, any size."""

import contextlib
import json
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from factory.protocols import UserError
from verifiers import lookup
from verifiers.pool import Case, verify_many
from verifiers.verdict import Verdict


def verify_file(path: Path, out: Path | None, verifier: str, workers: int, timeout: float) -> int:
    """Judge a file; a malformed line becomes `undecided` with the reason. Returns the exit code: 1 if there was one."""
    _refuse(path, verifier, workers, timeout)
    waiting: deque[dict[str, Any]] = deque()
    counts: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        source: TextIO = stack.enter_context(_open(path))
        target: TextIO = stack.enter_context(open(out, "w", encoding="utf-8")) if out else sys.stdout
        bar = stack.enter_context(tqdm(desc="verify", unit="row", disable=None))
        for verdict in verify_many(_cases(source, verifier, waiting), workers=workers, timeout=timeout):
            row = waiting.popleft()
            target.write(_line(_told(row, verdict)))
            key = "malformed" if "bad" in row else verdict.status
            counts[key] = counts.get(key, 0) + 1
            bar.update()
    print(", ".join(f"{count} {key}" for key, count in sorted(counts.items())) or "the file is empty", file=sys.stderr)
    return 1 if counts.get("malformed") or not counts else 0


def _open(path: Path) -> TextIO:
    """Bytes that are not UTF-8 spoil their own line and no other."""
    file: Path | int = sys.stdin.fileno() if str(path) == "-" else path
    return open(file, encoding="utf-8", errors="replace", closefd=file is path)


def _refuse(path: Path, verifier: str, workers: int, timeout: float) -> None:
    try:
        lookup.load(verifier)
    except LookupError as error:
        raise UserError(str(error)) from error
    if lacking := getattr(lookup.load_module(verifier), "missing", str)():
        raise UserError(lacking)
    if workers < 1 or timeout <= 0:
        raise UserError("--workers has to be at least 1 and --timeout more than 0")
    if str(path) != "-" and not path.is_file():
        raise UserError(f"there is no file {path}: name a JSON lines file, or - for standard input")


def _cases(source: TextIO, verifier: str, waiting: deque[dict[str, Any]]) -> Iterator[Case]:
    """One case a line; a line that is no row is passed as an empty case that stays undecided."""
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        row = _row(line, number)
        waiting.append(row)
        name = str(row.get("verifier") or verifier)
        yield Case(verifier, "", "") if "bad" in row else Case(name, row["response"], row["reference"])


def _row(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("not an object")
        lacking = [key for key in ("id", "reference", "response") if not isinstance(row.get(key), str | int | float)]
        if lacking:
            raise ValueError(f"no '{lacking[0]}'")
        return {**row, "response": str(row["response"]), "reference": str(row["reference"])}
    except (ValueError, RecursionError) as error:
        print(f"line {number}: {error}", file=sys.stderr)
        return {"id": None, "bad": f"line {number}: {error}"}


def _line(told: dict[str, Any]) -> str:
    """As people read it, unless it holds half a surrogate pair, which only an escape can write."""
    text = json.dumps(told, ensure_ascii=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(told) + "\n"
    return text


def _told(row: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    status, reason = ("undecided", row["bad"]) if "bad" in row else (verdict.status, verdict.reason)
    return {"id": row.get("id"), "status": status, "answer": verdict.answer, "reason": reason, "grade": verdict.grade,
            "seconds": round(verdict.seconds, 6), **_detail(verdict)}


def _detail(verdict: Verdict) -> dict[str, Any]:
    """What a verifier that runs programs adds: the sandbox's own word, whether it is certain, and its level."""
    detail = json.loads(verdict.detail) if verdict.detail else {}
    return {key: detail[key] for key in ("verdict", "trust", "level") if key in detail}
