"""Traces with their label, correct or wrong, one by one: for KTO (Ethayarajh et al. 2024) and process rewards.

No pair is needed, so a problem that was always solved, or never, counts too. Emit them with `kto`, `process_reward`
or `rl_prompts`: `sft` and `pretraining` refuse a wrong trace.
"""

from collections.abc import Sequence

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection import finished

VERSION = 1


def labelled(candidates: Sequence[Candidate], *, per_problem: int = 4) -> list[Pick]:
    """At most `per_problem`, right and wrong in turn while there are both; in the order of ids, which is chance."""
    if per_problem < 1:
        raise UserError(f"per_problem is {per_problem}: use 1 or more")
    ranked = [(rank, c.status, c) for status in ("correct", "wrong")
              for rank, c in enumerate(finished(candidates, status))]
    return [Pick(c, None, status) for _, status, c in sorted(ranked, key=lambda r: r[:2])[:per_problem]]
