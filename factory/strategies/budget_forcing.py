"""Budget forcing (s1, Muennighoff et al. 2025, §3.1): hold the model to a budget of thinking tokens, token by token.

Where the thinking ends too soon, the end is left out and "Wait" put in its place, up to `waits` times; where it reaches
`maximum`, it is closed and the model is asked for its final answer. Each piece is a step: a `segment` that the model
wrote (state: its `tokens`, and whether it `ended` `closed`, by itself (`stop`) or by `length`), or one that was
`inserted` (state: the tokens written `before`).
"""

from dataclasses import dataclass, field
from typing import Any

from factory import thoughts
from factory.protocols import AskFailed, TokenAsk, UserError
from factory.records import Completion, Message, Problem, Step, canonical, joint_logprobs

TOKENS = True
"""It needs a teacher that can be asked token by token."""


async def budget_forcing(
        problem: Problem, ask: TokenAsk, *, maximum: int, minimum: int | None = None, waits: int = 1,
        wait: str = "Wait", closing: str = thoughts.CLOSE, cue: str = "\n\nFinal Answer:", answer_tokens: int = 1024,
        opening: str = "", system: str = "", prefix: str = "", suffix: str = "") -> Completion:
    """Think for at most `maximum` tokens, and for at least `minimum` unless `waits` are used up (None: as in s1, every
    end is suppressed so often); then answer in at most `answer_tokens`, which the model's context keeps free.

    `closing` is the tag that ends the thinking, one token of the model; `cue` goes behind it where it is forced;
    `opening` goes behind the prompt, for a model that does not open its thinking itself. For s1 they are
    "<|im_start|>", "answer\\nFinal Answer:" and "<|im_start|>think\\n". `system`, `prefix`, `suffix`: as in `sample`.
    """
    if maximum < 1 or waits < 0 or answer_tokens < 1:
        raise UserError(f"budget_forcing has maximum {maximum}, waits {waits} and answer_tokens {answer_tokens}: set "
                        "at least 1, 0 and 1")
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    prompt = await ask.encode([*messages, {"role": "user", "content": prefix + problem.prompt + suffix}])
    draft = _Draft(ask, await _one_token(ask, closing), list(prompt))
    forced = f"\n{closing}{cue}"
    room = await ask.context() - len(prompt) - answer_tokens - len(await ask.encode(forced))
    if room < 1:
        raise AskFailed(f"the prompt of {len(prompt)} tokens leaves no room for thinking and {answer_tokens} tokens of "
                        "answer in the model's context", retry=False, too_long=True)
    await draft.insert(opening)
    closed = await draft.think(min(maximum, room), maximum if minimum is None else minimum, waits, wait)
    return await draft.answer(closing if closed else forced, answer_tokens)


async def _one_token(ask: TokenAsk, closing: str) -> int:
    tokens = await ask.encode(closing)
    if len(tokens) != 1:
        raise UserError(f"budget_forcing cannot hold the thinking open: {closing!r} is {len(tokens)} tokens of this "
                        "model; set `closing`, in the strategy, to the token that ends its thinking")
    return tokens[0]


@dataclass
class _Draft:
    """A prompt with what was written so far. `end` is the id that closes the thinking."""

    ask: TokenAsk
    end: int
    tokens: list[int]
    text: str = ""
    steps: list[Step] = field(default_factory=list)
    parts: list[Completion] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prompt = len(self.tokens)

    @property
    def written(self) -> int:
        return len(self.tokens) - self.prompt

    async def think(self, budget: int, minimum: int, waits: int, wait: str) -> bool:
        """Write until the thinking may end; whether the model closed it."""
        for left in range(waits, -1, -1):
            state = await self._segment(max_tokens=budget - self.written, stop_token_ids=[self.end], stop=[])
            if state == "length" or not left or self.written >= minimum or not await self._fits(wait, budget):
                return state == "closed"
            await self.insert(wait)
        raise AssertionError("unreachable")

    async def answer(self, closing: str, most: int) -> Completion:
        """The whole: what was thought, `closing`, and at most so many tokens after it."""
        thought = self.written
        await self.insert(closing)
        await self._segment(max_tokens=most)
        last = self.parts[-1]
        thinking, response = thoughts.split(self.text)
        written = len(last.tokens) - self.prompt
        return Completion(thinking, response, self.text, last.finish_reason, self.prompt, written, thought,
                          *joint_logprobs(self.parts), steps=tuple(self.steps), tokens=last.tokens)

    async def insert(self, text: str) -> None:
        if text:
            self._note("inserted", text, before=self.written)
            self.tokens += await self.ask.encode(text)

    async def _fits(self, wait: str, budget: int) -> bool:
        return self.written + len(await self.ask.encode(wait)) < budget

    async def _segment(self, **limits: Any) -> str:
        """Let the model write on; returns how it ended. A token that ends the text or the thinking is left out."""
        part = await self.ask.complete(self.tokens, **limits)
        fresh = list(part.tokens[len(self.tokens):])
        state = "length" if part.finish_reason == "length" else "closed" if fresh[-1:] == [self.end] else "stop"
        fresh = fresh if state == "length" else fresh[:-1]
        self._note("segment", part.raw, tokens=len(fresh), ended=state)
        self.tokens += fresh
        self.parts.append(part)
        return state

    def _note(self, kind: str, text: str, **state: int | str) -> None:
        self.steps.append(Step(len(self.steps), kind, text, state=canonical(state)))
        self.text += text
