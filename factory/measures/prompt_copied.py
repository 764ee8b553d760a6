"""How much of the prompt a trace writes out again: the share of the prompt's n-grams that are in it (0 to 1).

Overlap in grams of words as in the decontamination of GPT-3 (Brown et al. 2020, appendix C), here between a trace and
its own prompt: a teacher that recites the question wastes tokens, and a base model that goes on with it says nothing.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from factory.measures.words import grams
from factory.measures.words import prepare as prepare
from factory.records import Problem, Trace

VERSION = 1


def prompt_copied(problem: Problem, trace: Trace, *, n: int = 8) -> float:
    """0 for a prompt of fewer than `n` pieces (words, numbers, signs)."""
    if n < 1:
        raise ValueError(f"prompt_copied needs n of 1 or more, not {n}")
    asked, likely, shift = _asked(problem.prompt, n)
    if not asked:
        return 0.0
    said = grams(trace.completion.raw, n)
    there = asked.intersection(said[likely.take(said >> shift, mode="clip").nonzero()[0]].tolist())
    return len(there) / len(asked)


@lru_cache(maxsize=2048)  # the traces of one problem
def _asked(prompt: str, n: int) -> tuple[frozenset[int], NDArray[np.bool_], np.uint32]:
    """The prompt's grams, and which first bits of a gram are worth a look: no sort of a long text."""
    found = grams(prompt, n)
    width = min(6 + len(found).bit_length(), 16)  # about one place in 64 is taken
    shift = np.uint32(32 - width)
    likely = np.zeros(1 << width, bool)
    likely[found >> shift] = True
    return frozenset(found.tolist()), likely, shift
