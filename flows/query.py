"""`cot sql` and `cot show`: reading the lake, also while a run is going."""

import sys
import warnings
from pathlib import Path
from typing import Any

from factory.lake import TABLES, Lake, QueryError, complaint
from factory.protocols import UserError


def query(lake: Lake, text: str, form: str, out: Path | None) -> None:
    """Print the result of a query, or write it to `out`. Raises UserError with DuckDB's own words for a wrong query."""
    if form == "parquet" and out is None:
        raise UserError("parquet is not for a terminal: name a file with --out FILE")
    try:
        table = _table(lake, text)
    except QueryError as error:
        tables = ", ".join(TABLES)
        raise UserError(f"the query is not valid: {complaint(error)}; the tables are {tables}, and the views "
                        "run_traces, judged and doubts") from error
    if form == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, out)
    else:
        _write(_render(table, form), out)


def _table(lake: Lake, text: str) -> Any:
    found = lake.sql(text)
    if not found:  # blanks, or a comment
        raise UserError('the query is empty: try cot sql "select status, count(*) from verdicts group by 1"')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # DuckDB on the copy that this makes: it is what keeps the types
        return found.to_arrow_table()


def _render(table: Any, form: str) -> str:
    frame = table.to_pandas()
    if form == "json":
        return str(frame.to_json(orient="records", force_ascii=False, indent=1))
    if form == "csv":
        return str(frame.to_csv(index=False))
    return str(frame.to_string(index=False, max_colwidth=60)) if len(frame) else "(no rows)"


def _write(text: str, out: Path | None) -> None:
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    else:
        sys.stdout.write(text.rstrip("\n") + "\n")


def show(lake: Lake, trace_id: str) -> str:
    """A trace with its problem and verdict, for people."""
    return _readable(one_trace(lake, trace_id))


def one_trace(lake: Lake, trace_id: str) -> dict[str, Any]:
    """The trace whose id begins so, with its problem and verdict. Raises UserError when none or several do."""
    found = lake.rows("""
        SELECT t.*, p.prompt, p.reference, p.verifier, v.status, v.answer, v.reason, v.grade FROM traces t
        JOIN problems p ON p.id = t.problem_id
        LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
        WHERE starts_with(t.id, $1) OR starts_with(t.id, 'b1-' || $1) LIMIT 2""", [trace_id])
    if len(found) != 1:
        many = "several traces begin" if found else "no trace begins"
        raise UserError(f'{many} with \'{trace_id}\': cot sql "select id from traces limit 5" shows some ids')
    return found[0]


def _readable(row: dict[str, Any]) -> str:
    verdict = row["status"] or "not yet verified"
    because = f" ({row['reason']})" if row["reason"] else ""
    tokens = f"{row['completion_tokens']} tokens, " if row["completion_tokens"] else ""
    return "\n".join([
        f"trace     {row['id']}", f"problem   {row['problem_id']}",
        f"asked of  {row['teacher']}, sample {row['sample']}",
        f"verdict   {verdict}{because}: found {row['answer']!r}, reference {row['reference']!r} ({row['verifier']})",
        f"ended     {row['finish_reason']}, {tokens}{row['seconds']:.1f} s",
        "", "── prompt ──", row["prompt"], "", "── thinking ──", row["thinking"].strip() or "(none)",
        "", "── response ──", row["response"].strip() or "(none)"])
