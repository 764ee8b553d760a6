"""How much of a trace is code: the share of its characters in fenced blocks, the fences left out (0 to 1).

A fence is Markdown's ``` (CommonMark 0.31, §4.5); one that is never closed lasts to the end. Code without a fence is
not seen.
"""

from factory.records import Problem, Trace

VERSION = 1


def code_share(problem: Problem, trace: Trace) -> float:
    raw = trace.completion.raw
    if "`" not in raw:  # quicker than a search for three
        return 0.0
    return sum(map(len, raw.split("```")[1::2])) / len(raw) if raw else 0.0
