"""The nouns: frozen rows. A row's id is a hash of what determined it; a stage is "compute the rows its table lacks"."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypedDict

import orjson

HASHING = "b1"
"""Version of the hashing, the prefix of every id: a change of `content_id` must change it."""


def content_id(*parts: Any) -> str:
    """`b1-` and 32 hex digits of BLAKE2b over the canonical JSON of `parts` (JSON types only)."""
    return f"{HASHING}-{hashlib.blake2b(_encoded(parts), digest_size=16).hexdigest()}"


def _encoded(parts: tuple[Any, ...]) -> bytes:
    """Canonical JSON. Of plain words, as nearly all ids are, orjson makes the same bytes in a tenth of the time."""
    try:
        if {*map(type, parts)} <= _WORDS:
            return orjson.dumps(parts)
    except orjson.JSONEncodeError:  # half a surrogate pair
        pass
    return _JSON.encode(parts).encode("utf-8", "surrogatepass")


_WORDS = {str, type(None)}
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
"""Made once: `json.dumps` would make one for every id, and there are millions of them."""


class Message(TypedDict):
    """One chat message, as every OpenAI-compatible endpoint takes it."""

    role: str
    content: str


@dataclass(frozen=True)
class Problem:
    """Something to solve: the reference is an answer, or tests as JSON; `verifier` is the name of its checker."""

    prompt: str
    reference: str
    verifier: str = "math_equal"
    source: str = ""
    domain: str = ""
    split: str = "train"
    licence: str = ""
    meta: str = "{}"

    @cached_property
    def id(self) -> str:
        return content_id("problem", self.prompt, self.reference, self.verifier)


@dataclass(frozen=True)
class Completion:
    """What a teacher or a strategy gives back. `raw` is the text as it came; tokens are counts; `mean_logprob` and
    `min_logprob` are the mean and the lowest natural log-probability of its tokens."""

    thinking: str
    response: str
    raw: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    thinking_tokens: int | None = None
    mean_logprob: float | None = None
    min_logprob: float | None = None
    steps: tuple["Step", ...] = ()
    cached_tokens: int = 0
    """Of the prompt's tokens, those that the provider had in its cache, and sells for less."""
    tokens: tuple[int, ...] = ()
    """The ids of prompt and text together, where the text was cut off and the endpoint tells them."""
    asked: tuple[Message, ...] = ()
    """What was asked, where the text was cut off and can only be gone on from as a text."""


@dataclass(frozen=True)
class Step:
    """A piece of a trace: a tree node, a step label, a solution attempt. `parent` is the index of another step."""

    index: int
    kind: str
    text: str
    parent: int | None = None
    value: float | None = None
    visits: int | None = None
    state: str | None = None


@dataclass(frozen=True)
class Request:
    """What is asked of a teacher, known before the GPU runs; its id is the trace's id.

    `teacher` and `strategy` are canonical JSON: the model with its digest and its sampling; the name with parameters.
    """

    problem_id: str
    teacher: str
    strategy: str
    sample: int

    @cached_property
    def id(self) -> str:
        return content_id("trace", self.problem_id, self.teacher, self.strategy, self.sample)


@dataclass(frozen=True)
class Trace:
    """A request with what came back. `seconds` is wall-clock, `cost` US dollars, `round` the round that bought it."""

    request: Request
    completion: Completion
    seconds: float = 0.0
    cost: float = 0.0
    round: int = 0
    parent: str | None = None
    """The id of the trace that this one goes on from."""

    @property
    def id(self) -> str:
        return self.request.id


@dataclass(frozen=True)
class Candidate:
    """A trace as a selector sees it. There is no reference here, so a selector cannot leak gold.

    `steps` is filled in for a selector whose module says `STEPS = True`; `vector` is its embedding, of length 1, where
    the recipe has `[embed]` and it is correct.
    """

    trace_id: str
    problem_id: str
    prompt: str
    raw: str
    thinking: str
    response: str
    status: str
    answer: str | None
    completion_tokens: int
    measures: Mapping[str, float] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    vector: Sequence[float] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Pick:
    """One row of a dataset to be: a chosen trace, and a rejected one for preference data."""

    chosen: Candidate
    rejected: Candidate | None
    why: str


def joint_logprobs(parts: Sequence[Completion]) -> tuple[float | None, float | None]:
    """Mean and lowest log-probability over what was written in several parts; none where one of them is not known."""
    written = [(part.mean_logprob, part.min_logprob, part.completion_tokens) for part in parts]
    known = [(mean, least, size) for mean, least, size in written if mean is not None and least is not None]
    total = sum(size for _, _, size in known)
    if len(known) < len(written) or not total:
        return None, None
    return sum(mean * size for mean, _, size in known) / total, min(least for _, least, _ in known)


def canonical(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Canonical JSON text: sorted keys, no blanks. Equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
