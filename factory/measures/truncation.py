"""Whether a trace was cut short: 1.0 if it ran into its token limit or never closed its thinking, else 0.0."""

from factory.records import Problem, Trace

VERSION = 1


def truncation(problem: Problem, trace: Trace) -> float:
    raw = trace.completion.raw
    last = raw.rfind("think>")  # one search for both tags: the text is long
    while last > 0 and raw[last - 1] not in "</":
        last = raw.rfind("think>", 0, last)
    return float(trace.completion.finish_reason == "length" or (last > 0 and raw[last - 1] == "<"))
