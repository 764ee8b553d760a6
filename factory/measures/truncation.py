"""Whether a trace was cut short: 1.0 if it ran into its token limit or never closed its thinking, else 0.0."""

from factory.records import Problem, Trace

VERSION = 1


def truncation(problem: Problem, trace: Trace) -> float:
    raw = trace.completion.raw
    unclosed = raw.rfind("<think>") > raw.rfind("</think>")
    return float(trace.completion.finish_reason == "length" or unclosed)
