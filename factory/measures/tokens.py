"""How many tokens a trace cost its teacher, thinking and response together; 0 when the endpoint does not say."""

from factory.records import Problem, Trace

VERSION = 1


def tokens(problem: Problem, trace: Trace) -> float:
    return float(trace.completion.completion_tokens)
