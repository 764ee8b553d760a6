"""The verbs: one method each, callable from a REPL with literals. A plugin is such a function (or makes an object).

A plugin lives in the folder of its kind, in a file and a function of one name. The arguments shown here come from the
factory; every other parameter of the function is a key that a recipe may set.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from factory.records import Candidate, Completion, Message, Pick, Problem, Trace

Ask = Callable[[Sequence[Message]], Awaitable[Completion]]
"""A teacher with its sampling and seed already chosen."""


class TokenAsk(Protocol):
    """An `Ask` of a vLLM server, which can also be asked token by token: for a strategy whose module says
    `TOKENS = True`.

    `complete` gives what comes after `tokens`, with the ids of both; its `limits` (max_tokens, stop_token_ids …) win
    over the sampling, and the model's `context` (in tokens) over both.
    """

    async def __call__(self, messages: Sequence[Message]) -> Completion: ...
    async def encode(self, text: str | Sequence[Message]) -> Sequence[int]: ...
    async def complete(self, tokens: Sequence[int], **limits: Any) -> Completion: ...
    async def context(self) -> int: ...
    async def resume(self, asked: Sequence[Message], written: str, **limits: Any) -> Completion: ...



class UserError(Exception):
    """A mistake that the user can mend: one clear sentence that says what to do next."""


class Exhausted(UserError):
    """A budget or a quota is used up: nobody's mistake, so what is in flight is finished and kept, and what was bought
    goes on to datasets before the run ends with this sentence. The same command goes on when there is more."""


class AskFailed(Exception):
    """A request that brought no completion: data, not a crash. `retry` says whether asking again can help; `too_long`
    that the model's context has no room for it, so that a server with a larger one may answer."""

    def __init__(self, reason: str, retry: bool, wait: float = 0.0, too_long: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.retry, self.wait, self.too_long = reason, retry, wait, too_long


class Source(Protocol):
    """Where problems come from. A malformed row is yielded as a `BadRow`, never raised."""

    def __call__(self) -> "Iterable[Problem | BadRow]": ...


class BadRow(Exception):
    """A row of a source that is not a problem: `where` names it (file and line), `reason` says what is wrong."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where, self.reason = where, reason


class Teacher(Protocol):
    """A model behind an endpoint. `identity` is what determines its answers (JSON types); `async with` starts it."""

    identity: Mapping[str, Any]
    concurrency: int

    def check(self) -> None:
        """Raise UserError if it cannot work (no such model, port in use, no key); quick, starts nothing."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None: ...
    async def ask(self, messages: Sequence[Message], seed: int) -> Completion:
        """One completion. Raises AskFailed for a request that failed, UserError when no request can work any more."""


class Strategy(Protocol):
    """Plain sequential code for one problem; concurrency across problems lives in the stage."""

    async def __call__(self, problem: Problem, ask: Ask) -> Completion: ...


class Measure(Protocol):
    """A number about one trace; with `VERSION: int` in its module. NaN is not a value: return a number."""

    def __call__(self, problem: Problem, trace: Trace) -> float: ...


class Selector(Protocol):
    """Picks among the traces of ONE problem that passed the rules; sees no reference."""

    def __call__(self, candidates: Sequence[Candidate]) -> Sequence[Pick]: ...


class Emitter(Protocol):
    """The row of a dataset for one pick (JSON types)."""

    def __call__(self, pick: Pick) -> Mapping[str, Any]: ...


class Student(Protocol):
    """Trains `base` on the dataset folder into `output`, resuming from what is there; returns figures (JSON types)."""

    def __call__(self, base: Path, dataset: Path, output: Path) -> Mapping[str, Any]: ...
