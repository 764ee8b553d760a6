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
import pyarrow.parquet as pq

from factory import journal
from factory.protocols import UserError

VERSION = 1
QueryError = duckdb.Error
"""What a wrong query raises; `complaint` says it in one sentence."""

S, N, F, B = pa.string(), pa.int64(), pa.float64(), pa.bool_()

TABLES: dict[str, dict[str, pa.DataType]] = {
    "problems": dict(id=S, prompt=S, reference=S, verifier=S, source=S, domain=S, split=S, licence=S, meta=S),
    "set_aside": dict(id=S, run_id=S, where=S, prompt=S, reference=S, verifier=S, reason=S),
    "runs": dict(id=S, name=S, recipe=S, teacher=S, strategy=S, samples=N, started=S),
    "starts": dict(id=S, run_id=S, started=S),
    "members": dict(id=S, run_id=S, problem_id=S, part=S),
    "screenings": dict(id=S, run_id=S, stage=S, kind=S, dataset=S, params=S, items=N, dropped=N, created=S),
    "duplicates": dict(id=S, screening=S, run_id=S, kind=S, cluster=S, item=S, kept=B, exact=B, jaccard=F, why=S),
    "contamination": dict(id=S, screening=S, run_id=S, kind=S, item=S, text=S, benchmark=S, number=N, benchmark_text=S,
                          rule=S, score=F, shared=S, why=S),
    "traces": dict(id=S, problem_id=S, teacher=S, strategy=S, sample=N, round=N, thinking=S, response=S, raw=S,
                   finish_reason=S, prompt_tokens=N, completion_tokens=N, thinking_tokens=N, mean_logprob=F,
                   seconds=F, cost=F, created=S),
    "steps": dict(id=S, trace_id=S, index=N, kind=S, text=S, parent=N, value=F, visits=N, state=S),
    "failures": dict(id=S, trace_id=S, problem_id=S, teacher=S, reason=S, retry=B, attempts=N, created=S),
    "verdicts": dict(id=S, trace_id=S, verifier=S, version=N, status=S, answer=S, reason=S, grade=S, seconds=F),
    "audits": dict(id=S, run_id=S, verifier=S, version=N, domain=S, kind=S, items=N, false_accepts=N, false_rejects=N,
                   undecided=N, examples=S, created=S),
    "votes": dict(id=S, run_id=S, problem_id=S, trace_id=S, answer=S, share=F, traces=N, created=S),
    "measurements": dict(id=S, trace_id=S, measure=S, params=S, version=N, value=F),
    "selections": dict(id=S, run_id=S, dataset=S, selector=S, rules=S, picks=N, drops=N, created=S),
    "picks": dict(id=S, selection=S, run_id=S, dataset=S, problem_id=S, chosen=S, rejected=S, why=S),
    "drops": dict(id=S, selection=S, run_id=S, dataset=S, trace_id=S, reason=S),
    "datasets": dict(id=S, selection=S, run_id=S, name=S, emitter=S, rows=N, path=S, digest=S, created=S),
    "students": dict(id=S, run_id=S, name=S, plugin=S, params=S, base=S, dataset=S, path=S, figures=S, created=S),
    "evaluations": dict(id=S, run_id=S, model=S, path=S, teacher=S, problems=N, samples=N, undecided=N, pass_at_1=F,
                        low=F, high=F, gain=F, gain_low=F, gain_high=F, tokens=N, created=S),
    "timings": dict(id=S, run_id=S, stage=S, part=S, seconds=F, tokens=N, rows=N, created=S),
}
"""Every table with its columns; `id` is always the first."""

