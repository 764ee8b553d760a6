"""Asking token by token: what is sent, what the context allows, and texts that end inside a character."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from factory.protocols import AskFailed, UserError
from factory.records import Message
from factory.teachers._reply import read_completion
from factory.teachers._script import Script, encode, render
from factory.teachers._script_server import Server
from factory.teachers._tokens import Tokens
from factory.teachers.openai_api import openai_api

PROMPT: list[Message] = [{"role": "user", "content": "Compute 2 + 2."}]


class Vllm(Tokens):
    """Bytes are tokens, and 256 is `</think>`; it writes what it is told to."""

    token_ids = True

    def __init__(self, text: bytes = b"4", prompt: str = "<|assistant|>\n", **sampling: Any) -> None:
        self.text, self.prompt, self.sampling = text, prompt, sampling
        self.asked = list[tuple[str, dict[str, Any]]]()

    async def post(self, path: str, body: Mapping[str, Any], session: str = "") -> bytes:
        self.asked.append((path, dict(body)))
        return json.dumps(getattr(self, "_" + path.strip("/"))(body)).encode()

    def _tokenize(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if body.get("prompt") == "</think>":
            return {"tokens": [256], "max_model_len": 100}
        text = body.get("prompt", self.prompt)
        return {"tokens": list(text.encode()), "max_model_len": 100, "token_strs": list(text)}

    def _detokenize(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"prompt": bytes(body["tokens"]).decode("utf-8", "replace")}

    def _completions(self, body: Mapping[str, Any]) -> dict[str, Any]:
        ids = [*self.text, 0][:body["max_tokens"]]
        ended = "stop" if ids[-1] == 0 else "length"
        torn = bytes(body["prompt"]).decode("utf-8", "replace").endswith("\ufffd")
        text = "some of the prompt" * torn + bytes(ids).decode("utf-8", "ignore").rstrip("\0")
        return {"choices": [{"text": text, "finish_reason": ended, "token_ids": ids, "prompt_token_ids": body["prompt"],
                             "logprobs": {"token_logprobs": [-1.0, -3.0]} if "logprobs" in body else None}],
                "usage": {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(ids)}}


def test_what_is_sent_is_the_sampling_without_what_only_a_chat_knows() -> None:
    teacher = Vllm(temperature=0.6, max_tokens=7, logprobs=True, top_logprobs=2, chat_template_kwargs={"a": 1},
                   extra_body={"top_k": 20})
    made = asyncio.run(teacher.complete([1, 2, 3], 5, stop_token_ids=[256]))
    sent = dict(teacher.asked)["/completions"]
    assert sent == {"temperature": 0.6, "top_k": 20, "max_tokens": 7, "logprobs": 0, "prompt": [1, 2, 3], "seed": 5,
                    "stop_token_ids": [256], "return_token_ids": True, "add_special_tokens": False}
    assert (made.raw, made.tokens, made.mean_logprob, made.min_logprob) == ("4", (1, 2, 3, ord("4"), 0), -2.0, -3.0)


@pytest.mark.parametrize(("sampling", "limits", "most"), [
    ({}, {}, 97), ({"max_tokens": 500}, {}, 97), ({"max_tokens": 5}, {}, 5), ({"max_completion_tokens": 5}, {}, 5),
    ({"max_tokens": 5}, {"max_tokens": 9}, 9), ({"extra_body": {"max_tokens": 5}}, {}, 5),
    ({}, {"max_tokens": 500}, 97),
])
def test_never_more_than_the_context_holds(sampling: dict[str, Any], limits: dict[str, int], most: int) -> None:
    teacher = Vllm(**sampling)
    asyncio.run(teacher.complete([1, 2, 3], 5, **limits))
    assert dict(teacher.asked)["/completions"]["max_tokens"] == most


def test_a_full_context_is_no_request() -> None:
    teacher = Vllm()
    with pytest.raises(AskFailed, match="context of 100 tokens is full") as failed:
        asyncio.run(teacher.complete([1] * 100, 5))
    assert not failed.value.retry
    assert "/completions" not in dict(teacher.asked)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_text_that_goes_on_inside_a_character(size: int) -> None:
    sign, more = "🙂".encode(), " 日本".encode()
    for most, text in ((50, "🙂 日本"), (len(sign) - size + 5, "🙂 日")):
        made = asyncio.run(Vllm(sign[size:] + more).complete([*b"Well ", *sign[:size]], 5, max_tokens=most))
        assert made.raw == text


def test_the_chat_template_gets_its_keys() -> None:
    teacher = Vllm(chat_template_kwargs={"enable_thinking": True})
    asyncio.run(teacher.encode(PROMPT))
    assert teacher.asked == [("/tokenize", {"messages": PROMPT, "chat_template_kwargs": {"enable_thinking": True}})]


def test_tags_and_cues_are_asked_once() -> None:
    async def twice(teacher: Vllm) -> None:
        ids = await teacher.encode("Wait")
        ids.clear()
        assert await teacher.encode("Wait") == list(b"Wait")

    teacher = Vllm()
    asyncio.run(twice(teacher))
    assert len(teacher.asked) == 1


@pytest.mark.parametrize(("prompt", "end"), [
    ("<|assistant|>\n", None), ("<|assistant|>\n<think>\n", 256), ("<|assistant|>\n<think>\n\n</think>\n\n", None),
])
def test_whether_the_template_opens_the_thinking(prompt: str, end: int | None) -> None:
    teacher = Vllm(prompt=prompt)
    assert asyncio.run(teacher.thought_end()) == end
    teacher.token_ids = False
    assert asyncio.run(teacher.thought_end()) is None


@pytest.mark.parametrize(("ids", "finish", "text", "expected"), [
    ([52, 53], "length", "45", ("45", "")), ([52, 53], "stop", "45", ("45", "")),
    ([52, 256, 53], "stop", "4</think>5", ("4", "5")), ([256, 53], "stop", "5", ("", "5")),
    (None, "stop", "45", ("", "45")),
])
def test_where_the_template_opened_it_a_text_without_its_end_is_thinking(
        ids: list[int] | None, finish: str, text: str, expected: tuple[str, str]) -> None:
    reply = {"choices": [{"message": {"content": text}, "finish_reason": finish, "token_ids": ids}],
             "prompt_token_ids": [1, 2]}
    made = read_completion(json.dumps(reply).encode(), close=256)
    assert (made.thinking, made.response) == expected
    assert made.tokens == ((1, 2, *ids) if ids and finish == "length" else ())


@pytest.mark.asyncio
async def test_an_endpoint_goes_on_from_what_it_was_cut_off_at() -> None:
    async with Server(Script(context=500)).serve() as url, openai_api(
            model="scripted", base_url=url, key_env="", sampling={"max_tokens": 20}) as teacher:
        cut = await teacher.ask(PROMPT, 1)
        assert cut.finish_reason == "length"
        assert list(cut.tokens) == encode(render(PROMPT) + cut.raw)
        more = await teacher.complete(cut.tokens, 2, max_tokens=400)
        assert more.tokens[:len(cut.tokens)] == cut.tokens
        assert await teacher.context() == 500
        assert (await teacher.ask(PROMPT, 1)).raw == cut.raw


@pytest.mark.asyncio
async def test_an_endpoint_that_is_no_vllm_is_never_asked_for_tokens() -> None:
    async with Server(Script(engine=False)).serve() as url:
        teacher = openai_api(model="scripted", base_url=url, key_env="", sampling={"max_tokens": 20})
        async with teacher:
            assert (await teacher.ask(PROMPT, 1)).tokens == ()
            with pytest.raises(UserError, match="tells no token ids, so nothing can be continued there: set"):
                await teacher.complete([1, 2], 1)
        with pytest.raises(UserError, match="is no vLLM server"):
            await asyncio.to_thread(teacher.check_tokens)


def test_nothing_is_said_about_an_endpoint_that_does_not_answer() -> None:
    openai_api(model="m", base_url="http://127.0.0.1:9/v1", key_env="").check_tokens()
