"""A row for a process reward model in TRL's PRM form: `prompt`, `completions` (the steps) and `labels` (right or not).

The labels are those of the table `steps`; where it has none, the steps that `replay` can work out are judged by it,
and a line on which nothing can be replayed goes with the one after it. Emit what `labelled` chose: right traces alone
teach nothing.
"""

from collections.abc import Sequence
from typing import Any

from factory.records import Pick, Step

VERSION = 2


def process_reward(pick: Pick, *, prefix: str = "", suffix: str = "") -> dict[str, Any]:
    """`correct` is the verdict on the whole trace. `prefix` and `suffix`: those of the strategy."""
    chosen = pick.chosen
    return {"prompt": prefix + chosen.prompt + suffix, "correct": chosen.status == "correct",
            "trace_id": chosen.trace_id, "problem_id": chosen.problem_id}


def step_columns(steps: Sequence[Step]) -> dict[str, Any]:
    """A step is right when its value is over 0 (a share of roll-outs that reach the answer, or 1 and 0)."""
    judged = [step for step in sorted(steps, key=lambda s: s.index) if step.value is not None]
    return {"completions": [step.text for step in judged], "labels": [bool(step.value) for step in judged],
            "values": [float(step.value or 0.0) for step in judged]}