JOURNALED = ("traces", "failures", "steps")
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
        self._journals: dict[str, journal.Journal] = {}
        self._journaling = threading.Lock()  # several teachers may be asked at once

    # -- making and opening --------------------------------------------------------------------------------------

    def _create(self) -> None:
        self._make_tables()
        with _replacing(self.folder / "lake.json") as file:
            file.write(json.dumps({"version": VERSION}).encode())

    def _make_tables(self) -> None:
        """Those that are not there: all of a new lake's, and those that are newer than an old one."""
        for table in TABLES:
            if not (self.folder / "tables" / table / "part-000000-schema.parquet").exists():
                (self.folder / "tables" / table).mkdir(parents=True, exist_ok=True)
                self._write_part(table, [], "part-000000-schema")
        (self.folder / "journal").mkdir(exist_ok=True)
        for table in JOURNALED:
            (self.folder / "journal" / f"{table}-empty.jsonl").touch()

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
            self._heal()
            try:
                yield
            finally:
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
            if path.stem.endswith("-empty"):
                continue
            found = journal.recover(path, self.folder / "journal" / "quarantine")
            if found.torn or found.malformed:
                print(f"{path}: a torn last line of {found.torn} bytes was cut off and {len(found.malformed)} "
                      f"malformed lines were moved to {path.parent}/quarantine; the {len(found.rows)} whole rows are "
                      "kept", file=sys.stderr)
            self._seal(path, found.rows)
        for stale in self.folder.glob("tables/*/.*.tmp"):
            stale.unlink(missing_ok=True)

    # -- writing -------------------------------------------------------------------------------------------------

    def append(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows as one new part, all or nothing. The caller adds only rows whose id the table lacks."""
        if rows:
            self._write_part(table, rows, f"part-{uuid.uuid4().hex[:12]}")

    def append_new(self, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """`append` of those rows whose id the table lacks, each once; returns how many there were."""
        have = self.ids(table)
        fresh = list({row["id"]: row for row in rows if row["id"] not in have}.values())
        self.append(table, fresh)
        return len(fresh)

    def journal(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Durable append of rows that cost money; compacts the segment when it is large."""
        with self._journaling:
            segment = self._journals.get(table) or self._journals.setdefault(
                table, journal.Journal(self.folder / "journal", table))
            segment.append([clean(row) for row in rows])
            if segment.rows >= SEGMENT_ROWS or segment.bytes >= SEGMENT_BYTES:
                self._close(table)

    def compact(self) -> None:
        """Turn open journal segments into Parquet parts."""
        for table in list(self._journals):
            self._close(table)

    def _close(self, table: str) -> None:
        segment = self._journals.pop(table)
        segment.close()
        self._seal(segment.path, journal.read(segment.path).rows)

    def _seal(self, segment: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        table = segment.stem.rpartition("-")[0]
        if rows:
            self._write_part(table, rows, f"part-{segment.stem}")
        segment.unlink(missing_ok=True)

    def _write_part(self, table: str, rows: Sequence[Mapping[str, Any]], part: str) -> None:
        schema = pa.schema(list(TABLES[table].items()))
        cleaned = [clean(row) for row in rows]
        columns = {name: pa.array([row.get(name) for row in cleaned], kind) for name, kind in TABLES[table].items()}
        path = self.folder / "tables" / table / f"{part}.parquet"
        with _replacing(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            if rows:  # `datasets` reads a part without a row group, and fails on one whose row group is empty
                writer.write_table(pa.table(columns, schema=schema))

    # -- reading -------------------------------------------------------------------------------------------------

    def connect(self) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB with one view a table; a cursor of its own for each call, so threads may share a lake."""
        if self._connection is None:
            connection = duckdb.connect()
            connection.execute("SET enable_progress_bar = false")
            for table in TABLES:
                connection.execute(f'CREATE VIEW "{table}" AS {self._view(table)}')
            for statement in VIEWS:
                connection.execute(statement)
            self._connection = connection
        return self._connection.cursor()

    def _view(self, table: str) -> str:
        kinds = {S: "VARCHAR", N: "BIGINT", F: "DOUBLE", B: "BOOLEAN"}
        folder = self.folder / "tables" / table
        if not any(folder.glob("*.parquet")):  # a lake that is older than the table, and only read
            nothing = ", ".join(f'NULL::{kinds[kind]} AS "{name}"' for name, kind in TABLES[table].items())
            return f"SELECT {nothing} WHERE false"
        parts = f"SELECT * FROM read_parquet({_literal(folder / '*.parquet')})"
        if table not in JOURNALED:
            return parts
        columns = ", ".join(f"'{name}': '{kinds[kind]}'" for name, kind in TABLES[table].items())
        lines = (f"SELECT * FROM read_json({_literal(self.folder / 'journal' / f'{table}-*.jsonl')}, "
                 f"format='newline_delimited', columns={{{columns}}}, ignore_errors=true)")
        # A segment that was just compacted can still lie beside its part for a moment: the part wins. The journal is
        # listed first: a segment that is compacted between the two listings is then seen twice, never not at all.
        # The parts are named twice: DuckDB keeps in memory, texts and all, what a query names once and uses twice.
        return (f"WITH lines AS ({lines}) SELECT * FROM lines WHERE id IS NOT NULL AND "
                f"id NOT IN (SELECT id FROM ({parts})) UNION ALL BY NAME {parts}")

    def sql(self, query: str, params: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run a query over the views; `.fetchall()` and `.df()` read it. Raises QueryError."""
        for attempt in itertools.count():
            try:
                return self.connect().execute(query, list(params))
            except duckdb.IOException as error:
                # A journal segment can vanish between the listing and the reading while a run compacts it.
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
    # Which traces belong to a run: its problems, asked of its teacher in its way.
    """CREATE VIEW run_traces AS
       SELECT r.id AS run_id, r.name AS run, m.part, t.* FROM runs r
       JOIN members m ON m.run_id = r.id AND m.part = 'train'
       JOIN traces t ON t.problem_id = m.problem_id AND t.teacher = r.teacher AND t.strategy = r.strategy
            AND t.sample < r.samples""",
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


def clean(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with NUL and lone surrogates as U+FFFD: neither Parquet nor DuckDB's JSON reader can hold them."""
    return {key: _text(value) if isinstance(value, str) else value for key, value in row.items()}


def _text(value: str) -> str:
    value = value.replace("\0", "\ufffd")
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


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
