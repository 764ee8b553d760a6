"""Ask for a program, run it on the public tests, show the model the first one that fails, and ask again.

Execution feedback as for Llama 3.1 (2024, §4.3.1), where about a fifth of the solutions was wrong at first and mended
so. The hidden tests are never run here, let alone shown: the whole suite judges the last attempt later, like any trace.

The steps of the trace are its attempts and what was said about each. An attempt's `state` is JSON, the certificate of a
repair: `status` by the public tests with the `verdict`, the `reason` and the verdict of each test.
"""

import json
from collections.abc import Sequence

from factory.protocols import Ask, UserError
from factory.records import Completion, Message, Problem, Step, canonical
from factory.strategies._again import judged, whole
from verifiers.code.public import public_part, shown
from verifiers.verdict import Verdict

VERSION = 1

FEEDBACK = ("Your program does not pass the tests that come with the problem. {reason}\n\nThe test that fails first:\n"
            "{test}\n\nFind the mistake, then write the whole program again in one code block.")


async def repair(problem: Problem, ask: Ask, *, attempts: int = 3, feedback: str = FEEDBACK, system: str = "",
                 prefix: str = "", suffix: str = "", timeout: float = 10.0, memory_mb: int = 4096) -> Completion:
    """The last of at most `attempts` answers: the first that passes the public tests, if any does.

    `feedback` is what is said after a failure, with `{reason}` and `{test}` filled in. `timeout` (seconds) and
    `memory_mb` limit one run of the tests, which may ask for more time. An attempt about which nothing can be said (no
    public tests, no sandbox) is the last. Tokens are those of all attempts.
    """
    _check(problem, attempts, feedback)
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": prefix + problem.prompt + suffix})
    public = public_part(problem.reference)
    answers: list[Completion] = []
    steps: list[Step] = []
    while True:
        answers.append(await ask(messages))
        verdict = await _judged(answers[-1].response, public, timeout, memory_mb)
        steps.append(_attempt(steps, answers[-1], verdict))
        if verdict.status != "wrong" or len(answers) == attempts:
            return whole(answers, steps)
        told = feedback.replace("{reason}", verdict.reason).replace("{test}", shown(public, _first_failed(verdict)))
        steps.append(Step(len(steps), "feedback", told, parent=len(steps) - 1))
        messages += [{"role": "assistant", "content": answers[-1].raw}, {"role": "user", "content": told}]


def _check(problem: Problem, attempts: int, feedback: str) -> None:
    if attempts < 2:
        raise UserError(f"repair with attempts = {attempts} repairs nothing: allow 2 or more, or use sample")
    if "{test}" not in feedback:
        raise UserError("the feedback of repair shows no test: put {test} into it, and {reason} if you like")
    if problem.verifier != "code_tests":
        raise UserError(f"repair runs tests, and a problem's verifier is '{problem.verifier}': use problems of the "
                        "verifier code_tests, or the strategy sample")


async def _judged(response: str, public: str, timeout: float, memory_mb: int) -> Verdict:
    if not public:
        return Verdict("undecided", reason="the problem has no public tests")
    return await judged("code_tests", response, public, timeout, memory_mb)


def _attempt(before: Sequence[Step], answer: Completion, verdict: Verdict) -> Step:
    state = {**(json.loads(verdict.detail) if verdict.detail else {}), "status": verdict.status,
             "reason": verdict.reason}
    return Step(len(before), "attempt", answer.raw, parent=len(before) - 1 if before else None, state=canonical(state))


def _first_failed(verdict: Verdict) -> int:
    words = json.loads(verdict.detail)["tests"]
    return next((number for number, word in enumerate(words) if word != "passed"), 0)
