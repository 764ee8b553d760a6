"""How often a trace looks back at itself: words of doubt and of checking per 1000 words.

A feature of style and nothing more: a trace that says "let me check" is not thereby right. English only.
"""

import re

from factory.records import Problem, Trace

VERSION = 1

_LOOKS_BACK = re.compile(
    r"""\b(?: wait | hm+ | oops | actually | alternatively | on\ second\ thought | hold\ on
          | (?:re-?|double[ -]?|cross-?)?check(?:s|ed|ing)? | verif(?:y|ies|ied|ying|ication)
          | let(?:['\u2019]s|\ me|\ us)\ (?:re-?\w+|try\ again) | redo(?:ing)? | start\ over
          | mistaken? | mistakes | (?:does|do|did)(?:n['\u2019]t|\ not)\ match )\b""",
    re.VERBOSE | re.IGNORECASE,
)


def reflection(problem: Problem, trace: Trace) -> float:
    words = len(trace.completion.raw.split())
    return 1000 * len(_LOOKS_BACK.findall(trace.completion.raw)) / words if words else 0.0
