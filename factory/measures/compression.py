"""How many times smaller a trace gets when it is compressed: prose 1 to 4, a text that goes round 10 and more.

It sees what n-grams and loops miss: the same paragraph with another number in each turn. The rule is Whisper's (Radford
et al. 2022, §4.5), which takes a ratio over 2.4 of a short segment for a loop. The greater of two ratios, that of the
whole and that of the end, since a long text may lose itself in its last lines only.
"""

import pyarrow as pa

from factory.measures.words import encoded
from factory.records import Problem, Trace

VERSION = 1


def compression(problem: Problem, trace: Trace, *, end: int = 2500) -> float:
    """0 for an empty text. `end`: bytes of UTF-8 that are the end of a text; 0 looks at the whole only."""
    if end < 0:
        raise ValueError(f"compression needs an end of 0 bytes or more, not {end}")
    text = encoded(trace.completion.raw)
    return max(_ratio(text), _ratio(text[-end:]) if 0 < end < len(text) else 0.0)


_CODEC = pa.Codec("lz4_raw")  # as good a sign as zlib, and twenty times faster


def _ratio(text: bytes) -> float:
    return len(text) / _CODEC.compress(text).size if text else 0.0
