"""The card of a dataset: what is in it, how it was made, what was left out and why, and whose texts it stands on.

All of it is read from the lake, in Markdown with the header that `load_dataset` and the Hugging Face hub read.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory import terms
from factory.lake import Lake
from factory.recipe import DatasetSpec, Recipe
from factory.records import canonical
from factory.run import Run
from factory.stages import audit

Rows = list[dict[str, Any]]
UNSTATED = "not stated"
HUB_LICENCES = ("mit", "apache-2.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "odc-by")
"""Those of the hub's own names that we know; another text there would be refused."""


CUTOFF = 4096
"""Tokens by the teacher's count; the `cutoff_len` of the YAML that the emitters for LLaMA-Factory write."""


@dataclass(frozen=True)
class Facts:
    """What the writing of a dataset found. `rows` by split; `template`: whose the round trip was, "" without one;
    `checked` rows were conversations; `aside` counts those it set aside by reason."""

    id: str
    selection: str
    rows: Mapping[str, int]
    digest: str
    template: str
    checked: int
    aside: Mapping[str, int]


def card(run: Run, spec: DatasetSpec, facts: Facts) -> str:
    """The whole page.

    The digest in the header is what keeps `load_dataset` honest: its cache knows a local dataset by the header alone,
    and would answer with the rows of another folder of the same name, or with those of yesterday.
    """
    sources = licences(run.lake, run.recipe, facts.selection)
    parts = [_header(facts, sources), f"# {run.recipe.name}/{spec.name}", "",
             f"{_and(f'{count:,} rows in `{split}`' for split, count in facts.rows.items())}, made by CoT Factory from "
             f"the recipe `{run.recipe.name}` (run `{run.id}`, dataset `{facts.id}`). `manifest.json` holds the digest "
             "of every file."]
    parts += _section("Funnel", _table(["step", "count"], [[n, f"{c:,}"] for n, c in funnel(run.lake, run.id, facts)]))
    parts += _section("How it was made", _recipe(run, spec))
    parts += _section("Sources and licences", _table(["source", "licence", "problems"], [
        [row["source"] or UNSTATED, row["licence"] or UNSTATED, f"{row['problems']:,}"] for row in sources]))
    parts += ["", *_table(["teacher", "terms", "rows"], [
        [row["name"], row["terms"] or UNSTATED, f"{row['rows']:,}"]
        for row in teachers(run.lake, run.recipe, facts.selection)])]
    parts += _section("Round trip through the chat template", _round_trip(facts))
    parts += _section("Decontamination", _contamination(run))
    parts += _section("Audit of the verifier", _audit(run))
    parts += _section("Cost and figures", _figures(run, facts))
    return "\n".join(parts) + "\n"


def _header(facts: Facts, sources: Rows) -> str:
    stated = {str(row["licence"]).lower() for row in sources}
    known = next(iter(stated)) if len(stated) == 1 and stated <= set(HUB_LICENCES) else "other"
    files = "\n".join(f"  - split: {split}\n    path: data/{split}/*.parquet" for split, count in facts.rows.items()
                      if count or split == "train")  # `datasets` opens nothing that has an empty split
    licence = f"license: {known}\n" if any(stated) else ""
    return (f"---\n{licence}configs:\n- config_name: default\n  description: {facts.digest}\n  data_files:\n{files}\n"
            "---")


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (names, ["---"] * len(names), *cells)]


def _and(parts: Any) -> str:
    return " and ".join(parts)


# -- funnel ----------------------------------------------------------------------------------------------------------


