"""The mean log-probability of a trace's tokens under its teacher (nats, 0 at most): the teacher's confidence in it.

DeepConf (Fu et al. 2025) selects by it. What endpoints give where the recipe asks for `logprobs`; a trace without has
no value.
"""

from factory.records import Problem, Trace

VERSION = 1


def log_probability(problem: Problem, trace: Trace) -> float:
    if trace.completion.mean_logprob is None:
        raise ValueError("the teacher stored no log-probabilities: set logprobs = true in its sampling")
    return trace.completion.mean_logprob
