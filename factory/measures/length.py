"""How long a trace is, in characters of the raw text: comparable across teachers, whose tokens differ."""

from factory.records import Problem, Trace

VERSION = 1


def length(problem: Problem, trace: Trace) -> float:
    return float(len(trace.completion.raw))
