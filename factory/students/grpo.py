"""Reinforcement learning with verifiable rewards: GRPO (Shao et al. 2024, DeepSeekMath), on TRL's `GRPOTrainer`.

The student writes a group of answers to each problem, the problem's own verifier judges their responses, and what is
better than its group becomes more probable. A correct answer is worth 1, a wrong one -1. What is undecided (unreadable,
cut off, timed out, or a program that could have forged its pass) is worth nothing: its advantage is 0, or it counts as
-1 with `punish_undecided`; a number between would teach not to answer. A problem that nobody can solve pays nobody.
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from factory.protocols import UserError
from factory.students._values import Above0, AtLeast0, Count, Seed, Threads, Two
from factory.thoughts import split
from verifiers.rewards import Reward, reward, text

VERSION = 1
ROWS = ("prompt", "verifier", "reference")
"""Columns that its dataset has to have."""
NEEDS = ("torch", "trl")
"""Imported where they are used: who only asks for the parameters of this plugin should not wait for them."""


def grpo(base: Path, dataset: Path, output: Path, *, epochs: Above0 = 1, learning_rate: Above0 = 3e-4, batch: Count = 8,
         group: Two = 8, temperature: Above0 = 1.0, max_tokens: Count = 320, beta: AtLeast0 = 0.0,
         punish_undecided: bool = False, timeout: Above0 = 5.0, workers: Count = 2, max_length: Count = 1024,
         warmup: AtLeast0 = 0.05, bf16: bool = False, save_steps: Count = 20, threads: Threads = 0,
         seed: Seed = 0) -> dict[str, Any]:
    """Train `base` on problems of the emitter `rl_prompts` into `output/model`; goes on where a killed run stopped.

    A step asks `batch` problems for `group` answers each, of `max_tokens` at most; `beta` weighs the KL divergence from
    the base. `timeout` is in seconds for one answer, judged by `workers` processes. A prompt over `max_length` tokens,
    or with which `max_tokens` more are over the base's context, is left out and counted. `threads` 0 is all cores.
    """
    given = dict(locals())
    from trl import import_utils

    import_utils.is_vllm_available = lambda min_version=None: False  # it is not used, and TRL would import it
    from trl import GRPOConfig, GRPOTrainer

    logging.getLogger("trl.trainer.grpo_trainer").setLevel(logging.ERROR)  # it takes what is undecided for a mistake

    from factory.students import _plain, _rows
    from factory.students import _training as training

    if figures := training.finished(output):
        return figures
    model, tokenizer = _plain.open_base(base)
    opened = _rows.open_rows(dataset, ROWS[:1], ROWS[1:])
    rows = [{**row, "length": len(_rows.prompt_tokens(tokenizer, row["prompt"]))} for row in opened]
    limit = _rows.limit(model, max_length, max_tokens)
    kept, too_long = _rows.drop(rows, lambda row: row["length"] <= limit,
                                f"all prompts are longer than {max(0, limit)} tokens, which is max_length or what "
                                "max_tokens leaves of the base's context: lower max_tokens, raise max_length, or take "
                                "a base with a longer context")
    training.begin(output, training.noted("grpo", VERSION, given), threads)
    places = _rows.order([row["length"] for row in kept], batch, epochs, seed)
    if len(places) < batch:
        raise UserError(f"{len(places)} prompts do not fill a batch of {batch}: lower batch, or raise epochs")
    places = places[:len(places) // batch * batch]
    settings = training.arguments(output, math.ceil(len(places) / batch), save_steps, seed)
    args = GRPOConfig(**{k: v for k, v in settings.items() if k != "max_length"}, bf16=bf16,
                      learning_rate=learning_rate, warmup_steps=warmup, shuffle_dataset=False, num_generations=group,
                      per_device_train_batch_size=batch * group, steps_per_generation=1, temperature=temperature,
                      max_completion_length=max_tokens, beta=beta)
    trainer = GRPOTrainer(model=model, args=args, processing_class=tokenizer,
                          train_dataset=_rows.ordered(kept, places),
                          reward_funcs=judged(timeout, workers, -1.0 if punish_undecided else None))
    figures = {"plugin": "grpo", "epochs": epochs, "prompts": len(kept), "prompts_too_long": too_long,
               "length_limit": limit, "group": group,
               **_plain.run(trainer, [(group, row["length"] + max_tokens) for row in kept], places, batch, output,
                            4 / 3 if beta else 1, max_tokens),
               **rise(trainer.state.log_history)}
    return training.finish(trainer.model, tokenizer, base, output, figures)


def judged(timeout: float, workers: int, undecided: float | None) -> Callable[..., list[float | None]]:
    """A reward function for TRL: each response, without its thinking, goes to the verifier that its row names."""
    known: dict[str, Reward] = {}

    def verdict(prompts: Sequence[Any], completions: Sequence[Any], verifier: Sequence[str], reference: Sequence[str],
                **_: Any) -> list[float | None]:
        found: list[float | None] = [None] * len(completions)
        for name in dict.fromkeys(verifier):
            if name not in known:
                known[name] = reward(name, timeout=timeout, workers=workers, wrong=-1.0, undecided=undecided)
            places = [i for i, asked in enumerate(verifier) if asked == name]
            said = [split(text(completions[i]))[1] for i in places]
            for i, value in zip(places, known[name](said, said, reference=[reference[i] for i in places]), strict=True):
                found[i] = value
        return found

    return verdict


def rise(log: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean reward by step, and over the first and the last eighth of the run; what is undecided is not in it."""
    points = [[entry["step"], round(reward, 4)] for entry in log
              if (reward := entry.get("reward")) is not None and math.isfinite(reward)]
    eighth = math.ceil(len(points) / 8)
    first, last = points[:eighth], points[-eighth:] if eighth else []
    return {"rewards": points, **{f"{name}_reward": round(sum(value for _, value in part) / len(part), 4)
                                  for name, part in (("first", first), ("last", last)) if part}}
