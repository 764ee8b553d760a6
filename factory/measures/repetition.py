"""How much of a trace says again what it said: the share of its word n-grams that occurred before (0 to 1).

After the repetition rules of Gopher (Rae et al. 2021, table A1), counted in n-grams of the words between blanks. It
does not see a script that has no blanks; a loop shorter than `n` words is seen once it has gone on for longer.
"""

from factory.records import Problem, Trace

VERSION = 1


def repetition(problem: Problem, trace: Trace, *, n: int = 8) -> float:
    """0 for a text of no more than `n` words. `n`: words in a gram; under 5 or so it counts ordinary phrases."""
    if n < 1:
        raise ValueError(f"repetition needs n of 1 or more, not {n}")
    words = trace.completion.raw.split()
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
