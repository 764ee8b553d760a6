r"""A verifier as a reward of TRL's GRPOTrainer, without anything of the factory.

    trainer = GRPOTrainer(model, reward_funcs=reward("math_equal"), train_dataset=rows)  # rows with a `reference`

What is undecided gets None by default: TRL (1.16) then leaves this reward out for that completion, and a completion
without any reward carries no signal. A number instead would teach that a hanging or unreadable answer is worth it.
"""

import atexit
import threading
from collections.abc import Callable, Sequence
from typing import Any

from verifiers.lookup import load
from verifiers.pool import Case, Pool

REFERENCES = ("reference", "answer", "solution")
"""The columns that may hold the right answer; the first one that is there does."""

FORGEABLE = ("in_process", "unsafe")
"""Grades of verdicts on a program that could have forged them: to reward those would teach it."""

Reward = Callable[..., list[float | None]]


def reward(verifier: str = "math_equal", *, timeout: float = 5.0, workers: int = 2, memory_mb: int = 2048,
           correct: float = 1.0, wrong: float = 0.0, undecided: float | None = None) -> Reward:
    """A reward function `(prompts, completions, **columns) -> rewards`, named after the verifier.

    `timeout` is in seconds and `memory_mb` in MiB for each completion; both cost it an `undecided` and nothing else.
    The worker processes start at the first call and stay until the program ends. LookupError for an unknown verifier.
    """
    load(verifier)
    pool, alone = Pool(workers, timeout, memory_mb), threading.Lock()
    atexit.register(pool.__exit__, None, None, None)
    values = {"correct": correct, "wrong": wrong, "undecided": undecided}

    def function(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        references = _references(columns, len(completions))
        cases = [Case(verifier, text(said), str(gold)) for said, gold in zip(completions, references, strict=True)]
        with alone:
            return [values["undecided" if verdict.grade in FORGEABLE else verdict.status]
                    for verdict in pool.map(cases)]

    function.__name__ = f"{verifier.rpartition('.')[2]}_reward"
    return function


def text(completion: Any) -> str:
    """What the model said: the completion itself, or the text of the last message of a chat."""
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") if completion else ""
    if isinstance(content, list):  # blocks, as multimodal templates want them
        content = "".join(block.get("text") or "" for block in content)
    return content or ""


def _references(columns: dict[str, Any], count: int) -> Sequence[Any]:
    for name in REFERENCES:
        if columns.get(name) is not None:
            return [columns[name]] * count if isinstance(columns[name], str) else list(columns[name])
    raise ValueError(f"The dataset has no column with the right answers: name one of its columns {REFERENCES[0]!r} "
                     f"(or {REFERENCES[1]!r}, {REFERENCES[2]!r}); it has {', '.join(columns) or 'no further columns'}.")
