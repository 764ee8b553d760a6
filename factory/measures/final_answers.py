r"""How many different final answers a response states: 1 is right, 0 says that it never came to one.

The same marks count as in `verifiers.answers`, in its order: boxes; else the "answer" of a JSON object; else "the
answer is …", "Answer: …", `<answer>` and GSM8K's `####`. Thinking never counts, and a list of boxes is one answer. The
rule of one final answer is NeMo-SDP's "drop multi-boxed" (PEERS §7).
"""

import re
from collections.abc import Iterator
from typing import Literal

from factory.measures.answers import boxes, places, response_of
from factory.records import Problem, Trace

VERSION = 1

_END = 4_000  # characters of a response, the last ones, in which an answer without a box is the final one
_JSON = re.compile(r'\\?"(?:final[_ ]?)?answer\\?"\s*:\s*(\\?"(?:[^"\\]|\\.)+"|-?[0-9.]+|true|false|\[[^\]]+\])')
_OBJECT = re.compile(r'(?:```(?:json)?\s*)?\{\s*"')
_MARKS = ("answer", "答案", "#### ")
_PHRASE = re.compile(  # from the beginning of a mark
    r"(?:answers?\**\s*(?:\bis\b|\bare\b|[:=])|答案\**\s*[:：是为]|answers?[*:.\ ]*$|answer>|\#{4}\s)[:\s*]*(\S.*)",
    re.MULTILINE | re.VERBOSE)
_SENTENCE = re.compile(r"\.(?=\s+[a-z]|\s*$)|</answer>")
_UNMARKED = re.compile(r"\*\*[^*\n]*\d[^*\n]*\*\*[^\n]*\Z|\d[^\n]*\Z|(?:\\\]|\$\$)\s*\Z")


def final_answers(problem: Problem, trace: Trace, *, form: Literal["marked", "any"] = "marked") -> float:
    """`any`: a number in the last line counts as well when nothing is marked, as GSM8K's own graders have it."""
    response = response_of(trace)
    end = response[-_END:].strip()
    small = end.lower()
    stated = set(_JSON.findall(small)) if 'answer"' in small or 'answer\\"' in small else set()
    if _OBJECT.match(response):  # what its "reasoning" says is not the answer
        return float(len(stated))
    if found := boxes(response) or stated:
        return float(len(found))
    found = {_bare(phrase) for phrase in _phrases(small)} - {""}
    return float(len(found) or (form == "any" and _UNMARKED.search(end) is not None))


def _phrases(text: str) -> Iterator[str]:
    for mark in _MARKS:
        for at in places(mark, text):
            if phrase := _PHRASE.match(text, at):
                yield phrase[1]


def _bare(phrase: str) -> str:
    """What was said, without its dress: `**5**.` and `$5$` are one answer."""
    return re.sub(r"[\s*$\\()\[\]]+", "", _SENTENCE.split(phrase, maxsplit=1)[0]).strip(".:,")
