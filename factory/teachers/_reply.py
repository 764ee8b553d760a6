"""What an OpenAI-compatible endpoint sends back, read from its bytes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from factory import thoughts
from factory.protocols import AskFailed
from factory.records import Completion

T = TypeVar("T")


def read_completion(body: bytes, close: int | None = None) -> Completion:
    """The chat completion in a reply's JSON. A reply that is not one may be a proxy's hiccup: worth another attempt.

    `close` is the id of the tag that ends a thought which the chat template opened: without it in a reply's tokens, the
    text is a thought that was cut off. The ids are kept of a text that may be continued.
    """
    return _read(body, "chat completion", lambda reply: _chat(reply, close))


def read_text(body: bytes) -> Completion:
    """The completion of a text, not told apart into thinking and response. Its ids are kept in any case."""
    return _read(body, "completion", _text)


def read_tokens(body: bytes) -> tuple[list[int], Mapping[str, Any]]:
    """The ids in vLLM's reply to /tokenize, and the whole reply."""
    return _read(body, "list of tokens", lambda reply: ([int(token) for token in reply["tokens"]], reply))


def read_prompt(body: bytes) -> str:
    """The text in vLLM's reply to /detokenize."""
    return _read(body, "text", lambda reply: str(reply["prompt"]))


def _read(body: bytes, what: str, read: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        reply = orjson.loads(body)
        if "error" in reply and not reply.get("choices"):
            raise AskFailed(f"the endpoint answered with an error: {short(reply['error'])}", retry=True)
        return read(reply)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise AskFailed(f"the reply is no {what} ({type(error).__name__}): {short(body)}", True) from error


def _chat(reply: Mapping[str, Any], close: int | None) -> Completion:
    choice = reply["choices"][0]
    finish = choice.get("finish_reason") or ""
    text, reasoning = thoughts.fields(choice["message"])
    written = choice.get("token_ids") or ()
    opened = close is not None and bool(written) and close not in written
    thinking, response = thoughts.split(text, reasoning, opened)
    raw = thoughts.join(reasoning, text, closed=bool(text) or finish != "length") if reasoning else text
    tokens = (*(reply.get("prompt_token_ids") or ()), *written) if finish == "length" else ()
    return Completion(thinking, response, raw, finish, **_figures(reply, choice), tokens=tokens)


def _text(reply: Mapping[str, Any]) -> Completion:
    choice = reply["choices"][0]
    return Completion("", choice["text"], choice["text"], choice.get("finish_reason") or "",
                      **_figures(reply, choice), tokens=(*choice["prompt_token_ids"], *choice["token_ids"]))


def _figures(reply: Mapping[str, Any], choice: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of tokens and log-probabilities, by their names in Completion."""
    usage, chances = reply.get("usage") or {}, _logprobs(choice.get("logprobs") or {})
    return dict(
        prompt_tokens=usage.get("prompt_tokens") or 0, completion_tokens=usage.get("completion_tokens") or 0,
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        thinking_tokens=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
        mean_logprob=sum(chances) / len(chances) if chances else None, min_logprob=min(chances, default=None))


def _logprobs(logprobs: Mapping[str, Any]) -> Sequence[float]:
    """The log-probability of each token, where they came back: a list in a chat's reply, another in a text's."""
    chat = [token["logprob"] for token in logprobs.get("content") or ()]
    return chat or [chance for chance in logprobs.get("token_logprobs") or () if chance is not None]


def short(value: object) -> str:
    """A text of at most 300 characters in one line."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:297] + "…"
