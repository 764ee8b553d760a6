"""Asking a vLLM server token by token: what continuing a cut-off trace and budget forcing need.

A text is not continued by its text: the same characters can be other tokens, and a chat template may strip or change
what was thought (vLLM #28089). So the ids of the prompt and of all that was written go to /v1/completions as they are.
"""

import http.client
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import orjson

from factory.protocols import AskFailed, UserError
from factory.records import Completion, Message
from factory.teachers._reply import read_prompt, read_text, read_tokens
from factory.thoughts import CLOSE, OPEN

CHAT_ONLY = frozenset({"logprobs", "top_logprobs", "chat_template_kwargs", "max_completion_tokens", "reasoning_effort",
                       "extra_body", "include_reasoning", "return_token_ids", "tools", "tool_choice"})
"""Keys of a chat's sampling that a completion lacks or reads otherwise."""

_NO_IDS = ('tells no token ids, so nothing can be continued there: set generate.truncation to "keep" or "drop" and '
           "take another strategy than budget_forcing, serve the model with vLLM, or set teacher.prefill if the "
           "endpoint goes on from the beginning of an answer")

TORN, TAIL = "\ufffd", 8
"""How a character is written of which bytes lack; so many tokens hold one, with something before it."""

KNOWN = 256
"""So many texts are remembered with their ids."""


class Tokens:
    """For a teacher that has `post`, its `sampling`, and `token_ids`: whether every server behind it is a vLLM."""

    sampling: Mapping[str, Any]
    token_ids: bool = False
    _template: tuple[int, int | None] | None = None

    @cached_property
    def _known(self) -> dict[str, tuple[int, ...]]:
        return {}

    async def post(self, path: str, body: Mapping[str, Any], session: str = "") -> bytes:
        raise NotImplementedError

    async def context(self) -> int:
        """How many tokens a prompt and its answer may have together."""
        return (await self._learn())[0]

    async def thought_end(self) -> int | None:
        """The id of `</think>` where the chat template opens the thinking and it is one token, else None."""
        return (await self._learn())[1] if self.token_ids else None

    async def encode(self, text: str | Sequence[Message], session: str = "") -> list[int]:
        """The ids of a text, or of the prompt that the chat template makes of messages."""
        if isinstance(text, str) and text in self._known:  # tags and cues, which every sample needs
            return list(self._known[text])
        ids = read_tokens(await self.post("/tokenize", self._question(text), session))[0]
        if isinstance(text, str) and len(self._known) < KNOWN:
            self._known[text] = tuple(ids)
        return ids

    async def complete(self, tokens: Sequence[int], seed: int, session: str = "", **limits: Any) -> Completion:
        """What the model writes after `tokens`. `limits` (max_tokens, stop_token_ids …) win over the sampling; never
        more than the context holds. Raises AskFailed where that is full."""
        self.require_token_ids()
        room = await self.context() - len(tokens)
        if room < 1:
            raise AskFailed(f"the model's context of {room + len(tokens)} tokens is full", retry=False,
                            too_long=True)
        sampling = self._flat_sampling()
        most = sampling.get("max_completion_tokens") or sampling.get("max_tokens") or room
        body = {key: value for key, value in sampling.items() if key not in CHAT_ONLY} | {"max_tokens": most} | limits
        body |= {"logprobs": 0} if sampling.get("logprobs") else {}
        body |= {"prompt": list(tokens), "max_tokens": min(room, body["max_tokens"]), "seed": seed,
                 "return_token_ids": True, "add_special_tokens": False}
        return await self._mended(read_text(await self.post("/completions", body, session)), tokens, session)

    def require_token_ids(self) -> None:
        """Raise UserError if the endpoint cannot be asked token by token; known from `async with` on."""
        if not self.token_ids:
            raise UserError(f"the teacher's endpoint {_NO_IDS}")

    async def _mended(self, made: Completion, tokens: Sequence[int], session: str) -> Completion:
        """Where `tokens` end inside a character, vLLM's text begins with some of the prompt: told anew from the ids."""
        before = await self._decode(tokens[-TAIL:], session)
        if not before.endswith(TORN):
            return made
        whole = made.tokens if made.finish_reason == "length" else made.tokens[:-1]
        after = await self._decode(whole[len(tokens[:-TAIL]):], session)
        text = after.rstrip(TORN)[len(before.rstrip(TORN)):]
        return replace(made, raw=text, response=text)

    async def _decode(self, tokens: Sequence[int], session: str) -> str:
        return read_prompt(await self.post("/detokenize", {"tokens": list(tokens)}, session))

    async def _learn(self) -> tuple[int, int | None]:
        """The context and the id of the closing tag that a prompt waits for, asked once."""
        if self._template is None:
            question = self._question([{"role": "user", "content": "?"}])
            _, reply = read_tokens(await self.post("/tokenize", {**question, "return_token_strs": True}))
            prompt = "".join(reply.get("token_strs") or ())
            waits = prompt.rfind(OPEN) > prompt.rfind(CLOSE)
            close = await self.encode(CLOSE) if waits else []
            self._template = int(reply["max_model_len"]), close[0] if len(close) == 1 else None
        return self._template

    def _question(self, text: str | Sequence[Message]) -> dict[str, Any]:
        if isinstance(text, str):
            return {"prompt": text, "add_special_tokens": False}
        template = self._flat_sampling().get("chat_template_kwargs")
        return {"messages": list(text), **({"chat_template_kwargs": template} if template else {})}

    def _flat_sampling(self) -> dict[str, Any]:
        return {**self.sampling, **self.sampling.get("extra_body", {})}


def check_owner(url: str, key: str, proxies: bool) -> None:
    """Raise UserError if something answers at `url` that is no vLLM; nothing is said where nothing answers."""
    found = listed(url, key, proxies)
    if found is not None and {entry.get("owned_by") for entry in found} != {"vllm"}:
        raise UserError(f"{url} is no vLLM server and {_NO_IDS}")


def listed(url: str, key: str, proxies: bool) -> list[Mapping[str, Any]] | None:
    """The models that an endpoint lists, without waiting for more than seconds; None where nothing answers."""
    request = urllib.request.Request(f"{url}/models", headers={"Authorization": f"Bearer {key or 'none'}"})
    opener = urllib.request.build_opener(*([] if proxies else [urllib.request.ProxyHandler({})]))
    try:
        with opener.open(request, timeout=10) as reply:
            return [entry for entry in orjson.loads(reply.read())["data"] if isinstance(entry, Mapping)]
    except (OSError, http.client.HTTPException):
        return None
    except (ValueError, KeyError, TypeError):
        return []
