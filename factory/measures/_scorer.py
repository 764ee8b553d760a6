"""Reward models at work for measures: a child process for each (`factory.students._score`), asked by the shard.

Torch is not imported here. A child lives as long as this process and not longer: it ends when its input does.
"""

import atexit
import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from factory import models
from factory.child import Child
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
        scorer = _scorer(Path(model).resolve(), digest, os.getpid())
        _known.update(zip((key for key, _ in owed), scorer.scores(kind, [text for _, text in owed]), strict=True))


def value(model: str, kind: str, text: Text) -> Any:
    """The score of one text. Raises ValueError where it is longer than the model's context."""
    score(model, kind, [text])
    found = _known[content_id(identity(model), text)]
    if found is None:
        raise ValueError("the text is longer than the reward model's context")
    return found


class Scorer:
    """A model at work. Raises UserError when it does not open, and when its process ends."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._child = Child("factory.students._score", [str(folder)], f"the reward model in {folder} could not score",
                            "remove the measure from the recipe")
        atexit.register(self._child.close)
        self.kind = self._child.first["kind"]

    def scores(self, kind: str, texts: Sequence[Text]) -> list[Any]:
        if kind != self.kind:
            right = {"reward": "reward", "process": "process_reward"}[self.kind]
            raise UserError(f"{self._folder} is a model for the measure `{right}`: use that one, or another model")
        with self._lock:
            return [score for start in range(0, len(texts), BATCH)
                    for score in self._child.ask(texts[start:start + BATCH])]


@lru_cache(maxsize=8)
def _scorer(folder: Path, digest: str, process: int) -> Scorer:
    """One a model and a process of ours: a fork of it must not read the other's answers."""
    return Scorer(folder)
