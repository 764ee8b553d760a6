"""Going on from a trace that its limit of tokens cut off, as `generate.truncation` says.

The cut trace stays as it was bought, under the same id whatever the policy; the longer one is a trace of its own with
that as its `parent`. So a change of policy buys the continuations that lack and nothing else.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from factory import plugins, thoughts
from factory.protocols import AskFailed, Teacher, TokenAsk, UserError
from factory.recipe import Generate, Truncation
from factory.records import Completion, Step, canonical, joint_logprobs

FULL = "the model's context is full, so it cannot be continued"
"""Why a trace that reached the end of the context has no continuation: no fault of the teacher's."""


def needs_tokens(options: Generate) -> bool:
    """Whether the teacher will be asked token by token."""
    module = plugins.module("strategy", options.strategy.plugin)
    return options.truncation.asks_again or bool(getattr(module, "TOKENS", False))


def check(teacher: Teacher, options: Generate) -> None:
    """Raise UserError if the teacher surely cannot be asked token by token and would have to be."""
    if not needs_tokens(options) or _by_text(teacher, options):
        return
    if not hasattr(teacher, "complete"):
        policy, name = options.truncation.policy, options.strategy.plugin
        why = f'generate.truncation = "{policy}"' if options.truncation.asks_again else f"the strategy '{name}'"
        raise UserError(f"{why} needs a teacher that can be asked token by token: take vllm_server, or openai_api in "
                        "front of a vLLM server")
    if hasattr(teacher, "check_tokens"):
        teacher.check_tokens()


def check_started(teacher: Any, options: Generate) -> None:
    """The same of a teacher that is started, where it is known for certain."""
    if needs_tokens(options) and not _by_text(teacher, options) and hasattr(teacher, "require_token_ids"):
        teacher.require_token_ids()


def _by_text(teacher: Any, options: Generate) -> bool:
    """Whether it may be gone on from as a text, and no strategy needs tokens."""
    module = plugins.module("strategy", options.strategy.plugin)
    return bool(getattr(teacher, "prefill", "")) and not getattr(module, "TOKENS", False)


def is_cut(completion: Completion, options: Truncation) -> bool:
    """Whether the policy goes on from this one: it was cut off, its tokens or at least its question are known, and
    there is a thought to close where that is to be done."""
    return bool(options.asks_again and completion.finish_reason == "length" and (completion.tokens or completion.asked)
                and (options.policy == "continue" or not completion.response))


async def go_on(cut: Completion, ask: TokenAsk, options: Truncation) -> Completion:
    """The whole trace: what was written, the tag that closes the thinking if that is the policy, and what comes after.

    Its segments and what was inserted are its steps, as those of `budget_forcing`. Raises AskFailed where the context
    is full. Without tokens it is asked by text, and its steps say that it is not `exact`.
    """
    closing = options.close if options.policy == "force_close" else ""
    limits = {"max_tokens": options.max_tokens} if options.max_tokens else {}
    if not cut.tokens:
        more = await ask.resume(cut.asked, cut.raw + closing, **limits)
        return _joined(cut, closing, more, more.completion_tokens)
    tokens = [*cut.tokens, *(await ask.encode(closing) if closing else ())]
    if len(tokens) >= await ask.context():
        raise AskFailed(FULL, retry=False, too_long=True)
    more = await ask.complete(tokens, **limits)
    whole = _joined(cut, closing, more, len(more.tokens) - len(tokens))
    return replace(whole, completion_tokens=len(more.tokens) - cut.prompt_tokens, tokens=more.tokens)


def _joined(cut: Completion, closing: str, more: Completion, fresh: int) -> Completion:
    """`fresh`: tokens that are new."""
    raw, mean, least = cut.raw + closing + more.raw, *joint_logprobs([cut, more])
    thinking, response = thoughts.split(raw, opened=bool(cut.thinking and not cut.response))
    return Completion(thinking, response, raw, more.finish_reason, cut.prompt_tokens, cut.completion_tokens + fresh,
                      mean_logprob=mean, min_logprob=least, steps=tuple(_steps(cut, closing, more, fresh)))


def _steps(cut: Completion, closing: str, more: Completion, fresh: int) -> Iterator[Step]:
    before = len(cut.tokens) - cut.prompt_tokens if cut.tokens else cut.completion_tokens
    by_text = {} if cut.tokens else {"exact": False}
    yield Step(0, "segment", cut.raw, state=canonical({"tokens": before, "ended": cut.finish_reason}))
    if closing:
        yield Step(1, "inserted", closing, state=canonical({"before": before}))
    yield Step(1 + bool(closing), "segment", more.raw,
               state=canonical({"tokens": fresh, "ended": more.finish_reason, **by_text}))
