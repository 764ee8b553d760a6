"""What is found out about an endpoint before the first request, and what is said when it can answer none."""

import difflib
import json
import resource
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from factory.protocols import AskFailed, UserError
from factory.teachers._client import Broken, Configuration, Refused
from factory.teachers._endpoint import Endpoint

OURS = frozenset({"model", "messages", "seed", "n", "stream"})
"""Keys of a request that the factory sets itself."""

MOST = ("max_completion_tokens", "max_tokens")
"""Keys of a request that say how many tokens an answer may have."""

UNLISTED = frozenset({403, 404, 405, 429, 501})
"""Answers to GET /models of endpoints that may well answer chats: no such page, or a key restricted to chats."""


async def is_vllm(endpoint: Endpoint, model: str, key_env: str) -> bool:
    """Whether a vLLM answers there, which has the model; one that does not answer is put out. Raises UserError when it
    says that no request can work."""
    try:
        entries = _entries(await endpoint.client.get("/models"))
    except Configuration as error:
        if error.status not in UNLISTED:
            raise complaint(endpoint.url, error, model, key_env) from None
        return False
    except Refused:
        return False
    except Broken as failure:
        endpoint.eject(failure.reason)
        return False
    except AskFailed as failure:
        status, _, said = failure.reason.partition(": ")
        if status.isdigit() and int(status) not in UNLISTED:
            raise UserError(f"{endpoint.url} answers with {status} ({said}): see to the server, or set "
                            "teacher.base_url in the recipe") from None
        return False
    _find_model(endpoint.url, model, list(entries))
    return entries.get(model) == "vllm"


def complaint(url: str, error: Configuration, model: str, key_env: str) -> UserError:
    """The sentence for a server that refuses every request alike."""
    if error.status in (401, 403):
        source = f"the environment variable {key_env}" if key_env else "a variable that teacher.key_env names"
        return UserError(f"{url} refuses the key: put a valid one into {source}")
    if error.status == 404:
        return UserError(f"{url} has no model '{model}' or no chat completions ({error.said}): set teacher.model and "
                         "teacher.base_url to what it has")
    return UserError(f"{url} wants to be paid ({error.said}): top the account up and run the same command again, "
                     "what is finished is kept")


def _find_model(url: str, model: str, names: Sequence[str]) -> None:
    if names and model not in names:
        near = difflib.get_close_matches(model, names, 5, 0.3) or list(names[:5])
        more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
        raise UserError(f"{url} has no model '{model}': set teacher.model to one it has ({', '.join(near)}{more})")


def _entries(body: bytes) -> dict[str, str]:
    """The models in a listing with their owners; none if it is something else, for then it proves nothing."""
    try:
        return {str(entry["id"]): str(entry.get("owned_by", "")) for entry in orjson.loads(body)["data"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def check_sampling(sampling: Mapping[str, Any]) -> None:
    """Refuse what is no JSON, the keys that are the factory's own, and limits of tokens that are none."""
    if not isinstance(more := sampling.get("extra_body", {}), Mapping):
        raise UserError(f"teacher.sampling.extra_body is {more!r}: write a table, as {{ top_k = 20 }}")
    for key, most in [(key, given[key]) for given in (sampling, more) for key in MOST if key in given]:
        if type(most) is not int or most < 1:
            raise UserError(f"teacher.sampling.{key} is {most!r}: set a whole number of tokens, 1 or more")
    for key in sorted(OURS & (set(sampling) | set(more))):
        raise UserError(f"teacher.sampling.{key} is set by the factory: remove it from the recipe")
    try:
        json.dumps(sampling, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"teacher.sampling may hold numbers, texts, lists and tables only: mend it ({error})") from None


def allow_files(connections: int) -> None:
    """A connection is an open file. Raises UserError when this process may not have so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise UserError(f"{connections} requests in flight need more open files than the {hard} allowed here: "
                            "lower teacher.concurrency, or raise `ulimit -n`")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
