"""How much of the prompt a trace writes out again: the share of the prompt's n-grams that are in it (0 to 1).

Overlap in grams of words as in the decontamination of GPT-3 (Brown et al. 2020, appendix C), here between a trace and
its own prompt: a teacher that recites the question wastes tokens, and a base model that goes on with it says nothing.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from factory.measures.words import grams, read
from factory.measures.words import prepare as prepare
from factory.records import Problem, Trace

VERSION = 1


def prompt_copied(problem: Problem, trace: Trace, *, n: int = 8) -> float:
    """0 for a prompt of fewer than `n` pieces (words, numbers, signs)."""
    if n < 1:
        raise ValueError(f"prompt_copied needs n of 1 or more, not {n}")
    asked = _asked(problem.prompt, n)
    reading, index = read(trace.completion.raw)
    first, behind = reading.range(index, n)
    if not len(asked) or behind == first:
        return 0.0
    said = reading.ordered(n)
    wanted = asked + np.uint64(first)
    found = said.take(said.searchsorted(wanted), mode="clip") - wanted  # what is before them wraps to a great number
    return np.count_nonzero(found < behind - first) / len(asked)


@lru_cache(maxsize=2048)  # the traces of one problem
def _asked(prompt: str, n: int) -> NDArray[np.uint64]:
    """The prompt's grams, each once, as `Reading.ordered` has them with the place 0."""
    found = np.array(list(set(grams(prompt, n).tolist())), np.uint64) << np.uint64(32)
    found.sort()
    return found
