"""How often a trace says that it checks what it has: words of verification per 1000 words.

The verification behaviour of Gandhi et al. 2025 ("Cognitive behaviors that enable self-improving reasoners"), by words
and not by a judge: a feature of style, which says nothing about whether the check was made or was right. English only.
"""

from factory.measures.words import Spotter, read
from factory.measures.words import prepare as prepare
from factory.records import Problem, Trace

VERSION = 1

_CHECKS = Spotter(
    "check checks checked checking recheck rechecked rechecking doublecheck verify verifies verified verifying "
    "verification confirm confirms confirmed confirming plug plugging substitute substituting sanity consistent "
    "satisfies satisfied",
    r"""(?: (?:re|double)?check(?:s|ed|ing)? | verif(?:y|ies|ied|ying|ication) | confirm(?:s|ed|ing)?
          | plug(?:ging)?\ (?:\S+\ ){0,4}?(?:back|in) | substitut(?:e|ing)\ (?:\S+\ ){0,4}?back
          | sanity\ check | consistent\ with | satisf(?:ies|ied) )\b""",
)


def verification(problem: Problem, trace: Trace) -> float:
    reading, index = read(trace.completion.raw)
    words = reading.blank_separated[index]
    return 1000 * _CHECKS.count(trace.completion.raw) / words if words else 0.0
