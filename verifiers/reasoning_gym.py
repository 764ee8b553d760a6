"""reasoning-gym's own scorers as a verifier: the reference is `{"dataset": "chain_sum", "entry": {…}}`.

The entry is one item of that data set, with `question`, `answer` and `metadata` as reasoning-gym made it. Only a score
of exactly 1.0 is correct: its scorers give partial credit, some 0.99 of it, for answers that are wrong.

Some scorers of reasoning-gym pass the answer to `eval` or to `sympy.parse_expr` (of 0.1.19: puzzle24, countdown,
n_queens, …), which would execute a model's text. They are not called: there the same text as the entry's answer is
correct, and everything else undecided. `number_game` and `math_equal` judge such answers safely.
"""

import contextlib
import functools
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from verifiers.answers import final_answer, without_thinking
from verifiers.verdict import Verdict

VERSION = 1
NEEDS = ("reasoning_gym",)

_CHARACTERS = 20_000  # of an answer

Score = Callable[[str, dict[str, Any]], Any]


def reasoning_gym(response: str, reference: str) -> Verdict:
    """Score the last `<answer>…</answer>`, or else the final answer. Partial credit is wrong, an error undecided."""
    candidates = list(_candidates(response))
    if not candidates:
        return Verdict("undecided", reason="no final answer found")
    if len(candidates[0]) > _CHARACTERS:
        return Verdict("undecided", reason=f"an answer of over {_CHARACTERS} characters")
    try:
        dataset, entry = _read(reference)
        score = _scorer(dataset)
    except _Unusable as error:
        return Verdict("undecided", candidates[0], str(error))
    verdicts = [_scored(answer, entry, score) for answer in candidates]
    if len(candidates) > 1 and "\n" in (entry["answer"] or "").strip() and verdicts[0].status == "wrong":
        verdicts[0] = Verdict("undecided", candidates[0], "several lines are wanted, and none are marked as the answer")
    return next((verdict for verdict in verdicts if verdict.status == "correct"), verdicts[0])


class _Unusable(ValueError):
    """Why the reference or the package cannot be used."""


_TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)


def _candidates(response: str) -> Iterator[str]:
    """What may be the answer. Without a mark it may have several lines (a grid), so all of the text is one, too."""
    text = without_thinking(response).strip()
    if tagged := _TAGGED.findall(text):
        yield tagged[-1].strip()
        return
    answer = final_answer(response)
    if answer is None:
        return
    yield answer.text
    if answer.where in ("line", "bold") and "\n" in text and len(text) <= _CHARACTERS:
        yield text


def _read(reference: str) -> tuple[str, dict[str, Any]]:
    try:
        fields = json.loads(reference)
        dataset, entry = fields["dataset"], fields["entry"]
    except (ValueError, TypeError, LookupError, RecursionError):
        dataset = entry = None
    if not isinstance(dataset, str) or not isinstance(entry, dict) or not _has_answer(entry):
        raise _Unusable('the reference has to be {"dataset": name, "entry": {"answer": text, "metadata": {…}, …}}')
    return dataset, entry


def _has_answer(entry: dict[str, Any]) -> bool:
    return "answer" in entry and isinstance(entry["answer"], str | None)  # null: several are right


def _scorer(dataset: str) -> Score | None:
    """The data set's scorer; None for one that would execute the answer, or whose source cannot be read."""
    try:
        # Through importlib: the package is optional, slow to import and has no types.
        score: Score = importlib.import_module("reasoning_gym").get_score_answer_fn(dataset)
    except ModuleNotFoundError as error:
        raise _Unusable(f"the package {error.name} is not installed: pip install reasoning-gym") from error
    except Exception as error:  # any of a hundred constructors
        raise _Unusable(f"reasoning-gym has no scorer for {dataset!r}: {type(error).__name__}: {error}") from error
    return None if _executes(score) else score


_EXECUTES = re.compile(r"\b(?:eval|exec|parse_expr|sympify)\(")


def _executes(score: Score) -> bool:
    owner = getattr(score, "__self__", None)
    code: Any = type(owner) if owner is not None else score
    return _evaluates(code)


@functools.lru_cache(512)  # finding the source takes 10 ms
def _evaluates(code: Any) -> bool:
    try:
        return bool(_EXECUTES.search(inspect.getsource(code)))
    except (OSError, TypeError):
        return True


def _scored(answer: str, entry: dict[str, Any], score: Score | None) -> Verdict:
    if entry["answer"] is not None and answer == entry["answer"].strip():
        return Verdict("correct", answer, "same text")
    if score is None:
        return Verdict("undecided", answer, "reasoning-gym's scorer would execute the answer, so it is not called")
    try:
        points = float(score(answer, entry))
    except MemoryError:
        raise
    except Exception as error:  # any of a hundred scorers
        return Verdict("undecided", answer, f"reasoning-gym's scorer failed: {type(error).__name__}: {error}")
    if not 0 <= points <= 1:
        return Verdict("undecided", answer, f"reasoning-gym's scorer says {points}, which is no score")
    if points < 1:
        return Verdict("wrong", answer, f"score {points:.6g}")
    if _takes_anything(score, entry):
        return Verdict("undecided", answer, "reasoning-gym's scorer takes any text for right here")
    return Verdict("correct", answer, "score 1")


def _takes_anything(score: Score, entry: dict[str, Any]) -> bool:
    """So did game_of_life_halting of 0.1.19, which compares `bool(answer)`."""
    with contextlib.suppress(Exception):
        return float(score("~ no answer ~", entry)) == 1.0
    return False