def funnel(lake: Lake, run_id: str, facts: Facts) -> list[tuple[str, int]]:
    """asked -> answered -> parsed -> verified -> dropped by each reason -> chosen -> rows."""
    row = lake.rows("""
        SELECT count(*) AS answered, count(v.answer) AS parsed, count(*) FILTER (v.status = 'correct') AS correct,
               count(*) FILTER (v.status = 'wrong') AS wrong, count(*) FILTER (v.status = 'undecided') AS undecided,
               (SELECT count(*) FROM members WHERE run_id = $1 AND part = 'train') AS problems,
               (SELECT count(*) FROM set_aside WHERE run_id = $1) AS aside,
               (SELECT samples FROM runs WHERE id = $1 AND NOT contains(teacher, '"plugin":"recorded"')) AS samples,
               (SELECT count(*) FROM picks WHERE selection = $2) AS picks
        FROM run_traces t JOIN problems p ON p.id = t.problem_id
        LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier WHERE t.run_id = $1""",
        [run_id, facts.selection])[0]
    dropped = lake.sql("SELECT reason, count(*) FROM drops WHERE selection IN ($1, $2) GROUP BY 1 ORDER BY 2 DESC, 1",
                       [facts.selection, facts.id]).fetchall()
    aside = [("problems set aside", row["aside"])] if row["aside"] else []
    asked = [("asked", row["problems"] * row["samples"])] if row["samples"] else []  # of a file nothing is asked
    return [*aside, ("problems", row["problems"]), *asked, ("answered", row["answered"]),
            ("an answer was found", row["parsed"]), ("verified correct", row["correct"]),
            ("verified wrong", row["wrong"]), ("undecided", row["undecided"]),
            *((f"dropped: {reason}", count) for reason, count in dropped), ("chosen", row["picks"]),
            *((f"rows in {split}", count) for split, count in facts.rows.items())]


# -- licences --------------------------------------------------------------------------------------------------------


def licences(lake: Lake, recipe: Recipe, selection: str) -> Rows:
    """source, licence, the licence as it was loaded (`own`) and number of the problems that a selection uses.

    A problem keeps the licence it was loaded with; one loaded without gets what the recipe says of its source now.
    """
    found = lake.rows("""
        SELECT source, licence, licence AS own, count(*) AS problems FROM problems
        WHERE id IN (SELECT problem_id FROM picks WHERE selection = $1) GROUP BY ALL ORDER BY ALL""", [selection])
    return [{**row, "licence": row["licence"] or _stated(recipe, row["source"])} for row in found]


WRITTEN = """SELECT DISTINCT k.chosen, t.teacher FROM (
    SELECT chosen, unnest([chosen, rejected]) AS side FROM picks WHERE selection = $1) k
    JOIN traces t ON t.id = k.side"""
"""SQL ($1 = selection): each pick's chosen trace with the teachers that wrote its sides."""


def teachers(lake: Lake, recipe: Recipe, selection: str) -> Rows:
    """teacher (JSON), its name, the terms of what it writes ("": not known) and how many rows of a selection it wrote.

    What the recipe states goes before what `factory.terms` knows.
    """
    found = lake.rows(f"SELECT teacher, count(*) AS rows FROM ({WRITTEN}) GROUP BY 1 ORDER BY 1", [selection])
    identities = [json.loads(row["teacher"]) for row in found]
    return [{**row, "name": identity.get("model") or identity.get("plugin", UNSTATED),
             "terms": recipe.teacher_terms or terms.known(identity)}
            for row, identity in zip(found, identities, strict=True)]


def _stated(recipe: Recipe, source: str) -> str:
    said = [spec.params["licence"] for spec in recipe.problems if spec.params.get("licence") and (
        len(recipe.problems) == 1 or spec.params.get("source") == source)]
    return str(said[0]) if said else ""


# -- how, and how well -----------------------------------------------------------------------------------------------


def _recipe(run: Run, spec: DatasetSpec) -> list[str]:
    recipe = json.dumps(json.loads(run.recipe.json_text()), indent=1, ensure_ascii=False).replace("```", "'''")
    return [f"- teacher and sampling: `{run.teacher_key}`",
            f"- prompt and strategy: `{run.strategy_key}`, {run.recipe.generate.samples} samples for each problem",
            f"- selector: `{canonical(spec.selector.model_dump())}`, emitter: `{canonical(spec.emitter.model_dump())}`",
            f"- rules: `{canonical(run.recipe.rules)}`", "", "<details><summary>The recipe</summary>", "", "```json",
            recipe, "```", "", "</details>"]


