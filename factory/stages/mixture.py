"""picks -> fewer picks, over all problems: a cap per problem, a number of rows, and shares of sources or whatever else.

A selector sees one problem and cannot plan shares. This step sees every pick and nothing of its text. Within a bucket
the order is that of trace ids, which are hashes, so it is chance and the same each time; or s1's (Muennighoff et al.
2025): the trace of rank n by length, the longest first, is drawn with weight 2^-n.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory.protocols import UserError
from factory.recipe import Mixture

Vector = NDArray[np.float32]
NEAR = 0.005
"""So far off may a share be."""


class Picked(NamedTuple):
    """A pick without its texts. `of` is the trace that `chosen` is or was cut from, `rejected_of` the same of the other
    side; `tokens` are those of `chosen`."""

    chosen: str
    rejected: str | None
    why: str
    problem_id: str
    of: str
    rejected_of: str | None
    bucket: str
    tokens: int


def mix(name: str, plan: Mixture, picked: Sequence[Picked], vectors: Mapping[str, Vector] = {}
        ) -> tuple[list[Picked], list[tuple[Picked, str]]]:
    """(those used, those left out with the reason). Raises UserError for a share of which there is nothing.

    `vectors`: of problems, of length 1, where "diverse" is preferred.
    """
    kept, left = _capped(plan, picked)
    buckets: dict[str, list[Picked]] = {}
    for one in kept:
        buckets.setdefault(one.bucket, []).append(one)
    quotas = _quotas(name, plan, {bucket: len(rows) for bucket, rows in buckets.items()})
    used: list[Picked] = []
    for bucket in sorted(buckets):
        ordered, quota = sorted(buckets[bucket], key=_chance), quotas.get(bucket, 0)
        if plan.prefer == "long":
            ordered = _longest_first(ordered)
        elif plan.prefer == "diverse":
            ordered = _unlike_first(ordered, quota, vectors)
        used += ordered[:quota]
        reason = f"over the share of '{bucket}'" if plan.by else f"over {plan.rows} rows"
        reason = f"'{bucket}' has no share" if plan.shares and bucket not in plan.shares else reason
        left += [(one, reason) for one in ordered[quota:]]
    return used, left


def _capped(plan: Mixture, picked: Iterable[Picked]) -> tuple[list[Picked], list[tuple[Picked, str]]]:
    """The first `per_problem` of each problem, in the selector's order."""
    if plan.per_problem is None:
        return list(picked), []
    seen: Counter[str] = Counter()
    kept: list[Picked] = []
    left: list[tuple[Picked, str]] = []
    for one in picked:
        seen[one.problem_id] += 1
        if seen[one.problem_id] <= plan.per_problem:
            kept.append(one)
        else:
            left.append((one, f"over {plan.per_problem} a problem"))
    return kept, left


def _quotas(name: str, plan: Mixture, there: Mapping[str, int]) -> dict[str, int]:
    """Rows of each bucket: the shares of as many rows as the scarcest allows, or an even spread."""
    total = sum(there.values())
    if not plan.shares:
        return _even(there, min(total, plan.rows or total))
    if total and (lacking := sorted(set(plan.shares) - set(there))):
        raise UserError(f"the mixture of the dataset '{name}' wants {plan.shares[lacking[0]]:.0%} of '{lacking[0]}', "
                        f"of which nothing was chosen: there is {', '.join(sorted(there))}; change its shares or the "
                        "rules")
    most, scarce = min((int(there.get(bucket, 0) / share + 1e-9), bucket) for bucket, share in plan.shares.items())
    rows = plan.rows if plan.rows and plan.rows <= most else _whole(plan.shares, most, there)
    if rows < (plan.rows or 0):
        print(f"the dataset '{name}' gets {rows} of the {plan.rows} rows of its mixture: there are no more than "
              f"{there.get(scarce, 0)} of '{scarce}'")
    return _apportioned(plan.shares, rows, there)


def _whole(shares: Mapping[str, float], most: int, there: Mapping[str, int]) -> int:
    """The largest number of rows, down to nine in ten of `most`, that the shares divide to within `NEAR`: of few rows
    one is more than that."""
    def near(rows: int) -> bool:
        return all(abs(quota / rows - shares[bucket]) <= NEAR
                   for bucket, quota in _apportioned(shares, rows, there).items())
    return next((rows for rows in range(most, most * 9 // 10, -1) if near(rows)), most)


def _apportioned(shares: Mapping[str, float], rows: int, there: Mapping[str, int]) -> dict[str, int]:
    """Whole numbers for the shares of `rows`, by largest remainders: each is less than a row off."""
    exact = {bucket: share * rows for bucket, share in shares.items()}
    quotas = {bucket: math.floor(number) for bucket, number in exact.items()}
    order = sorted(exact, key=lambda bucket: (quotas[bucket] - exact[bucket], bucket))
    for bucket in order[:max(0, rows - sum(quotas.values()))]:
        quotas[bucket] += 1
    return {bucket: min(quota, there.get(bucket, 0)) for bucket, quota in quotas.items()}


def _even(there: Mapping[str, int], rows: int) -> dict[str, int]:
    """As nearly the same number of each bucket as there are: what a small one lacks, the larger ones give."""
    quotas: dict[str, int] = {}
    order = sorted(there, key=lambda bucket: (there[bucket], bucket))
    for index, bucket in enumerate(order):
        quotas[bucket] = min(there[bucket], rows // (len(order) - index))
        rows -= quotas[bucket]
    return quotas


def _chance(one: Picked) -> tuple[str, str]:
    return one.chosen, one.rejected or ""


def _longest_first(rows: Sequence[Picked]) -> list[Picked]:
    """Drawn without replacement with weight 2^-rank: the keys of Efraimidis and Spirakis 2006, as logarithms."""
    ranked = sorted(rows, key=lambda one: (-one.tokens, _chance(one)))
    keys = [math.log(-math.log(1 - random.Random(one.chosen).random() or 0.5)) + rank * math.log(2)
            for rank, one in enumerate(ranked)]
    return [ranked[index] for index in sorted(range(len(ranked)), key=lambda index: keys[index])]


def _unlike_first(rows: Sequence[Picked], quota: int, vectors: Mapping[str, Vector]) -> list[Picked]:
    """Begins with `quota` rows, each the most unlike (by cosine) those before it; those without a vector are last."""
    known = [one for one in rows if one.problem_id in vectors]
    table = np.array([vectors[one.problem_id] for one in known])
    nearest = np.full(len(known), -2.0)
    taken: list[int] = []
    for _ in range(min(quota, len(known))):
        taken.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, table @ table[taken[-1]])
        nearest[taken] = np.inf
    rest = sorted(set(range(len(known))) - set(taken))
    return [known[i] for i in (*taken, *rest)] + [one for one in rows if one.problem_id not in vectors]
