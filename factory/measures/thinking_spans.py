"""How many thinking spans a trace has: 1 is what a template that thinks expects, 0 is an answer without thinking.

A span is `<think>…</think>` in the text as it came; one without its opening (the template wrote it) or its end (cut
off) counts too. R1's format reward asks for exactly one (DeepSeek-R1 2025, §2.2.2).
"""

from factory.records import Problem, Trace
from factory.thoughts import CLOSE, OPEN

VERSION = 1

def thinking_spans(problem: Problem, trace: Trace) -> float:
    raw = trace.completion.raw
    opened, closed = raw.count(OPEN), raw.count(CLOSE)
    return float(max(opened, closed) if opened or closed else bool(trace.completion.thinking))
