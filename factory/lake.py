"""The lake: append-only tables of Parquet parts and journals in one folder, read through DuckDB views.

Nothing is updated in place. A part is written under a hidden name and renamed, so a reader sees all of it or nothing;
any number of processes may read while one run writes. `data/README.md` documents every column of `TABLES`.

    DIR/lake.json  DIR/tables/<table>/*.parquet  DIR/journal/<table>-*.jsonl  DIR/datasets/  DIR/students/  DIR/logs/
"""

import contextlib
import fcntl
import itertools
import json
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from factory import journal
from factory.journal import Journal, Reserve
from factory.protocols import UserError

VERSION = 1
QueryError = duckdb.Error
"""What a wrong query raises; `complaint` says it in one sentence."""

S, N, F, B, V = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.list_(pa.float32())

TABLES: dict[str, dict[str, pa.DataType]] = {
    "problems": dict(id=S, prompt=S, reference=S, verifier=S, source=S, domain=S, split=S, licence=S, meta=S),
    "set_aside": dict(id=S, run_id=S, where=S, prompt=S, reference=S, verifier=S, reason=S),
    "runs": dict(id=S, name=S, recipe=S, teacher=S, strategy=S, samples=N, started=S, continued=S),
    "starts": dict(id=S, run_id=S, started=S),
    "members": dict(id=S, run_id=S, problem_id=S, part=S),
    "screenings": dict(id=S, run_id=S, stage=S, kind=S, dataset=S, params=S, items=N, dropped=N, created=S),
    "duplicates": dict(id=S, screening=S, run_id=S, kind=S, cluster=S, item=S, kept=B, exact=B, jaccard=F, why=S),
    "contamination": dict(id=S, screening=S, run_id=S, kind=S, item=S, text=S, benchmark=S, number=N, benchmark_text=S,
                          rule=S, score=F, shared=S, why=S),
    "traces": dict(id=S, problem_id=S, teacher=S, strategy=S, sample=N, round=N, thinking=S, response=S, raw=S,
                   finish_reason=S, prompt_tokens=N, completion_tokens=N, thinking_tokens=N, mean_logprob=F,
                   seconds=F, cost=F, created=S, min_logprob=F, cached_tokens=N, digest=S, tokens=S, parent=S,
                   spent=N, asked=S),
    "steps": dict(id=S, trace_id=S, index=N, kind=S, text=S, parent=N, value=F, visits=N, state=S),
    "failures": dict(id=S, trace_id=S, problem_id=S, teacher=S, reason=S, retry=B, attempts=N, created=S, tokens=N,
                     cost=F, context=N),
    "verdicts": dict(id=S, trace_id=S, verifier=S, version=N, status=S, answer=S, reason=S, grade=S, seconds=F,
                     detail=S),
    "audits": dict(id=S, run_id=S, verifier=S, version=N, domain=S, kind=S, items=N, false_accepts=N, false_rejects=N,
                   undecided=N, examples=S, created=S),
    "votes": dict(id=S, run_id=S, problem_id=S, trace_id=S, answer=S, share=F, traces=N, created=S),
    "suites": dict(id=S, run_id=S, problem_id=S, kept=B, reason=S, candidates=N, inputs=N, tests=N, passing=N,
                   mutants=N, killed=N, reference=S, generated=S, created=S),
    "measurements": dict(id=S, trace_id=S, measure=S, params=S, version=N, value=F),
    "embeddings": dict(id=S, item=S, kind=S, model=S, vector=V),
    "selections": dict(id=S, run_id=S, dataset=S, selector=S, rules=S, picks=N, drops=N, created=S),
    "picks": dict(id=S, selection=S, run_id=S, dataset=S, problem_id=S, chosen=S, rejected=S, why=S),
    "drops": dict(id=S, selection=S, run_id=S, dataset=S, trace_id=S, reason=S),
    "datasets": dict(id=S, selection=S, run_id=S, name=S, emitter=S, rows=N, path=S, digest=S, created=S),
    "students": dict(id=S, run_id=S, name=S, plugin=S, params=S, base=S, dataset=S, path=S, figures=S, created=S),
    "trainings": dict(id=S, student=S, run_id=S, name=S, data_digest=S, recipe=S, versions=S, device=S, bf16=B, rows=N,
                      rows_too_long=N, length_limit=N, steps=N, processes=N, tokens=N, trained_tokens=N, seconds=F,
                      tokens_per_second=F, flops=F, matrix_rate=F, mfu=F, peak_memory=N, estimated_memory=N,
                      estimated_seconds=F, first_loss=F, last_loss=F, created=S),
    "losses": dict(id=S, student=S, run_id=S, step=N, loss=F),
    "evaluations": dict(id=S, run_id=S, model=S, path=S, teacher=S, problems=N, samples=N, undecided=N, pass_at_1=F,
                        low=F, high=F, gain=F, gain_low=F, gain_high=F, tokens=N, created=S, gain_p=F, strategy=S,
                        temperature=F, top_p=F, max_tokens=N, budget=N, contaminated=N, clean_pass_at_1=F),
    "scores": dict(id=S, evaluation=S, run_id=S, model=S, part=S, metric=S, k=N, slice=S, value=F, low=F, high=F, n=N,
                   samples=N, tokens=F, thinking=F, against=S, p=F, by=S, temperature=F, top_p=F, max_tokens=N,
                   budget=N, created=S),
    "rounds": dict(id=S, run_id=S, name=S, round=N, place=N, student=S, path=S, made_by=S, against=S, promoted=B,
                   reason=S, stopped=S, problems=N, samples=N, asked=S, score=F, low=F, high=F, gain=F, gain_low=F,
                   gain_high=F, p=F, test_problems=N, test_score=F, test_low=F, test_high=F, distinct=F, diversity=F,
                   panel=S, data=S, tokens=N, trained_tokens=N, evaluated_tokens=N, seconds=F, usd=F, created=S,
                   contaminated=N, test_contaminated=N),
    "timings": dict(id=S, run_id=S, stage=S, part=S, seconds=F, tokens=N, rows=N, created=S),
    "throughput": dict(id=S, run_id=S, stage=S, seconds=F, traces=N, failures=N, cancelled=N, tokens=N,
                       tokens_per_second=F, in_flight=F, idle=F, client_cpu=F, tail=F, gpu_hours=F, figures=S,
                       created=S),
}
"""Every table with its columns; `id` is always the first."""

