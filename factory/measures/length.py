"""How long a trace is, in characters of the raw text: comparable across teachers, whose tokens differ."""

from typing import Literal

from factory.records import Problem, Trace

VERSION = 1


def length(problem: Problem, trace: Trace, *, of: Literal["raw", "thinking", "response"] = "raw") -> float:
    """`of`: the text as it came with its tags, or one of its two parts."""
    return float(len(getattr(trace.completion, of)))
