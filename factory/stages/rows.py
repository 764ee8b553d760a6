"""A trace as rows of the tables `traces` and `steps`."""

import hashlib
from dataclasses import asdict
from typing import Any

import orjson

from factory.lake import now
from factory.records import Trace, content_id


def digest(raw: str) -> str:
    """Equal for equal texts: two traces of a problem are distinct when theirs differ."""
    return hashlib.blake2b(raw.strip().encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def trace_row(trace: Trace) -> dict[str, Any]:
    """The row of the table `traces`. Field by field: `asdict` copies every text."""
    asked, made = trace.request, trace.completion
    return dict(
        id=trace.id, problem_id=asked.problem_id, teacher=asked.teacher, strategy=asked.strategy, sample=asked.sample,
        round=trace.round, thinking=made.thinking, response=made.response, raw=made.raw,
        finish_reason=made.finish_reason, prompt_tokens=made.prompt_tokens, completion_tokens=made.completion_tokens,
        thinking_tokens=made.thinking_tokens, mean_logprob=made.mean_logprob, min_logprob=made.min_logprob,
        cached_tokens=made.cached_tokens, seconds=trace.seconds, cost=trace.cost, created=now(),
        digest=digest(made.raw), parent=trace.parent,
        asked=orjson.dumps(made.asked).decode() if made.asked else None,
        tokens=orjson.dumps(made.tokens).decode() if made.tokens and made.finish_reason == "length" else None)


def step_rows(trace: Trace) -> list[dict[str, Any]]:
    """The rows of the table `steps`."""
    return [{"id": content_id("step", trace.id, step.index), "trace_id": trace.id, **asdict(step)}
            for step in trace.completion.steps]
