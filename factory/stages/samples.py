"""traces of held-out problems -> their samples as arrays: what metrics are computed from.

Answers that the problem's own verifier takes for equal are one answer. The reference has no part in that: it would
merge the right answers and leave the wrong ones apart.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.lake import Lake
from factory.recipe import MeasureSpec, Recipe, Verify
from factory.records import content_id
from factory.run import Run
from factory.stages import measure
from factory.stages.owed import Job
from verifiers.majority import contested, merged
from verifiers.pool import Case, Pool
from verifiers.verdict import Status
from verifiers.zebra import cells

COMPARABLE = {"math_equal": "math_equal", "math_close": "math_close", "multiple_choice": "multiple_choice",
              "yes_no": "yes_no", "decimal_compare": "decimal_compare"}
"""Verifiers whose references are answers, so that they can compare two answers. Of all others equal texts are equal."""

_WHOLE = re.compile(r"0|-?[1-9]\d{0,14}")


@dataclass(frozen=True)
class Samples:
    """[problems, n] each, in the order of `problems`: whether right and whether undecided, tokens, confidence (mean
    log-probability, NaN where there is none), score (NaN likewise), share of a grid's cells that are right (NaN where
    there is no grid); answers and responses, None where there is none."""

    problems: list[str]
    meta: list[str]
    source: list[str]
    verifier: list[str]
    right: np.ndarray
    undecided: np.ndarray
    tokens: np.ndarray
    thinking: np.ndarray
    confidence: np.ndarray
    score: np.ndarray
    share: np.ndarray
    answers: list[list[str | None]]
    responses: list[list[str | None]]

    @property
    def n(self) -> int:
        return int(self.right.shape[1])

    @property
    def digest(self) -> str:
        """Of what the metrics are made of."""
        return content_id("samples", self.problems, [
            self.right.tolist(), self.undecided.tolist(), self.tokens.tolist(), np.nan_to_num(self.score).tolist()])


def score_spec(recipe: Recipe) -> MeasureSpec | None:
    """The measure by which the best of k is chosen; a name that is a column of the recipe's measures is that one."""
    spec = recipe.evaluate.score if recipe.evaluate else None
    if spec is None or spec.params:
        return spec
    return next((known for known in recipe.measures if known.column == spec.plugin), spec)


def read(run: Run, job: Job) -> Samples:
    """The samples of a job with their verdicts, and scores where the recipe has one."""
    spec = score_spec(run.recipe)
    return _read(run.lake, run.id, *job.keys, job.options.samples, measure.key(spec) if spec else None)


def _read(lake: Lake, run_id: str, teacher: str, strategy: str, n: int, score: measure.Key | None = None) -> Samples:
    """The samples of every held-out problem of a run; one that is missing is undecided. `score`: the key of a
    measure."""
    rows = lake.rows("""
        WITH told AS (SELECT trace_id, value FROM measurements WHERE measure = $5 AND params = $6 AND version = $7)
        SELECT m.problem_id, any_value(p.meta) AS meta, any_value(p.source) AS source,
               any_value(p.verifier) AS verifier, any_value(p.reference) AS reference,
               list({'sample': t.sample, 'status': v.status, 'answer': v.answer, 'response': t.response,
                     'completion_tokens': t.completion_tokens, 'thinking_tokens': t.thinking_tokens,
                     'mean_logprob': t.mean_logprob, 'score': s.value}) AS found
        FROM members m JOIN problems p ON p.id = m.problem_id
        LEFT JOIN traces t ON t.problem_id = m.problem_id AND t.teacher = $2 AND t.strategy = $3 AND t.sample < $4
        LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
        LEFT JOIN told s ON s.trace_id = t.id
        WHERE m.run_id = $1 AND m.part = 'evaluate' GROUP BY 1 ORDER BY 1""",
        [run_id, teacher, strategy, n, *(score or ("", "", 0))])
    placed = [_placed(row["found"], n) for row in rows]

    def column(name: str) -> list[list[Any]]:
        return [[cell and cell[name] for cell in row] for row in placed]
    return Samples(
        problems=[row["problem_id"] for row in rows], meta=[row["meta"] for row in rows],
        source=[row["source"] for row in rows], verifier=[row["verifier"] for row in rows],
        right=_matrix([[s == "correct" for s in row] for row in column("status")], n),
        undecided=_matrix([[s not in ("correct", "wrong") for s in row] for row in column("status")], n),
        tokens=_matrix(column("completion_tokens"), n, 0), thinking=_matrix(column("thinking_tokens"), n),
        confidence=_matrix(column("mean_logprob"), n), score=_matrix(column("score"), n),
        share=np.array([_shares(row, said) for row, said in zip(rows, column("response"), strict=True)]).reshape(-1, n),
        answers=column("answer"), responses=column("response"))


def _shares(row: dict[str, Any], responses: Sequence[str | None]) -> list[float]:
    """ZebraLogic's cell accuracy: a grid of which one cell is wrong is wrong, and yet not as wrong as any."""
    if row["verifier"] != "zebra":
        return [np.nan] * len(responses)
    counted = [cells(said or "", row["reference"]) for said in responses]
    return [right / of if of else np.nan for right, of in counted]


def _placed(found: Sequence[dict[str, Any]], n: int) -> list[dict[str, Any] | None]:
    by_sample = {cell["sample"]: cell for cell in found}
    return [by_sample.get(sample) for sample in range(n)]


def _matrix(rows: Sequence[Sequence[Any]], n: int, missing: float = np.nan) -> np.ndarray:
    return np.array([[missing if cell is None else cell for cell in row] for row in rows], float).reshape(-1, n)


def one_writing(samples: Samples, limits: Verify) -> list[list[str | None]]:
    """The answers, each as the most frequent one of its problem that its verifier takes for equal."""
    asked: dict[tuple[str, str, str], Status] = {}
    for name, answers in zip(samples.verifier, samples.answers, strict=True):
        for pair in contested(answers) if name in COMPARABLE else ():
            if not all(map(_WHOLE.fullmatch, pair)):  # two whole numbers are the same where their texts are
                asked[(COMPARABLE[name], *pair)] = "undecided"
    if asked:
        with Pool(workers=limits.workers, timeout=limits.timeout, memory_mb=limits.memory_mb) as pool:
            verdicts = pool.map(Case(name, f"\\boxed{{{mine}}}", theirs) for name, mine, theirs in asked)
            asked = {key: verdict.status for key, verdict in zip(asked, verdicts, strict=True)}
    return [merged(answers, {pair: asked.get((COMPARABLE.get(name, ""), *pair), "undecided")
                             for pair in contested(answers)})
            for name, answers in zip(samples.verifier, samples.answers, strict=True)]
