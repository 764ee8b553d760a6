"""Ask once; if the answer is wrong, ask again with the reference as a hint, and keep what then comes to it.

The rationalisation of STaR (Zelikman et al. 2022). The hint is in no trace and so in no dataset: the problem's prompt
is stored without it. What merely repeats the hint teaches a student to print unexplained answers, so a recipe needs a
rule on the measure `hint_leak` beside this strategy; `rounds.rationalise` sets both. The steps are the attempts.
"""

from dataclasses import replace

from factory.protocols import Ask, UserError
from factory.records import Completion, Message, Problem, Step, canonical
from factory.strategies._again import judged, whole
from verifiers.verdict import Verdict

VERSION = 1

HINT = "\n\n(The answer is {reference}. Work it out step by step, as if you did not know it.)"


async def rationalise(problem: Problem, ask: Ask, *, hint: str = HINT, system: str = "", prefix: str = "",
                      suffix: str = "", timeout: float = 10.0, memory_mb: int = 4096) -> Completion:
    """The first answer, or where that is wrong the one after the `hint`; tokens are those of both.

    An answer that cannot be judged is asked again as well. `timeout` (seconds) and `memory_mb` limit its check.
    """
    if "{reference}" not in hint:
        raise UserError("the hint of rationalise shows no answer: put {reference} into it")
    question = prefix + problem.prompt + suffix
    first = await ask(_messages(system, question))
    verdict = await judged(problem.verifier, first.response, problem.reference, timeout, memory_mb)
    if verdict.status == "correct":
        return replace(first, steps=(_step(0, "attempt", first, verdict),))
    told = await ask(_messages(system, question + hint.replace("{reference}", problem.reference)))
    steps = (_step(0, "attempt", first, verdict), Step(1, "rationalisation", told.raw, parent=0))
    return replace(whole([first, told], steps), tokens=())  # what goes on from them would show the hint


def _messages(system: str, question: str) -> list[Message]:
    before: list[Message] = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": question}]


def _step(index: int, kind: str, answer: Completion, verdict: Verdict) -> Step:
    return Step(index, kind, answer.raw, state=canonical({"status": verdict.status, "reason": verdict.reason}))
