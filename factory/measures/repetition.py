"""How much of a trace says again what it said: the share of its n-grams that occurred before (0 to 1).

After the repetition rules of Gopher (Rae et al. 2021, table A1). A gram is `n` pieces that follow each other, a piece
being a word, a number or a sign (`words`); case does not count. `loop` says whether it was one part over and over.
"""

from factory.measures.words import prepare as prepare
from factory.measures.words import read
from factory.records import Problem, Trace

VERSION = 2


def repetition(problem: Problem, trace: Trace, *, n: int = 8) -> float:
    """0 for a text of no more than `n` pieces. `n`: pieces in a gram; under 5 or so it counts ordinary phrases."""
    if n < 1:
        raise ValueError(f"repetition needs n of 1 or more, not {n}")
    reading, index = read(trace.completion.raw)
    first, behind = reading.range(index, n)
    return reading.again(n).counts[index] / (behind - first) if behind > first else 0.0
