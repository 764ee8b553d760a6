"""How much of the prompt a trace writes out again: the share of the prompt's n-grams that are in it (0 to 1).

Overlap in grams of words as in the decontamination of GPT-3 (Brown et al. 2020, appendix C), here between a trace and
its own prompt: a teacher that recites the question wastes tokens, and a base model that goes on with it says nothing.
"""

from factory.measures.words import grams
from factory.measures.words import prepare as prepare
from factory.records import Problem, Trace

VERSION = 1


def prompt_copied(problem: Problem, trace: Trace, *, n: int = 8) -> float:
    """0 for a prompt of fewer than `n` pieces (words, numbers, signs)."""
    if n < 1:
        raise ValueError(f"prompt_copied needs n of 1 or more, not {n}")
    from factory.measures import _compiled

    different, copied = _compiled.common(grams(problem.prompt, n), grams(trace.completion.raw, n))
    return copied / different if different else 0.0
