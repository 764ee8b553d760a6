r"""What is true: strings in, `Verdict` out. Usable alone, also as a reward in training.

    from verifiers.math_equal import math_equal
    math_equal(r"So it is \boxed{0.5}", r"\frac{1}{2}").status  # "correct"

A verifier is a file with a function of its name and a `VERSION`; `verifiers.pool` runs any of them
in processes that can be killed. Nothing here imports the factory, and importing is cheap.
"""

from verifiers.pool import Case, Pool, verify_many
from verifiers.verdict import Verdict

__all__ = ["Case", "Pool", "Verdict", "verify_many"]
