"""Reward models at work for measures: a child process for each (`factory.students._score`), asked by the shard.

Torch is not imported here. A child lives as long as this process and not longer: it ends when its input does.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from factory import models
from factory.protocols import UserError
from factory.records import content_id

KNOWN = 200_000
"""So many scores are kept in the process."""
BATCH = 256
"""Texts of a line to the child."""

Text = dict[str, Any]

_known: dict[str, Any] = {}


def identity(model: str) -> str:
    """What a model's scores are known by: a digest of its files. Raises UserError for a folder without a model."""
    folder = Path(model)
    if not (folder / "config.json").is_file():
        raise UserError(f"the measure's model '{model}' is no model folder (it has no config.json): train one with the "
                        "student `reward_model` or `process_reward_model`, and set `model` to its folder")
    stats = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in models.files(folder))
    return _digest(folder.resolve(), stats)


@lru_cache(maxsize=64)
def _digest(folder: Path, stats: Any) -> str:
    return models.digest(folder)


def score(model: str, kind: str, texts: Sequence[Text]) -> None:
    """Have the texts scored that are not yet known, all of them together."""
    if len(_known) > KNOWN:
        _known.clear()
    digest = identity(model)
    owed = list({key: text for text in texts if (key := content_id(digest, text)) not in _known}.items())
    if owed:
        child = _child(Path(model).resolve(), digest, os.getpid())
        _known.update(zip((key for key, _ in owed), child.scores(kind, [text for _, text in owed]), strict=True))


def value(model: str, kind: str, text: Text) -> Any:
    """The score of one text. Raises ValueError where it is longer than the model's context."""
    score(model, kind, [text])
    found = _known[content_id(identity(model), text)]
    if found is None:
        raise ValueError("the text is longer than the reward model's context")
    return found


class Child:
    """The process that scores. Raises UserError when the model does not open, and when the process ends."""

    def __init__(self, folder: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the child)
        self._lock = threading.Lock()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "factory.students._score", str(folder)], env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._errors, encoding="utf-8")
        atexit.register(self.close)
        self._folder, said = folder, self._answer()
        if error := said.get("error"):
            raise UserError(error)
        self.kind = said["kind"]

    def scores(self, kind: str, texts: Sequence[Text]) -> list[Any]:
        if kind != self.kind:
            right = {"reward": "reward", "process": "process_reward"}[self.kind]
            raise UserError(f"{self._folder} is a model for the measure `{right}`: use that one, or another model")
        found: list[Any] = []
        with self._lock:
            for start in range(0, len(texts), BATCH):
                assert self._process.stdin
                print(json.dumps(texts[start:start + BATCH]), file=self._process.stdin, flush=True)
                found += self._answer()
        return found

    def _answer(self) -> Any:
        assert self._process.stdout
        if line := self._process.stdout.readline():
            return json.loads(line)
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines() or ["no output"]
        raise UserError(f"the reward model in {self._folder} could not score: {said[-1]}; mend that, or remove the "
                        "measure from the recipe")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


@lru_cache(maxsize=8)
def _child(folder: Path, digest: str, process: int) -> Child:
    """One child a model and a process of ours: a fork of it must not read the other's answers."""
    return Child(folder)
