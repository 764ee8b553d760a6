"""The audit: answers of known truth go through the verifier blind, among the traces of every batch.

`plant` makes them out of the batch's own references (`verifiers.planted`), `outcome` counts what the verifier said into
the table `audits`, and `enforce` stops a run whose verifier breaks the recipe's contract. A planted item never becomes
a trace, a verdict or a row of data. Rates are with Wilson's interval (Wilson 1927), 95 %.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, get_args

from factory.lake import Lake, now
from factory.protocols import UserError
from factory.records import canonical, content_id
from factory.run import Run
from verifiers.planted import Kind
from verifiers.planted import plant as make
from verifiers.pool import version
from verifiers.verdict import Verdict

FEWEST = 10
"""Items of each kind that a batch gets at least, and that a contract is judged by at least."""
EXAMPLES = 5
"""Items that went wrong which a row keeps."""


@dataclass(frozen=True)
class Planted:
    """One item: a response to the reference of a real problem, of known kind; `how` it was made is for people."""

    verifier: str
    domain: str
    reference: str
    kind: Kind
    how: str
    response: str


def plant(rows: Sequence[Mapping[str, Any]], share: float, rng: random.Random) -> list[Planted]:
    """Items for a batch: `share` of its rows, half right and half wrong, and `FEWEST` of each for each verifier."""
    if not share:
        return []
    found: list[Planted] = []
    for verifier in sorted({row["verifier"] for row in rows}):
        mine = [row for row in rows if row["verifier"] == verifier]
        wanted = max(FEWEST, math.ceil(share * len(mine) / 2))
        for kind in get_args(Kind):
            order = rng.sample(mine, len(mine))
            tried = (_item(row, kind, rng) for row in islice(cycle(order), max(len(mine), wanted)))
            found += islice((item for item in tried if item), wanted)
    return found


def _item(row: Mapping[str, Any], kind: Kind, rng: random.Random) -> Planted | None:
    try:
        made = make(row["verifier"], row["reference"], kind, rng)
    except Exception as error:  # the `planted` of a private verifier is anybody's code
        raise UserError(f"`planted` of the verifier '{row['verifier']}' failed on the reference {row['reference']!r} "
                        f"({type(error).__name__}: {error}); mend it, or set audit.share = 0") from error
    return Planted(row["verifier"], row["domain"] or "", row["reference"], kind, *made) if made else None


def outcome(run_id: str, batch: str, judged: Iterable[tuple[Planted, Verdict]]) -> list[dict[str, Any]]:
    """The rows of `audits` for one batch: counts by verifier, domain and kind."""
    cells: dict[tuple[str, str, Kind], list[tuple[Planted, Verdict]]] = {}
    for item, verdict in judged:
        cells.setdefault((item.verifier, item.domain, item.kind), []).append((item, verdict))
    return [_row(run_id, batch, cell, pairs) for cell, pairs in sorted(cells.items(), key=lambda found: found[0])]


def _row(run_id: str, batch: str, cell: tuple[str, str, Kind], pairs: Sequence[tuple[Planted, Verdict]]
         ) -> dict[str, Any]:
    verifier, domain, kind = cell
    status = "correct" if kind == "wrong" else "wrong"
    failed = [(item, verdict) for item, verdict in pairs if verdict.status == status]
    examples = [dict(reference=item.reference, response=item.response, how=item.how, reason=verdict.reason)
                for item, verdict in failed[:EXAMPLES]]
    number = version(verifier)
    return dict(
        id=content_id("audit", run_id, batch, verifier, number, domain, kind), run_id=run_id, verifier=verifier,
        version=number, domain=domain, kind=kind, items=len(pairs),
        false_accepts=len(failed) if kind == "wrong" else 0, false_rejects=len(failed) if kind == "right" else 0,
        undecided=sum(verdict.status == "undecided" for _, verdict in pairs), examples=canonical(examples),
        created=now())


# -- rates and contracts ---------------------------------------------------------------------------------------------


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a rate that was measured as `hits` of `of`; 0 to 1 when nothing was."""
    if not of:
        return 0.0, 1.0
    z, share = 1.959964, hits / of
    middle = share + z * z / (2 * of)
    width = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = ((middle + side * width) / (1 + z * z / of) for side in (-1, 1))
    return 0.0 if hits == 0 else max(0.0, low), 1.0 if hits == of else min(1.0, high)


@dataclass(frozen=True)
class Rate:
    """How often a verifier was wrong about one kind of item: `wrong` ones accepted, `right` ones rejected. `domain` is
    None for all together."""

    verifier: str
    version: int
    domain: str | None
    kind: Kind
    items: int
    faults: int
    undecided: int

    def __str__(self) -> str:
        low, high = wilson(self.faults, self.items)
        return f"{self.faults} of {self.items:,}: {self.faults / self.items:.1%} [{low:.1%}, {high:.1%}]"


def rates(lake: Lake, run_id: str | None = None) -> list[Rate]:
    """The rates of every verifier and version, over all domains (None, first) and by domain; of one run, or all."""
    return [Rate(**row) for row in lake.rows("""
        SELECT verifier, version, CASE WHEN grouping(domain) = 0 THEN domain END AS domain, kind,
               sum(items)::BIGINT AS items, sum(false_accepts + false_rejects)::BIGINT AS faults,
               sum(undecided)::BIGINT AS undecided
        FROM audits WHERE $1 IS NULL OR run_id = $1
        GROUP BY GROUPING SETS ((verifier, version, domain, kind), (verifier, version, kind))
        ORDER BY verifier, version DESC, grouping(domain) DESC, domain, kind DESC""", [run_id])]


def enforce(run: Run) -> None:
    """Raise UserError when a verifier of the run's problems, at its present version, breaks the recipe's contract.

    All of the lake's audits of that version count, not only this run's: it is the same verifier. A contract is broken
    when the interval's lower end is above it, so chance alone hardly ever stops a run.
    """
    used = {row[0] for row in run.lake.sql("""SELECT DISTINCT verifier FROM problems JOIN members
        ON problem_id = problems.id WHERE run_id = $1 AND part = 'train'""", [run.id]).fetchall()}
    contracts = {"wrong": ("max_false_accept", run.recipe.audit.max_false_accept, "accepted"),
                 "right": ("max_false_reject", run.recipe.audit.max_false_reject, "rejected")}
    for rate in rates(run.lake) if run.recipe.audit.share else []:
        key, most, did = contracts[rate.kind]
        present = rate.verifier in used and rate.version == version(rate.verifier)
        if present and rate.items >= FEWEST and wilson(rate.faults, rate.items)[0] > most:
            where = f" of the domain '{rate.domain}'" if rate.domain else ""
            raise UserError(
                f"the verifier '{rate.verifier}' (version {rate.version}) breaks the contract audit.{key} = {most}: it "
                f"{did} planted {rate.kind} answers{where}, {rate}; `cot audit` shows examples, and nothing is lost: "
                "mend the verifier and raise its VERSION, or change the contract, and run the same command again")
