"""A row for preference training, in TRL's conversational form: `prompt`, `chosen` and `rejected` are messages."""

from typing import Any

from factory.records import Candidate, Pick


def dpo(pick: Pick, *, system: str = "", prefix: str = "", suffix: str = "") -> dict[str, Any]:
    """Both answers are the raw texts as they came, thinking included; the keys are those of `sft`."""
    chosen, rejected = pick.chosen, pick.rejected
    if rejected is None:
        raise ValueError(f"the pick of {chosen.trace_id} has no rejected trace: choose with `pairs`, or emit `sft`")
    prompt = [{"role": "system", "content": system}] if system else []
    return {"prompt": [*prompt, {"role": "user", "content": prefix + chosen.prompt + suffix}],
            "chosen": _answer(chosen), "rejected": _answer(rejected), "trace_id": chosen.trace_id,
            "rejected_id": rejected.trace_id, "problem_id": chosen.problem_id}


def _answer(candidate: Candidate) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": candidate.raw}]