def _round_trip(facts: Facts) -> list[str]:
    if not facts.template:
        return ["Not checked: the recipe names no student or template for this dataset."]
    if not facts.checked:
        return ["Not checked: the rows are no conversations."]
    kept = facts.checked - sum(facts.aside.values())
    told = (f"{facts.checked:,} rows were rendered with the chat template of `{facts.template}`. Of {kept:,} the "
            "thinking survives, lies inside the loss mask and reads back equal")
    if not facts.aside:
        return [f"{told}; none was set aside."]
    return [f"{told}; the others were set aside:", "", *_table(["reason", "rows"], [
        [reason, f"{count:,}"] for reason, count in facts.aside.items()])]


def _contamination(run: Run) -> list[str]:
    if not run.recipe.decontaminate.against:
        return ["Not checked: the recipe names no benchmark in `decontaminate.against`."]
    against = ", ".join(against.name for against in run.recipe.decontaminate.against)
    return [f"Looked for overlap with {against}; what was found is not in this dataset:", "",
            *contamination(run.lake, run.id)]


def contamination(lake: Lake, run_id: str) -> list[str]:
    """Problems and rows that met a benchmark, by benchmark and rule; both texts of each are in `contamination`."""
    counted = lake.rows("""SELECT benchmark, rule, kind, count(DISTINCT item) AS hits FROM contamination
        WHERE run_id = $1 GROUP BY ALL ORDER BY ALL""", [run_id])
    return _table(["benchmark", "rule", "of", "dropped"], [[str(value) for value in row.values()] for row in counted]
                  ) if counted else ["nothing was found."]


def _audit(run: Run) -> list[str]:
    rows = [[rate.verifier, str(rate.version), rate.kind, str(rate), str(rate.undecided)]
            for rate in audit.rates(run.lake, run.id) if rate.domain is None]
    told = ["Answers of known truth went blind through the verifier; how often it was wrong about them, with 95 % "
            "intervals:", ""]
    return told + _table(["verifier", "version", "planted", "judged otherwise", "undecided"], rows) if rows else [
        "No answers were planted in this run."]


def _figures(run: Run, facts: Facts) -> list[str]:
    row = run.lake.rows("""
        SELECT sum(completion_tokens)::BIGINT AS tokens, sum(cost) AS cost FROM run_traces WHERE run_id = $1""",
        [run.id])[0]
    spent = run.lake.rows("""SELECT stage, sum(seconds) AS seconds FROM timings WHERE run_id = $1 AND part != 'audit'
        GROUP BY 1 ORDER BY min(created)""", [run.id])
    length = run.lake.rows("""
        SELECT min(n) AS shortest, median(n) AS median, quantile_cont(n, 0.9) AS nine, max(n) AS longest,
               count(*) FILTER (n + asked > $2) AS cut FROM (
            SELECT completion_tokens AS n, coalesce(prompt_tokens, 0) AS asked FROM traces
            WHERE id IN (SELECT chosen FROM picks WHERE selection = $1))""", [facts.selection, CUTOFF])[0]
    lines = [f"- {row['tokens'] or 0:,} completion tokens bought, ${row['cost'] or 0:.2f}",
             "- seconds by stage: " + (", ".join(f"{s['stage']} {s['seconds']:.0f}" for s in spent) or "none")]
    if length["longest"]:
        lines.append(f"- tokens of a chosen trace: {length['shortest']:,} at least, median {length['median']:,.0f}, "
                     f"90 % under {length['nine']:,.0f}, {length['longest']:,} at most")
        lines.append(f"- {length['cut']:,} chosen traces have over {CUTOFF:,} tokens with their prompt: a trainer with "
                     "that `cutoff_len`, as in `llamafactory_sft.yaml`, would cut them")
    return lines
