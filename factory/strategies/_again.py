"""What strategies that ask again share: a verdict on an answer meanwhile, and one completion of several answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from factory.records import Completion, Step
from verifiers.pool import Case, Pool
from verifiers.verdict import Verdict

_idle: dict[tuple[float, int], list[Pool]] = {}
"""Processes with their sandboxes that wait for the next answer, by their limits: a start costs more than most runs.
They are as many as there were answers at once, in the threads of one event loop, and end with this process."""


async def judged(verifier: str, response: str, reference: str, timeout: float, memory_mb: int) -> Verdict:
    """In a process that can be killed; `timeout` in seconds."""
    return await asyncio.to_thread(_judged, Case(verifier, response, reference), timeout, memory_mb)


def _judged(case: Case, timeout: float, memory_mb: int) -> Verdict:
    waiting = _idle.setdefault((timeout, memory_mb), [])
    try:
        pool = waiting.pop()
    except IndexError:
        pool = Pool(1, timeout, memory_mb)
    try:
        [verdict] = pool.map([case])
    except RuntimeError as error:  # no process can be started: what was answered is not lost for that
        return Verdict("undecided", reason=str(error))
    waiting.append(pool)
    return verdict


def whole(answers: Sequence[Completion], steps: Sequence[Step]) -> Completion:
    """The last answer with the tokens of all: what was bought."""
    thinking = [a.thinking_tokens for a in answers]
    return replace(
        answers[-1], steps=tuple(steps), prompt_tokens=sum(a.prompt_tokens for a in answers),
        completion_tokens=sum(a.completion_tokens for a in answers),
        thinking_tokens=None if None in thinking else sum(t or 0 for t in thinking))
