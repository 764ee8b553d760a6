"""The log-probability of a trace's tokens under its teacher (nats, 0 at most): the mean, its confidence in the
whole, or the lowest, that in its least likely token.

DeepConf (Fu et al. 2025) selects by the confidence of a trace and of its weakest place. What endpoints give where the
recipe asks for `logprobs`; a trace without has no value.
"""

from typing import Literal

from factory.records import Problem, Trace

VERSION = 1


def log_probability(problem: Problem, trace: Trace, *, of: Literal["mean", "lowest"] = "mean") -> float:
    value = trace.completion.mean_logprob if of == "mean" else trace.completion.min_logprob
    if value is None:
        raise ValueError("the teacher stored no log-probabilities: set logprobs = true in its sampling")
    return value
