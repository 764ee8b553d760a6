"""How often a trace looks back at itself: words of doubt and of a new start per 1000 words.

A feature of style and nothing more: a trace that says "let me check" is not thereby right (RECIPES D9: base models
"reflect" at step 0 and it seldom mends anything). English only. `verification` counts checking alone.
"""

from factory.measures.words import Spotter, read
from factory.measures.words import prepare as prepare
from factory.records import Problem, Trace

VERSION = 2

_LOOKS_BACK = Spotter(
    "wait hm hmm hmmm hmmmm oops actually alternatively second hold check checks checked checking recheck rechecked "
    "rechecking doublecheck verify verifies verified verifying verification let redo redoing start mistake mistaken "
    "mistakes match",
    r"""(?: wait | hm+ | oops | actually | alternatively | second\ thoughts? | hold\ on
          | (?:re|double)?check(?:s|ed|ing)? | verif(?:y|ies|ied|ying|ication)
          | let(?:(?:'|\xe2\x80\x99)s|\ me|\ us)\ (?:re-?\w+|try\ again) | redo(?:ing)? | start\ over
          | mistaken? | mistakes | (?: (?<=not\ ) | (?<=n't\ ) | (?<=n\xe2\x80\x99t\ ) )match )\b""",
)


def reflection(problem: Problem, trace: Trace) -> float:
    reading, index = read(trace.completion.raw)
    words = reading.blank_separated[index]
    return 1000 * _LOOKS_BACK.count(trace.completion.raw) / words if words else 0.0
