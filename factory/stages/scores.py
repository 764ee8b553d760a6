"""samples -> rows of the table `scores`: every metric for every k, by difficulty and source, with its interval.

Metrics that vote, choose or compare are means over problems of an expectation over which k samples were drawn
(`factory.metrics`).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from factory import metrics
from factory.records import content_id
from factory.stages.owed import Job
from factory.stages.samples import Samples

VERSION = 2
"""Of how the rows are computed: a new one computes anew."""

BY_BASE = "base solves"
COVERAGES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
MOST_NAMES = 8
"""Of difficulties in words: what has more is no difficulty."""
Values = dict[tuple[str, int], np.ndarray]
"""(metric, k) -> [problems]."""


def default_k(samples: int) -> list[int]:
    """Powers of two up to all samples, and all of them."""
    return sorted({2**i for i in range(samples.bit_length()) if 2**i <= samples} | {samples})


def per_problem(samples: Samples, answers: Sequence[Sequence[str | None]], ks: Sequence[int]) -> Values:
    """Each metric for each k. `answers`: in one writing. Without a score there is no metric that needs one."""
    scored = bool(np.isfinite(samples.score).any())
    values: Values = {("tokens", 1): samples.tokens.mean(axis=1), ("undecided", 1): samples.undecided.mean(axis=1)}
    for k in ks:
        values["pass", k] = np.asarray(metrics.pass_at_k(samples.n, samples.right.sum(axis=1), k))
        if samples.n > 1:
            values |= {(name, k): _each(samples, answers, ask, k) for name, ask in _CHOICES.items()
                       if scored or name not in ("best", "weighted")}
    return values


Choice = Callable[[Samples, Sequence[str | None], int, int], float]


def _each(samples: Samples, answers: Sequence[Sequence[str | None]], ask: Choice, k: int) -> np.ndarray:
    return np.array([ask(samples, answers[i], i, k) for i in range(len(samples.problems))])


def _weighted(samples: Samples, answers: Sequence[str | None], i: int, k: int) -> float:
    """Scores from 0 to 1 by their range within the problem, as TS-LLM has it: a score may have any scale."""
    score = samples.score[i]
    known = score[np.isfinite(score)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    weights = np.ones(len(score)) if high == low else np.nan_to_num((score - low) / (high - low))
    return metrics.vote(answers, samples.right[i].tolist(), k, weights.tolist(), seed=i)


_CHOICES: dict[str, Choice] = {
    "consensus": lambda samples, answers, i, k: metrics.vote(answers, samples.right[i].tolist(), k, seed=i),
    "weighted": _weighted,
    "best": lambda samples, answers, i, k: metrics.best_of_k(samples.score[i].tolist(), samples.right[i].tolist(), k),
    "bayes_risk": lambda samples, answers, i, k: metrics.minimum_bayes_risk(
        samples.responses[i], samples.right[i].tolist(), k, seed=i),
}


# -- slices ----------------------------------------------------------------------------------------------------------


def slices(samples: Samples, base: np.ndarray | None) -> dict[str, np.ndarray]:
    """Parts of the problems by name: by their difficulty, or by how often the base solves them where none states it
    (`base` [problems]); by source, where there are several."""
    found = _by_difficulty(samples, base)
    for source in sorted(set(samples.source)) if len(set(samples.source)) > 1 else ():
        found[f"source {source}"] = np.flatnonzero(np.array(samples.source) == source)
    return found


def _by_difficulty(samples: Samples, base: np.ndarray | None) -> dict[str, np.ndarray]:
    told = [json.loads(meta or "{}") for meta in samples.meta]
    for name in ("level", "difficulty", "size"):
        values = ["" if meta.get(name) is None else str(meta[name]) for meta in told]
        for found in (_by_number(values), _by_word(values)):
            if sum(map(len, found.values())) > len(values) / 2:
                return {f"{name} {band}": where for band, where in found.items()}
    if base is None or not len(base):
        return {}
    return {f"{BY_BASE} {band}": where for band, where in metrics.bands(np.round(base, 2).tolist(), 4)}


def _by_number(values: Sequence[str]) -> dict[str, np.ndarray]:
    """Bands of the numbers in them: 3, "3" and "Level 3" are one."""
    numbers = np.array([float(found[0]) if (found := re.search(r"-?\d+(?:\.\d+)?", value)) else np.nan
                        for value in values])
    known = np.flatnonzero(np.isfinite(numbers))
    return {band: known[where] for band, where in metrics.bands(numbers[known].tolist())} if len(known) else {}


def _by_word(values: Sequence[str]) -> dict[str, np.ndarray]:
    """Easy, medium and hard, or S to XL; what has more than `MOST_NAMES` of them is no difficulty."""
    plain = np.array([value.strip().casefold() for value in values])
    names = sorted({str(value) for value in plain if value})
    return {name: np.flatnonzero(plain == name) for name in names} if len(names) <= MOST_NAMES else {}


# -- rows ------------------------------------------------------------------------------------------------------------


def rows(samples: Samples, values: Values, parts: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """metric, k, slice, value, low, high, n (problems), tokens (of k samples, a problem)."""
    tokens = values["tokens", 1]
    for (metric, k), found in values.items():
        yield _row(metric, k, "", found, tokens)
    for name, where in parts.items():
        yield _row("pass", 1, name, samples.right.mean(axis=1)[where], tokens[where])
    counted = np.flatnonzero(np.isfinite(samples.share).all(axis=1))
    for name, where in {"": counted, **{name: np.intersect1d(where, counted) for name, where in parts.items()}}.items():
        if len(where):
            yield _row("cells", 1, name, samples.share.mean(axis=1)[where], tokens[where])


def _row(metric: str, k: int, part: str, values: np.ndarray, tokens: np.ndarray) -> dict[str, Any]:
    low, high = metrics.interval(values)
    return dict(metric=metric, k=k, slice=part, value=float(values.mean()), low=low, high=high, n=len(values),
                tokens=float(k * tokens.mean()))


def gains(mine: np.ndarray, theirs: np.ndarray, parts: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Paired rows `gain` [problems], of all and of each part, with the p-value; of no part that was chosen by what the
    base did on these very problems, for there it would seem to gain and to lose by chance alone."""
    told = {name: where for name, where in parts.items() if not name.startswith(BY_BASE)}
    for name, where in {"": np.arange(len(mine)), **told}.items():
        found = metrics.paired(mine[where], theirs[where])
        yield dict(metric="gain", k=1, slice=name, value=found.gain, low=found.low, high=found.high, p=found.p,
                   n=len(where))


