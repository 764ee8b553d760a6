"""What a process reward model thinks of a trace: one score a step, made one number by an aggregate that must be named.

`min` (Math-Shepherd), `product` (PRM800K), `mean` (RLHFlow) and `last` (search-and-learn) order solutions differently,
so there is no default, and a score's id holds which it was. All of them cost one pass of the model.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from factory.measures import _scorer
from factory.records import Problem, Trace
from factory.steps import AGGREGATES, Aggregate, steps_of

VERSION = 2
NEEDS = ("torch", "transformers")


def process_reward(problem: Problem, trace: Trace, *, model: str, aggregate: Aggregate, separator: str = "\n",
                   prefix: str = "", suffix: str = "") -> float:
    """`model`: the folder of a process reward model. The steps are the parts of the thinking (of the whole text, if it
    has none) that `separator` ends; `prefix` and `suffix` are those of its training's emitter.
    """
    scores = _scorer.value(model, "process", _text(problem, trace, separator, prefix, suffix))
    if not scores:
        raise ValueError("there is no step in it")
    return float(AGGREGATES[aggregate](scores))


def identity(*, model: str, **params: Any) -> Mapping[str, Any]:
    """Scores belong to the model's content, wherever it lies."""
    return {**params, "model": _scorer.identity(model)}


def run_ahead(pairs: Sequence[tuple[Problem, Trace]], *, model: str, aggregate: Aggregate, separator: str = "\n",
              prefix: str = "", suffix: str = "") -> None:
    """Score a shard at once."""
    _scorer.score(model, "process", [_text(*pair, separator, prefix, suffix) for pair in pairs])


def _text(problem: Problem, trace: Trace, separator: str, prefix: str, suffix: str) -> dict[str, Any]:
    """As the emitter `process_reward` has it: the raw text from its beginning, up to the end of the thinking, with the
    separator that ends the last step as it does the others (a closing tag may stand before it): a model reads its
    scores there.
    """
    raw, thinking = trace.completion.raw, trace.completion.thinking
    if thinking and (begin := raw.find(thinking)) >= 0:
        end = begin + len(thinking)
        ending = re.compile(rf"\s*?(?:</?\w+>)?[^\S\n]*{re.escape(separator)}").match(raw, end)
        raw = raw[:ending.end() if ending else end]
    return {"messages": [{"role": "user", "content": prefix + problem.prompt + suffix}],
            "steps": steps_of(raw, separator)}
