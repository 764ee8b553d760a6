"""Whether the thinking states an answer that the response leaves out: 1.0 if so, else 0.0.

A student learns to answer from the response, and every verifier here reads that alone (`verifiers.answers`): such a
trace teaches to think and say nothing. 0 as well where the thinking comes to no answer.
"""

import re

from factory.measures.answers import boxes, response_of
from factory.measures.final_answers import final_answers
from factory.records import Problem, Trace
from factory.thoughts import CLOSE

VERSION = 1

_END = 2_000  # characters of the thinking, the last ones, in which it comes to its answer
_SAID = re.compile(r"\banswer(?:\s+is|\s*[:=])\s*\S")


def answer_only_in_thinking(problem: Problem, trace: Trace) -> float:
    completion = trace.completion
    before = completion.raw[:len(completion.raw) - len(response_of(trace))]
    thought = (completion.thinking or before.rpartition(CLOSE)[0])[-_END:]
    small = thought.lower()
    stated = ("answer" in small and _SAID.search(small) is not None) or bool(boxes(thought))
    return float(stated and not final_answers(problem, trace, form="any"))
