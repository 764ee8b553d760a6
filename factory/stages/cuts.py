"""A trace that a selector shortened: a row of `traces` of its own, judged like any other before it may be used.

A selector sees no reference, so it cannot know whether what it left is still right: any text that is not the trace's
own is judged here by its problem's verifier, whatever the selector says about it. The id is a hash of the trace it
was cut from and of the text, so a cut that is there is neither stored nor judged again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from factory.lake import now
from factory.records import Candidate, Pick, Request, canonical, content_id
from factory.run import Run
from factory.stages import verify
from verifiers.pool import version


def is_cut(side: Candidate, original: Candidate) -> bool:
    """Whether a selector's candidate has another text than its trace."""
    return (side.raw, side.thinking, side.response) != (original.raw, original.thinking, original.response)


def settle(run: Run, originals: Mapping[str, Candidate], picks: Sequence[Pick]) -> list[tuple[Pick, Pick, str]]:
    """(as the selector gave it, with the cuts' own ids and statuses, why it cannot be used or '') of each pick."""
    cuts = [side for pick in picks for side in sides(pick) if is_cut(side, originals[side.trace_id])]
    made = _judged(run, cuts) if cuts else {}
    found = []
    for pick in picks:
        # Without cuts no text has to be hashed.
        new = [(made and made.get(_text(side))) or originals[side.trace_id] for side in sides(pick)]
        faults = [after.status for before, after in zip(sides(pick), new, strict=True)
                  if after.status != _meant(before, originals[before.trace_id])]
        why = f"its cut is {faults[0]}" if faults else ""
        found.append((pick, Pick(new[0], new[1] if len(new) > 1 else None, pick.why), why))
    return found


def _meant(side: Candidate, original: Candidate) -> str:
    """What a side has to be found: as the selector says (a wrong beginning of a right trace), else as its trace."""
    return original.status if side.status == "undecided" else side.status


def sides(pick: Pick) -> list[Candidate]:
    return [pick.chosen] if pick.rejected is None else [pick.chosen, pick.rejected]


def _text(side: Candidate) -> tuple[str, str, str, str]:
    return side.trace_id, side.raw, side.thinking, side.response


def _judged(run: Run, cuts: Sequence[Candidate]) -> dict[tuple[str, str, str, str], Candidate]:
    """Each cut under its text, with the id of its own trace and the status that the verifier gave it."""
    parents = {row["id"]: row for row in run.lake.rows(
        "SELECT * FROM traces WHERE id IN (SELECT unnest($1))", [[cut.trace_id for cut in cuts]])}
    rows = {_text(cut): _trace_row(parents[cut.trace_id], cut) for cut in cuts}
    ids = [row["id"] for row in rows.values()]
    there = {row[0] for row in run.lake.sql("SELECT id FROM traces WHERE id IN (SELECT unnest($1))", [ids]).fetchall()}
    run.lake.append("traces", list({row["id"]: row for row in rows.values() if row["id"] not in there}.values()))
    status = _statuses(run, ids)
    if unjudged := [trace for trace in dict.fromkeys(ids) if trace not in status]:
        verify.work(run.lake, unjudged, run.recipe.verify)
        status = _statuses(run, ids)
    return {_text(cut): replace(cut, trace_id=rows[_text(cut)]["id"], answer=None,
                                status=status.get(rows[_text(cut)]["id"], "undecided"),
                                completion_tokens=rows[_text(cut)]["completion_tokens"]) for cut in cuts}


def _trace_row(parent: Mapping[str, Any], cut: Candidate) -> dict[str, Any]:
    """The parent's row with the shorter text; its tokens are in proportion to the characters, and it cost nothing."""
    request = Request(parent["problem_id"], parent["teacher"],
                      canonical({"cut_of": parent["id"], "text": content_id(cut.raw, cut.thinking, cut.response)}),
                      parent["sample"])
    share = len(cut.raw) / max(1, len(parent["raw"]))
    return {**parent, "id": request.id, "strategy": request.strategy, "raw": cut.raw, "thinking": cut.thinking,
            "response": cut.response, "finish_reason": "cut", "mean_logprob": None, "min_logprob": None,
            "thinking_tokens": None, "tokens": None, "asked": None, "parent": None, "spent": None, "seconds": 0.0,
            "cost": 0.0, "created": now(),
            "completion_tokens": round(share * (parent["completion_tokens"] or len(parent["raw"])))}


def _statuses(run: Run, ids: Sequence[str]) -> dict[str, str]:
    """Verdicts of the verifiers' present versions."""
    rows = run.lake.rows("""SELECT v.trace_id, v.status, v.verifier, v.version FROM judged v
        JOIN traces t ON t.id = v.trace_id JOIN problems p ON p.id = t.problem_id AND p.verifier = v.verifier
        WHERE v.trace_id IN (SELECT unnest($1))""", [list(ids)])
    return {row["trace_id"]: row["status"] for row in rows if row["version"] == version(row["verifier"])}
