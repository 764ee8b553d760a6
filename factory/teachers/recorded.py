"""A teacher that is a file: traces that are there already are taken into the lake instead of being asked for.

The file is JSON lines, CSV or Parquet, one trace a row; the recipe's problems may come from the same file.
`factory.stages.recorded` reads it.
"""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from factory.columns import existing_file
from factory.protocols import UserError
from factory.records import Completion, Message

FIELDS = ("prompt", "trace", "thinking", "response", "finish_reason", "model")


def recorded(*, path: str, columns: Mapping[str, str] = {}, model: str = "") -> "Recorded":
    """`columns` maps our FIELDS to the file's: `prompt`, which says whose trace it is, with `trace` (the text as it
    came, tags included), or with `response` and, told apart from it, `thinking`. `model` names who wrote them; where
    `columns` names a column of models, only the rows of `model` are taken.
    """
    if unknown := sorted(set(columns) - set(FIELDS)):
        raise UserError(f"teacher.columns has no field '{unknown[0]}': use {', '.join(FIELDS)}")
    if "thinking" in columns and "response" not in columns:
        raise UserError("teacher.columns has `thinking` without `response`: name the column of the responses, too")
    return Recorded(path, columns, model)


class Recorded:
    """See `recorded`."""

    concurrency = 1

    def __init__(self, path: str, columns: Mapping[str, str], model: str) -> None:
        self.path, self.columns, self.model = path, dict(columns), model

    def _read_identity(self) -> Mapping[str, Any]:
        with Path(self.path).expanduser().open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        return {"plugin": "recorded", "model": self.model, "digest": digest, "columns": self.columns}

    # Once, on first use: the digest reads the whole file. Annotated, since `Teacher` has it as a variable.
    identity: Mapping[str, Any] = functools.cached_property(_read_identity)  # type: ignore[assignment]

    def check(self) -> None:
        existing_file(self.path)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        pass

    async def ask(self, messages: Sequence[Message], seed: int) -> Completion:
        raise UserError("the teacher 'recorded' is a file and answers nothing new: use it as [teacher] of a recipe")
