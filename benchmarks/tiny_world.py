"""Tiny worlds for benchmarks of learning: problems, samples of a tiny model with their verdicts, trainings, accuracies.

All that is made is kept in a folder (`build/selection`, or $COT_BENCH) under a name that says what it is, and not made
twice: a benchmark that was interrupted goes on.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tiny_model import TinyModel
from factory.metrics import interval, paired
from factory.records import Candidate, Problem
from factory.sources.worlds import worlds
from factory.thoughts import split
from verifiers.math_equal import math_equal

FOLDER = Path(os.environ.get("COT_BENCH", "build/selection"))
TEACHER, STUDENT = Path("data/teacher"), Path("data/student")
LEVELS, EASY, HARD = (1, 2, 3, 4), (1, 2), (4, 5)
"""Levels of the worlds: those of the demo, and two ends of them. The teacher, taught on 1 to 3, gets nine in ten of the
easy ones right and half of the hard."""
MAX_TOKENS = 256
"""Of an answer; the longest right ones have some 200."""


@dataclass(frozen=True)
class Sample:
    """One answer: raw text, tokens, the verdict of `math_equal` on its response, and the answer found."""

    raw: str
    tokens: int
    status: str
    answer: str | None

    @property
    def right(self) -> float:
        return float(self.status == "correct")


Answers = list[list[Sample]]
"""For each problem its samples."""


def problems(split: str, count: int, seed: int, levels: Sequence[int]) -> list[Problem]:
    return list(worlds(split, count, seed, levels=levels))  # type: ignore[arg-type]


def kept(name: str, make: Callable[[], Any]) -> Any:
    """What `make` gave, the first time; JSON."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        made = json.dumps(make())
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(made)
        draft.rename(path)
    return json.loads(path.read_text())


@cache
def opened(folder: Path) -> TinyModel:
    return TinyModel(folder)


def sampled(name: str, model: Path, asked: Sequence[Problem], count: int, temperature: float, seed: int,
            max_tokens: int = MAX_TOKENS) -> Answers:
    """`count` samples of each problem. Kept in parts of some thousand samples, so that a kill loses one part."""
    size = max(1, 2048 // count)
    parts = [(i, min(i + size, len(asked))) for i in range(0, len(asked), size)]
    return [samples for start, end in parts for samples in _part(
        f"{name}/{start}-{end}", model, asked[start:end], count, temperature, 1000 * seed + start, max_tokens)]


def _part(name: str, model: Path, asked: Sequence[Problem], count: int, temperature: float, seed: int,
          max_tokens: int) -> Answers:
    def make() -> Any:
        rows = opened(model).ask([p.prompt for p in asked for _ in range(count)], temperature, max_tokens, seed)
        judged = [_judged(raw, tokens, p) for (raw, tokens, _), p in zip(
            rows, (p for p in asked for _ in range(count)), strict=True)]
        return [judged[i:i + count] for i in range(0, len(judged), count)]
    return [[Sample(*one) for one in samples] for samples in kept(name, make)]


def rollouts(name: str, model: Path, begun: Sequence[tuple[Problem, str]], count: int, seed: int) -> list[list[bool]]:
    """Of each beginning of a trace `count` roll-outs at temperature 1: whether each reaches the answer; in parts."""
    size = max(1, 8192 // count)
    return [one for start in range(0, len(begun), size) for one in kept(
        f"{name}/{start}", lambda: _reached(model, begun[start:start + size], count, 1000 * seed + start))]  # noqa: B023


def _reached(model: Path, begun: Sequence[tuple[Problem, str]], count: int, seed: int) -> list[list[bool]]:
    each = [one for one in begun for _ in range(count)]
    rows = opened(model).ask([p.prompt for p, _ in each], 1.0, MAX_TOKENS, seed, [told for _, told in each])
    right = [verdict(split(told + raw)[1], p.reference).status == "correct"
             for (p, told), (raw, _, _) in zip(each, rows, strict=True)]
    return [right[i:i + count] for i in range(0, len(right), count)]


def _judged(raw: str, tokens: int, problem: Problem) -> tuple[str, int, str, str | None]:
    found = verdict(split(raw)[1], problem.reference)
    return raw, tokens, found.status, found.answer


@cache
def verdict(response: str, reference: str) -> Any:
    return math_equal(response, reference)


def candidates(asked: Sequence[Problem], answers: Answers) -> list[list[Candidate]]:
    """As a selector of the factory sees them."""
    return [[Candidate(f"{p.id}/{i}", p.id, p.prompt, s.raw, *split(s.raw), s.status, s.answer, s.tokens)
             for i, s in enumerate(samples)] for p, samples in zip(asked, answers, strict=True)]


def trained(name: str, trainer: Callable[..., dict[str, Any]], base: Path, rows: Iterable[dict[str, Any]],
            **params: Any) -> tuple[Path, dict[str, Any]]:
    """The model folder and the figures of a training of the factory's on `rows`; one thread."""
    folder = FOLDER / name
    if not (folder / "figures.json").exists():
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "model", trainer(base, folder / "data", folder, threads=1, **params)


def shares(answers: Answers) -> np.ndarray:
    """[problems]: the share of right samples (avg@n)."""
    return np.array([np.mean([s.right for s in samples]) for samples in answers])


def tokens(answers: Answers) -> np.ndarray:
    """[problems]: mean tokens of a sample."""
    return np.array([np.mean([s.tokens for s in samples]) for samples in answers])


def percent(values: np.ndarray) -> str:
    """A mean with its 95 % interval over problems."""
    low, high = interval(values)
    return f"{values.mean():.1%} [{low:.1%}, {high:.1%}]"


def change(mine: np.ndarray, theirs: np.ndarray) -> str:
    """A paired difference with its interval and p."""
    found = paired(mine, theirs)
    return f"{found.gain:+.1%} [{found.low:+.1%}, {found.high:+.1%}], p = {found.p:.3f}"
