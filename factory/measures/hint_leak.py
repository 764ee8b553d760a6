"""Whether a trace states the answer before it derives anything: 1.0 if so, else 0.0.

The gate on rationalised traces (STaR, Zelikman et al. 2022, shows the model the answer as a hint): a student of such
traces learns to print what it was told. Speaking of a hint or of a given answer in the opening counts as well, and so
does a response that is an answer and nothing else.
"""

import re
from functools import lru_cache

from factory.measures.answers import closing
from factory.records import Problem, Trace

VERSION = 3

_OPENING = 600  # characters; what comes later was derived from something
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_DRESS = re.compile(r"\\(?:boxed|fbox|text)\s*\{|[${}]|\*\*|\\[()\[\]]")
_SPEAKS = ("hint", "the answer", "answer is", "answer was", "answer says", "answer should", "final answer",
           "correct answer")
_HINT = re.compile(
    r"\b(?:the|this|that|your|our)\s+hint\b|\baccording\s+to\s+the\s+hint\b"
    r"|\b(?:as|since|because|first,?|given(?:\s+that)?)\s+the\s+answer\s+is\b(?!\s+not)"
    r"|\b(?:given|provided|expected|reference|known)\s+(?:final\s+)?answer\s+(?:is|was|says|should\s+be)\b"
    r"|\b(?:know|told|given)\s+(?:that\s+)?the\s+(?:correct\s+|final\s+)?answer\b")
_FILLER = r"(?:'s|’s|\s+(?:me|us))\s+(?:see|look|think|begin|start|answer|explain|check)\b"
_DERIVES = re.compile(
    r"\d\s*[-+*/×÷=<>^−·]|[-+*/×÷=^−·]\s*\d"
    rf"|\blet\b(?!{_FILLER})"
    r"|\b(?:because|since|first|step|suppose|if|we\s+(?:have|need|can|start))\b")
_STATES = re.compile(
    r"(?:\b(?:answer|result|solution)\s*(?:is|are|(?:must|should|will|would)\s+be|[:=])\W*(?:the\s+|option\s+)?"
    r"|\A\W*(?:it(?:'s|\s+is)\s+)?)\Z")
_GOES_ON = re.compile(r"[\w/^]|[.,]\d")


def hint_leak(problem: Problem, trace: Trace) -> float:
    completion = trace.completion
    opening = (completion.thinking or completion.response)[:_OPENING].lower()
    spoken = any(word in opening for word in _SPEAKS) and _HINT.search(opening)
    if spoken and not ("hint" in spoken[0] and "hint" in problem.prompt.lower()):
        return 1.0
    reference = _bare(problem.reference).lower()
    if not reference or reference not in opening:
        return 0.0
    plain = _DRESS.sub("", opening)
    derived = _DERIVES.search(plain)
    told = plain[:derived.start()] if derived else plain
    return float(_states(told, reference))


def _states(told: str, reference: str) -> bool:
    at = -1
    while (at := told.find(reference, at + 1)) >= 0:
        if not _GOES_ON.match(told, at + len(reference)) and _STATES.search(told[:at]):
            return True
    return False


@lru_cache(maxsize=1024)
def _bare(reference: str) -> str:
    """A reference without its box and dress; of a whole solution, its last box."""
    found = list(_BOX.finditer(reference))
    if found and (end := closing(reference, found[-1].end())) > 0:
        reference = reference[found[-1].end():end]
    return _DRESS.sub("", reference).strip(" .")
