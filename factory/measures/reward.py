"""What a reward model thinks of a trace: the number of the student `reward_model`, more for a better one.

A rank for `best_over_worst`, best-of-k and rules such as `reward > 0`; numbers of two models cannot be compared. The
model reads the question and the whole answer, thinking included ("CoT tokens also go into the RM"), or the response
alone, as the emitter `reward_model` wrote them for its training.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from factory.measures import _scorer
from factory.records import Problem, Trace

VERSION = 1
NEEDS = ("torch", "transformers")

Thinking = Literal["inline", "drop"]


def reward(problem: Problem, trace: Trace, *, model: str, system: str = "", prefix: str = "", suffix: str = "",
           thinking: Thinking = "inline") -> float:
    """`model`: the folder of a reward model. The other keys are those of its training's emitter."""
    return float(_scorer.value(model, "reward", _text(problem, trace, system, prefix, suffix, thinking)))


def identity(*, model: str, **params: Any) -> Mapping[str, Any]:
    """Scores belong to the model's content, wherever it lies."""
    return {**params, "model": _scorer.identity(model)}


def run_ahead(pairs: Sequence[tuple[Problem, Trace]], *, model: str, system: str = "", prefix: str = "",
              suffix: str = "", thinking: Thinking = "inline") -> None:
    """Score a shard at once."""
    _scorer.score(model, "reward", [_text(*pair, system, prefix, suffix, thinking) for pair in pairs])


def _text(problem: Problem, trace: Trace, system: str, prefix: str, suffix: str, thinking: Thinking) -> dict[str, Any]:
    head = [{"role": "system", "content": system}] if system else []
    said = trace.completion.raw if thinking == "inline" else trace.completion.response
    return {"messages": [*head, {"role": "user", "content": prefix + problem.prompt + suffix},
                         {"role": "assistant", "content": said}]}
