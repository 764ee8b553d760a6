"""A process of `factory.students` that answers lines of JSON: there live torch and transformers, and nowhere else."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from factory.protocols import UserError


class Child:
    """`first` is the line that it begins with; {"error": a sentence} is raised as a UserError, as its end is later.

    `failed` says what did not work, and what to do then. It ends with this process, whose pipe it reads.
    """

    def __init__(self, module: str, arguments: Sequence[str], failed: str, do: str) -> None:
        self._failed, self._do = failed, do
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the child)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors, encoding="utf-8")
        try:
            self.first: Any = self._answer()
            if error := self.first.get("error"):
                raise UserError(error)
        except BaseException:
            self.close()
            raise

    def ask(self, question: Any) -> Any:
        """Its answer to one line."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended: the answer says how
            print(json.dumps(question), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        if line := self._process.stdout.readline():
            return json.loads(line)
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        code = self._process.wait()
        raise UserError(f"{self._failed}: {said[-1] if said else f'it ended with code {code} and said nothing'}; mend "
                        f"that, or {self._do}")

    def close(self) -> None:
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):  # what it did not read is of no use to anybody
            self._process.communicate()
        self._errors.close()