def risks(samples: Samples, answers: Sequence[Sequence[str | None]]) -> Iterator[dict[str, Any]]:
    """`risk` at some coverages and its area, `aurc`. What is risked is the answer of most samples, and its share of
    them says how sure it is; of one sample, its mean log-probability. None where there is neither."""
    if samples.n > 1:
        sure, by = np.array([metrics.leading_share(given) for given in answers]), "share of the vote"
        right = np.array([metrics.vote(given, samples.right[i].tolist()) for i, given in enumerate(answers)])
    elif np.isfinite(samples.confidence).all():
        sure, by, right = samples.confidence[:, 0], "mean log-probability", samples.right[:, 0]
    else:
        return

    def told(where: np.ndarray) -> np.ndarray:
        coverage, risk = metrics.risk_coverage(sure[where], right[where])
        return np.append(risk[np.searchsorted(coverage, np.array(COVERAGES) - 1e-9)], risk.mean())
    value, (low, high) = told(np.arange(len(sure))), metrics.interval_of(told, len(sure))
    for i, name in enumerate([*(f"coverage {c:.0%}" for c in COVERAGES), ""]):
        yield dict(metric="risk" if name else "aurc", k=samples.n, slice=name, value=float(value[i]),
                   low=float(low[i]), high=float(high[i]), n=len(sure), by=by)


# -- how it was asked --------------------------------------------------------------------------------------------------


def asked_how(job: Job) -> dict[str, Any]:
    """The model with its sampling and strategy, and what of them belongs beside each score: temperature and top_p
    (None: the server's own), most tokens of an answer, and the budget of thinking tokens."""
    teacher, strategy = job.keys
    sampling, forced = json.loads(teacher).get("sampling") or {}, json.loads(strategy)
    most = sampling.get("max_tokens") or sampling.get("max_completion_tokens")
    return dict(teacher=teacher, strategy=strategy, temperature=sampling.get("temperature"),
                top_p=sampling.get("top_p"), max_tokens=most,
                budget=forced.get("maximum") if forced.get("strategy") == "budget_forcing" else None)


def record(row: Mapping[str, Any], told: Mapping[str, Any], part: str = "held-out") -> dict[str, Any]:
    """The row of `scores` for what was told of an evaluation."""
    kept = {name: row[name] for name in ("run_id", "model", "samples", "temperature", "top_p", "max_tokens", "budget",
                                         "created")}
    key = [told["metric"], told["k"], told["slice"], told.get("against")]
    return dict(kept, id=content_id("score", row["id"], part, *key), evaluation=row["id"], part=part, **told)
