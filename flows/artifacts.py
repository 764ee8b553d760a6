"""What Prefect's UI shows of a run beside its log: the funnel as a table, the datasets as links, progress, rounds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from factory.run import Run
from flows import report, rounds_report

EVERY = 5.0
"""Seconds between two looks at how far a generation is: a count over the lake and one request to Prefect."""


def show(run: Run) -> None:
    """The funnel as a table, and each dataset as a link with its number of rows."""
    rows = [{"step": name, "count": count} for name, count in report.funnel(run.lake, run.id)]
    create_table_artifact(rows, key="funnel", description=f"from problems to datasets: {run.recipe.name}")
    for row in report.datasets(run.lake, run.id):
        folder = (run.lake.folder / row["path"]).resolve()
        create_link_artifact(folder.as_uri(), link_text=f"{row['name']} ({row['rows']} rows)",
                             key=_key(f"dataset-{row['name']}"))


def show_rounds(run: Run) -> None:
    """What `cot rounds status` says, once a round has ended."""
    if run.lake.value("SELECT count(*) FROM rounds WHERE name = $1", [run.recipe.name]):
        told = rounds_report.text(rounds_report.latest(run.lake, run.recipe.name))
        create_markdown_artifact(f"```\n{told}\n```", key="rounds", description=f"rounds of {run.recipe.name}")


def _key(name: str) -> str:
    """Prefect takes lower-case letters, digits and dashes."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())


class Progress:
    """A bar in the UI, from 0 to `total`."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        self.total = total
        self.id: Any = create_progress_artifact(0.0, key=_key(name), description=f"{name}: of {total:,} {unit}")

    def at(self, done: int) -> None:
        update_progress_artifact(artifact_id=self.id, progress=100.0 * done / max(1, self.total))


@contextmanager
def watched(run: Run) -> Iterator[None]:
    """While the body generates, a thread looks every `EVERY` seconds how many traces the lake has of this run."""
    bar, ended = Progress("generate traces", _asked(run), "traces"), threading.Event()

    def look() -> None:
        while not ended.wait(EVERY):
            bar.at(_answered(run))

    watcher = threading.Thread(target=look, name="watch-generation", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        bar.at(_answered(run))


def _asked(run: Run) -> int:
    problems = run.lake.value("SELECT count(*) FROM members WHERE run_id = $1 AND part = 'train'", [run.id])
    return int(problems) * run.recipe.generate.samples


def _answered(run: Run) -> int:
    return int(run.lake.value("SELECT count(*) FROM run_traces WHERE run_id = $1", [run.id]))
