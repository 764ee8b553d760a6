"""Whether what was stored as an answer is the text of an error: 1.0 if so, else 0.0.

A client that writes down what it catches makes an answer of it ("Error after 6 attempts: Expecting value…" stands so in
published data, PEERS §7). Only a text that opens with one and goes on for less than 1000 characters behind it counts:
a solution may speak of errors.
"""

import re

from factory.records import Problem, Trace

VERSION = 1

_LONGEST = 1000
_ERROR = re.compile(
    r"""\W*(?: (?:api|http|network|server|request|connection|timeout|time-out|openai|internal|rate.?limit|unexpected)?
               \s*error(?:\s+code)?\s*(?:[:\d({]|after\s+\d|occurred|communicating|in\s+(?:the\s+)?(?:api|request))
             | traceback\s\(most\ recent | (?:\w+\.)*\w+(?:Error|Exception)\s*[:(]
             | (?:error|http|status)?[\s:]*[45]\d\d\b[\s:,-]+(?:error|bad|un|forbidden|not\ found|too\ many|internal|
                                                              service|gateway|client|server|\{)
             | rate\ limit\ (?:exceeded|reached) | too\ many\ requests | (?:request|connection)\ (?:timed\ out|failed)
             | connection\ (?:reset|refused|aborted) | service\ (?:temporarily\ )?unavailable | bad\ gateway
             | internal\ server\ error | <!doctype\ html | <html | maximum\ context\ length | [Nn]o\ response\ from
             | "?error"?\s*:\s*\{ | insufficient\ (?:balance|quota) | upstream\ (?:connect|request) )""",
    re.VERBOSE | re.IGNORECASE,
)


def api_error(problem: Problem, trace: Trace) -> float:
    text = trace.completion.raw[:_LONGEST * 2].removeprefix("<think>").strip()
    return float(len(text) < _LONGEST and _ERROR.match(text) is not None)
