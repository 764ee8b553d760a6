"""A row for reinforcement learning with verifiable rewards (GRPO, RLVR): prompt, verifier's name, reference.

The one emitter whose rows hold a reference: the reward needs it (`verifiers.rewards.reward`), and nothing is imitated.
Each pick gives its problem, once, whatever its traces: choose with `labelled`, and let a rule such as
`pass_rate BETWEEN 0.1 AND 0.9` leave out what is always or never solved.
"""

from typing import Any

from factory.emitters import asked
from factory.records import Pick, Problem

VERSION = 2
ONE_A_PROBLEM = True


def rl_prompts(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "") -> dict[str, Any]:
    """`prompt` is messages, as TRL's GRPO trainer takes them; every other column reaches its reward function."""
    return {"prompt": asked(pick, system, prefix, suffix), "problem_id": pick.chosen.problem_id}


def problem_columns(problem: Problem) -> dict[str, Any]:
    return {"verifier": problem.verifier, "reference": problem.reference, "source": problem.source,
            "domain": problem.domain}