JOURNALED = ("traces", "failures", "steps", "verdicts", "audits")
EMPTY = "part-000000-schema.parquet"
"""A table's part without a row, for who opens the folder with `datasets`. DuckDB guesses the rows of all parts from the
first one, and by a guess of none it has joined every problem with every verdict: the views leave it out."""
VOTERS, DOUBTFUL = 4, 0.75
"""So many traces, and so large a share of them, may put a reference in doubt."""

SEGMENT_ROWS, SEGMENT_BYTES = 4096, 128 * 2**20
"""A journal segment is compacted when it holds so many rows or bytes."""


def now() -> str:
    """UTC time to the millisecond, ISO 8601."""
    moment = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"


def complaint(error: Exception) -> str:
    """DuckDB's own words about a wrong query, on one line and without its drawing of the place."""
    return " ".join(re.split(r"\n\s*\n|LINE \d+:", str(error))[0].split())


class Lake:
    """One lake folder. Reading needs no lock; `writing()` is held by one run at a time."""

    def __init__(self, folder: Path | str, create: bool = True) -> None:
        self.folder = Path(folder)
        if not (self.folder / "lake.json").exists():
            if not create:
                raise UserError(f"there is no lake in {self.folder}: run a recipe first, or name one with --lake DIR")
            self._create()
        self._refuse_newer()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._listed: dict[str, list[list[str]]] = {}
        self._columns: dict[str, int] = {}
        self._listing = threading.Lock()
        self._journals: dict[str, Journal] = {}
        self._journaling = threading.Lock()  # several teachers may be asked at once
        self._reserve = Reserve(self.folder / "journal" / ".reserve")

    # -- making and opening --------------------------------------------------------------------------------------

    def _create(self) -> None:
        self._make_tables()
        with _replacing(self.folder / "lake.json") as file:
            file.write(json.dumps({"version": VERSION}).encode())

    def _make_tables(self) -> None:
        """Those that are not there: all of a new lake's, and those that are newer than an old one."""
        for table in TABLES:
            if not (self.folder / "tables" / table / EMPTY).exists():
                (self.folder / "tables" / table).mkdir(parents=True, exist_ok=True)
                self._write_part(table, [], Path(EMPTY).stem)
        (self.folder / "journal").mkdir(exist_ok=True)

    def _refuse_newer(self) -> None:
        try:
            found = json.loads((self.folder / "lake.json").read_text())["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.folder}/lake.json is not readable: it should be "
                            f'{{"version": {VERSION}}}; mend it, or name another lake with --lake DIR') from error
        if found != VERSION:
            newer = isinstance(found, int) and found > VERSION
            raise UserError(f"the lake {self.folder} has version {found} and this program reads version {VERSION}: "
                            f"{'upgrade cot-factory' if newer else 'use the version that made it'}, "
                            "or name another lake with --lake DIR")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one writer: waits for another run, heals what a crash left, and compacts the journals at the end."""
        with open(self.folder / ".lock", "a+") as lock:
            self._wait_for(lock)
            self.compact()  # what was journaled outside is ours, and not what a crash left
            self._heal()
            self._reserve.take()
            try:
                yield
            finally:
                self._reserve.release()
                self.compact()

    def _wait_for(self, lock: Any) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is writing to {self.folder}: waiting for it to end (Ctrl-C gives up)",
                  file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)

    def _heal(self) -> None:
        """Make the tables that lack, compact the segments of a writer that died; say what was cut off or set aside."""
        self._make_tables()
        for path in sorted((self.folder / "journal").glob("*-*.jsonl")):
            found = journal.recover(path, self.folder / "journal" / "quarantine")
            if found.torn or found.malformed:
                print(f"{path}: a torn last line of {found.torn} bytes was cut off and {len(found.malformed)} "
                      f"malformed lines were moved to {path.parent}/quarantine; the {len(found.rows)} whole rows are "
                      "kept", file=sys.stderr)
            self._seal(path, _columns(path.stem.rpartition("-")[0], found.rows))
        for stale in self.folder.glob("tables/*/.*.tmp"):
            stale.unlink(missing_ok=True)

    # -- writing -------------------------------------------------------------------------------------------------

    def append(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows as one new part, all or nothing. The caller adds only rows whose id the table lacks."""
        if rows:
            self._write_part(table, rows, f"part-{uuid.uuid4().hex[:12]}")

    def append_new(self, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """`append` of those rows whose id the table lacks, each once; returns how many there were."""
        have = {row[0] for row in self.sql(f'SELECT id FROM "{table}" WHERE id IN (SELECT unnest($1))',
                                           [[row["id"] for row in rows]]).fetchall()} if rows else set()
        fresh = list({row["id"]: row for row in rows if row["id"] not in have}.values())
        self.append(table, fresh)
        return len(fresh)

    def journal(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Durable append of rows that cost money; compacts the segment when it is large.

        Raises OSError when the disk refuses them, with the rows saved by what was held in reserve, if that sufficed.
        """
        cleaned = [clean(row) for row in rows]
        with self._journaling:
            segment = self._segment(table)
            try:
                segment.append(cleaned)
            except OSError:  # no space, or a file that must not grow: the run has to stop, but these rows were paid for
                self._reserve.release()
                self._rescue(table, cleaned)
                raise
            if segment.rows >= SEGMENT_ROWS or segment.bytes >= SEGMENT_BYTES:
                self._close(table)

    def _rescue(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Into new segments, each with as many rows as may be in one. Raises OSError at a row that finds no place."""
        self._journals.pop(table).close()
        try:
            self._segment(table).append(rows)
        except OSError:
            if len(rows) == 1:
                raise
            self._rescue(table, rows[:len(rows) // 2])
            self._rescue(table, rows[len(rows) // 2:])

    @property
    def reserved(self) -> int:
        """Bytes of a full disk that rows can still be saved to; 0: nothing is held back."""
        return self._reserve.size

    def _segment(self, table: str) -> Journal:
        if table not in self._journals:
            self._journals[table] = Journal(self.folder / "journal", table)
        return self._journals[table]

    def compact(self) -> None:
        """Turn open journal segments into Parquet parts."""
        for table in list(self._journals):
            self._close(table)

    def _close(self, table: str) -> None:
        """A segment of ours is whole, so it is read without Python's help: the teacher is asked meanwhile."""
        segment = self._journals.pop(table)
        segment.close()
        lines = pa_json.ParseOptions(explicit_schema=_schema(table), unexpected_field_behavior="ignore")
        blocks = pa_json.ReadOptions(block_size=max(2**20, segment.longest + 1))
        try:
            self._seal(segment.path, pa_json.read_json(segment.path, blocks, lines))
        except pa.ArrowInvalid:
            self._seal(segment.path, _columns(table, journal.read(segment.path).rows))

    def _seal(self, segment: Path, rows: pa.Table) -> None:
        if rows.num_rows:
            self._write(segment.stem.rpartition("-")[0], rows, f"part-{segment.stem}")
        segment.unlink(missing_ok=True)

    def _write_part(self, table: str, rows: Sequence[Mapping[str, Any]], part: str) -> None:
        self._write(table, _columns(table, [clean(row) for row in rows]), part)

    def _write(self, table: str, rows: pa.Table, part: str) -> None:
        path = self.folder / "tables" / table / f"{part}.parquet"
        with _replacing(path) as file, pq.ParquetWriter(file, _schema(table), compression="zstd") as writer:
            if rows.num_rows:  # `datasets` reads a part without a row group, and fails on one whose row group is empty
                writer.write_table(rows)

    # -- reading -------------------------------------------------------------------------------------------------

    def connect(self) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB with one view a table; a cursor of its own for each call, so threads may share a lake."""
        with self._listing:
            if self._connection is None:
                self._connection = duckdb.connect()
                self._connection.execute("SET enable_progress_bar = false")
                # Parts are read once or twice; keeping their blocks would only let a long run grow.
                self._connection.execute("SET enable_external_file_cache = false")
            first = not self._listed
            for table in TABLES:
                self._refresh(self._connection, table)
            for statement in VIEWS if first else ():
                self._connection.execute(statement)
            return self._connection.cursor()

    def _refresh(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        files = self._files(table)
        if files != self._listed.get(table):
            lines, parts = files
            whole = [part for part in parts if self._has_columns(part) == len(TABLES[table])]
            older = sorted({*parts} - {*whole})
            connection.execute(f'CREATE OR REPLACE VIEW "{table}" AS {_view(table, lines, whole, older)}')
            self._listed[table] = files

    def _has_columns(self, part: str) -> int:
        """How many columns a part has, read once: DuckDB would compare thousands of parts for each query."""
        if part not in self._columns:
            try:
                self._columns[part] = int(pq.read_metadata(part).num_columns)
            except (OSError, pa.ArrowInvalid):  # DuckDB will say what is wrong with it
                return 0
        return self._columns[part]

    def _files(self, table: str) -> list[list[str]]:
        """The journal segments and the parts that hold the table, each row once.

        The journal is listed first, and a segment whose part is there is left out: one that is compacted between the
        two is then read from its part, and one that is compacted later is missed when it is read (`sql`).
        """
        lines = sorted((self.folder / "journal").glob(f"{table}-*.jsonl")) if table in JOURNALED else []
        parts = [part for part in sorted((self.folder / "tables" / table).glob("*.parquet")) if part.name != EMPTY]
        sealed = {part.stem for part in parts}
        return [[str(path) for path in lines if f"part-{path.stem}" not in sealed], [str(path) for path in parts]]

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run a query over the views; `.fetchall()` and `.df()` read it. Raises QueryError."""
        for attempt in itertools.count():
            try:
                return self.connect().execute(query, params if isinstance(params, Mapping) else list(params))
            except duckdb.IOException as error:  # a segment that was compacted since it was listed, or a real fault
                if attempt == 19:
                    raise UserError(f"a file cannot be read: {complaint(error)}; if it is one of the lake's, restore "
                                    f"it from a copy of {self.folder}") from error
                time.sleep(0.05)
        raise AssertionError("unreachable")

    def rows(self, query: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The query's rows as dictionaries."""
        cursor = self.sql(query, params)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def value(self, query: str, params: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.sql(query, params).fetchone()
        return row[0] if row else None

    def ids(self, table: str) -> set[str]:
        """All ids of a table."""
        return {row[0] for row in self.sql(f'SELECT id FROM "{table}"').fetchall()}

    # -- places --------------------------------------------------------------------------------------------------

    def place(self, *parts: str) -> Path:
        """A folder for what a run makes beside the tables: datasets, students, logs, plots."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


VIEWS = (
    # A trace's verdict of now: the newest version of the problem's own verifier.
    """CREATE VIEW judged AS
       SELECT * FROM verdicts QUALIFY row_number() OVER (PARTITION BY trace_id, verifier ORDER BY version DESC) = 1""",
    # Which traces belong to a run: its problems, asked of its teacher in its way; one that was cut off and gone on from
    # is seen as its continuation.
    """CREATE VIEW run_traces AS
       SELECT r.id AS run_id, r.name AS run, m.part, t.* FROM runs r
       JOIN members m ON m.run_id = r.id AND m.part = 'train'
       JOIN traces t ON t.problem_id = m.problem_id AND t.teacher = r.teacher AND t.strategy = r.strategy
            AND t.sample < r.samples
       WHERE r.continued IS NULL
       UNION ALL
       SELECT r.id AS run_id, r.name AS run, m.part, t.* FROM runs r
       JOIN members m ON m.run_id = r.id AND m.part = 'train'
       JOIN traces t ON t.problem_id = m.problem_id AND t.teacher = r.teacher
            AND t.strategy IN (r.strategy, r.continued) AND t.sample < r.samples
       ANTI JOIN (SELECT parent, strategy FROM traces WHERE parent IS NOT NULL) c
            ON c.parent = t.id AND c.strategy = r.continued
       WHERE r.continued IS NOT NULL""",
    # What a run's traces and failures cost, for each trace and for each that is right.
    """CREATE VIEW costs AS
       SELECT t.run_id, t.run, count(*) AS traces, count(*) FILTER (v.status = 'correct') AS verified,
              coalesce(sum(t.completion_tokens), 0)::BIGINT AS tokens,
              coalesce(sum(t.completion_tokens) FILTER (v.status = 'correct'), 0)::BIGINT AS verified_tokens,
              coalesce(sum(t.cost), 0) + coalesce(sum(q.cost), 0) + coalesce(any_value(f.cost), 0) AS usd,
              usd / traces AS usd_per_trace, usd / nullif(verified, 0) AS usd_per_verified_trace
       FROM run_traces t JOIN problems p ON p.id = t.problem_id
       LEFT JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier
       LEFT JOIN (SELECT id, cost FROM traces WHERE id IN (SELECT parent FROM traces)) q ON q.id = t.parent
       LEFT JOIN (SELECT m.run_id, sum(f.cost) AS cost FROM failures f JOIN members m ON m.problem_id = f.problem_id
                  JOIN runs r ON r.id = m.run_id AND r.teacher = f.teacher WHERE m.part = 'train' GROUP BY 1) f
            ON f.run_id = t.run_id
       GROUP BY t.run_id, t.run""",
    # What a screening dropped, and why.
    """CREATE VIEW screened AS
       SELECT screening, run_id, kind, item, why AS reason FROM duplicates WHERE NOT kept
       UNION ALL SELECT screening, run_id, kind, item, why FROM contamination""",
    # Is the reference wrong? Most traces agree on an answer that the newest verdict still holds against it.
    f"""CREATE VIEW doubts AS
       SELECT o.id, o.run_id, o.problem_id, p.reference, o.answer, o.share, o.traces, o.created FROM votes o
       JOIN problems p ON p.id = o.problem_id
       JOIN judged v ON v.trace_id = o.trace_id AND v.verifier = p.verifier AND v.status = 'wrong'
       WHERE o.share >= {DOUBTFUL} AND o.traces >= {VOTERS}
       QUALIFY row_number() OVER (PARTITION BY o.run_id, o.problem_id ORDER BY o.traces DESC, o.created DESC) = 1""",
)


def _schema(table: str) -> pa.Schema:
    return pa.schema(list(TABLES[table].items()))


def _columns(table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as the table's columns; what a row lacks is NULL, what the table lacks is left out."""
    columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in TABLES[table].items()}
    return pa.table(columns, schema=_schema(table))


def _view(table: str, lines: Sequence[str], parts: Sequence[str], older: Sequence[str]) -> str:
    """The table as SQL over its journal segments and parts, of which the `older` lack columns: those are NULL."""
    kinds = {S: "VARCHAR", N: "BIGINT", F: "DOUBLE", B: "BOOLEAN", V: "FLOAT[]"}
    typed = ", ".join(f'NULL::{kinds[kind]} AS "{name}"' for name, kind in TABLES[table].items())
    view = f"SELECT {typed} WHERE false"
    if parts:
        view += f" UNION ALL BY NAME FROM read_parquet({_literals(parts)})"
    if older:
        view += f" UNION ALL BY NAME FROM read_parquet({_literals(older)}, union_by_name = true)"
    if lines:
        columns = ", ".join(f"'{name}': '{kinds[kind]}'" for name, kind in TABLES[table].items())
        view += (f" UNION ALL BY NAME SELECT * FROM read_json({_literals(lines)}, format = 'newline_delimited', "
                 f"columns = {{{columns}}}, ignore_errors = true) WHERE id IS NOT NULL")
    return view


def clean(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with NUL and lone surrogates as U+FFFD: neither Parquet nor DuckDB's JSON reader can hold them."""
    return {key: value if not isinstance(value, str) or (value.isascii() and "\0" not in value) else _text(value)
            for key, value in row.items()}


def _text(value: str) -> str:
    value = value.replace("\0", "\ufffd")
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _literals(paths: Sequence[str]) -> str:
    return "[" + ", ".join("'" + path.replace("'", "''") + "'" for path in paths) + "]"


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file under a hidden name that becomes `path` when it is whole and on the disk; nothing is left of a failure."""
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with open(hidden, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        hidden.rename(path)
    finally:
        hidden.unlink(missing_ok=True)
