"""The teacher as a strategy sees it: its sampling and seeds are chosen, and the tokens of every reply are counted."""

from collections.abc import Sequence
from typing import Any

from factory.prices import Usage
from factory.protocols import Teacher, UserError
from factory.records import Completion, Message, Request


class Asker:
    """`await ask(messages)`; each further question of one sample has a further seed. Teachers that speak tokens
    (`factory.teachers._tokens`) are also asked by `encode`, `complete` and `context`.
    """

    def __init__(self, teacher: Teacher, request: Request, usage: Usage) -> None:
        self.teacher, self.request, self.usage = teacher, request, usage
        self._seeds = iter(range(int(request.id[-7:], 16), 2**31))

    async def __call__(self, messages: Sequence[Message]) -> Completion:
        return self._counted(await self.teacher.ask(messages, next(self._seeds)))

    async def encode(self, text: str | Sequence[Message]) -> Sequence[int]:
        """The token ids of a text, or of the prompt that messages make."""
        return await self._speaker().encode(text, session=self.request.id)  # type: ignore[no-any-return]

    async def complete(self, tokens: Sequence[int], **limits: Any) -> Completion:
        """What the teacher writes after these tokens."""
        speaker = self._speaker()
        return self._counted(await speaker.complete(tokens, next(self._seeds), session=self.request.id, **limits))

    async def resume(self, asked: Sequence[Message], written: str, **limits: Any) -> Completion:
        """What the teacher writes after the beginning of its answer, given as a text (`teacher.prefill`)."""
        teacher: Any = self.teacher
        return self._counted(await teacher.resume(asked, written, next(self._seeds), self.request.id, **limits))

    async def context(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return await self._speaker().context()  # type: ignore[no-any-return]

    def _speaker(self) -> Any:
        if not hasattr(self.teacher, "complete"):
            name = self.teacher.identity.get("plugin", type(self.teacher).__name__)
            raise UserError(f"the teacher '{name}' cannot be asked token by token: use openai_api on a vLLM endpoint "
                            "or vllm_server, or another strategy")
        return self.teacher

    def _counted(self, completion: Completion) -> Completion:
        self.usage.prompt += completion.prompt_tokens
        self.usage.cached += completion.cached_tokens
        self.usage.completion += completion.completion_tokens
        return completion
