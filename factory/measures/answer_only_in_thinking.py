"""Whether the thinking states an answer that the response leaves out: 1.0 if so, else 0.0.

A student learns to answer from the response, and every verifier here reads that alone (`verifiers.answers`): such a
trace teaches to think and say nothing. 0 as well where the thinking comes to no answer.
"""

import re

from factory.measures.answers import boxes, places, response_of
from factory.measures.final_answers import final_answers
from factory.records import Problem, Trace
from factory.thoughts import CLOSE

VERSION = 1

_END = 2_000  # characters of the thinking, the last ones, in which it comes to its answer
_SAID = re.compile(r"\banswer(?:\s+is|\s*[:=])\s*\S")


def answer_only_in_thinking(problem: Problem, trace: Trace) -> float:
    completion = trace.completion
    thought = (completion.thinking or _unsplit(trace))[-_END:]
    small = thought.lower()
    stated = any(_SAID.match(small, at) for at in places("answer", small)) or bool(boxes(thought))
    return float(stated and not final_answers(problem, trace, form="any"))


def _unsplit(trace: Trace) -> str:
    """The thinking in a text that no teacher of ours split."""
    raw = trace.completion.raw
    return raw[:len(raw) - len(response_of(trace))].rpartition(CLOSE)[0]
