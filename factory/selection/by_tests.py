"""The trace that a contestant would have got accepted: clusters by behaviour, scores by tests, a budget of submissions.

The strategy of o1-ioi (OpenAI 2025, arXiv 2502.06807): candidates whose programs give identical outputs on generated
inputs are one cluster; a candidate's score is a weighted sum of measures (failed public tests, failed generated tests,
a learned score if there is one); a cluster's is the mean of its candidates', less a penalty for each submission spent
on it. The best candidate of the best cluster is submitted until one is accepted or the budget is spent (50 at the IOI,
10 on Codeforces, 10,000 without a limit to speak of). With several subtasks they take turns.

A verdict is read only of what is submitted, as a judge would tell it.
"""

from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import groupby
from typing import NamedTuple

from factory.protocols import UserError
from factory.records import Candidate, Pick
from factory.selection import plain

VERSION = 1

WEIGHTS = {"public_failed": -10.0, "generated_failed": -3.0}


class Submission(NamedTuple):
    """Which subtask (its place among those given), and what is sent to its judge."""

    subtask: int
    candidate: Candidate


def by_tests(candidates: Sequence[Candidate], *, budget: int = 50, cluster: str = "behaviour",
             weights: Mapping[str, float] = WEIGHTS, size: float = 1.0, penalty: float = 1.0,
             rejected: bool = False) -> list[Pick]:
    """The first accepted of at most `budget` submissions; with `rejected`, over the first that was refused.

    `cluster` and the keys of `weights` are measures of the recipe, a weight being points per unit of the measure.
    `size`: points for a cluster that holds all candidates, in proportion for less. `penalty`: points off a cluster for
    each submission from it. A candidate whose cluster is negative (it has no program) is never submitted.
    """
    if budget < 1:
        raise UserError(f"budget is {budget}: allow 1 submission or more")
    _refuse_missing(candidates, [cluster, *weights])
    sent: list[Candidate] = []
    for submission in submissions([candidates], budget, cluster, weights, size, penalty):
        sent.append(submission.candidate)
        if sent[-1].status == "correct":
            return _pick(sent, rejected)
    return []


def submissions(subtasks: Sequence[Sequence[Candidate]], budget: int, cluster: str = "behaviour",
                weights: Mapping[str, float] = WEIGHTS, size: float = 1.0, penalty: float = 1.0
                ) -> Iterator[Submission]:
    """What to submit, one after the other, in turns over the subtasks (the hardest first, if they come in that order).

    A subtask is done when a candidate of its own that was given out has the status `correct`, or when none is left.
    """
    turns = [(number, _ordered(group, cluster, weights, size, penalty)) for number, group in enumerate(subtasks)]
    while turns and budget:
        for number, turn in list(turns[:budget]):
            if (candidate := next(turn, None)) is None:
                turns = [other for other in turns if other[0] != number]
                continue
            budget -= 1
            yield Submission(number, candidate)
            if candidate.status == "correct":
                turns = [other for other in turns if other[0] != number]


def _ordered(candidates: Sequence[Candidate], cluster: str, weights: Mapping[str, float], size: float, penalty: float
             ) -> Iterator[Candidate]:
    """One subtask's candidates, each response once, as they would be submitted if none were accepted."""
    usable = [c for c in candidates if c.status != "undecided" and c.measures.get(cluster, -1) >= 0]
    by_cluster = sorted(usable, key=lambda c: c.measures[cluster])
    waiting: list[tuple[float, str, list[Candidate]]] = []  # points, the better the less; an id for ties; who is left
    for _, members in groupby(by_cluster, key=lambda c: c.measures[cluster]):
        points, left = _judged(list(members), weights)
        heappush(waiting, (-points - size * len(left) / len(usable), left[0].trace_id, _different(left)))
    while waiting:
        points, _, left = heappop(waiting)
        yield left[0]
        if left[1:]:
            heappush(waiting, (points + penalty, left[1].trace_id, left[1:]))


def _judged(members: Sequence[Candidate], weights: Mapping[str, float]) -> tuple[float, list[Candidate]]:
    """The mean of the points of one cluster's candidates, and these, the best first."""
    points = {c.trace_id: sum(w * c.measures.get(m, 0.0) for m, w in weights.items()) for c in members}
    return sum(points.values()) / len(members), sorted(members, key=lambda c: (-points[c.trace_id], c.trace_id))


def _different(ordered: Sequence[Candidate]) -> list[Candidate]:
    """Each response once, where it stood first."""
    kept: dict[str, Candidate] = {}
    for c in ordered:
        kept.setdefault(plain(c.response), c)
    return list(kept.values())


def _pick(sent: Sequence[Candidate], rejected: bool) -> list[Pick]:
    why = f"accepted at submission {len(sent)}"
    if not rejected:
        return [Pick(sent[-1], None, why)]
    return [Pick(sent[-1], sent[0], f"{why}, over the first one refused")] if len(sent) > 1 else []


def _refuse_missing(candidates: Sequence[Candidate], wanted: Sequence[str]) -> None:
    known = {name for c in candidates for name in c.measures}
    if missing := [name for name in wanted if candidates and name not in known]:
        raise UserError(f"by_tests has no measure '{missing[0]}' to go by: add it to `measures`, or take it out of "
                        f"the selector's parameters (there are {', '.join(sorted(known)) or 'none'}); where it could "
                        f'not be measured, a rule leaves the problem out: ran = "{missing[0]} IS NOT NULL"')
