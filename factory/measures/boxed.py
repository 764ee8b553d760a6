r"""Whether the response gives one answer and says which: 1.0 if it holds exactly one whole `\boxed{…}`, else 0.0.

Boxes in the thinking do not count; neither does one that is empty or was cut before its closing brace.
"""

import re

from factory.records import Problem, Trace

VERSION = 1

_BOX = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def boxed(problem: Problem, trace: Trace) -> float:
    response = trace.completion.response.rpartition("</think>")[2]
    parts = _BOX.split(response)
    return float(len(parts) == 2 and "<think>" not in response and _closes(parts[1]))


def _closes(text: str) -> bool:
    """Whether a brace opened before `text` is closed in it, around something."""
    depth = 1
    for token in _BRACE.finditer(text):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return bool(text[: token.start()].strip())
    return False
