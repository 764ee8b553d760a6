"""`cot run` through Prefect: shards as tasks, what its UI can show, and what the terminal says when it goes wrong."""

import json
import os
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import load
from flows import report
from tests.flows.test_rounds_kill import Place, ended

from .conftest import Server, cot, counts, environment, journaled, start, told, wait_for, write_recipe

pytestmark = pytest.mark.slow

INTERRUPTED = ["cot: interrupted; nothing that was finished is lost, and the same command goes on from here"]


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_a_task_is_a_shard_and_one_that_crashes_is_tried_again(server: Server, folder: Path, runner: str) -> None:
    write_recipe(folder, runner, flaky=True)
    done = cot(folder, server.environment, "run", f"{runner}.toml", "--lake", "lake", "--set", f"tasks.runner={runner}",
               "--set", "verify.beside=false")  # else there is nothing left to verify
    assert (done.returncode, told(done.stderr)) == (0, [])
    flow_run = server.flow_run(runner)
    assert flow_run["state_type"] == "COMPLETED"
    # Task runs are written from events, a little after the flow has ended.
    tasks = wait_for(lambda: server.task_runs(flow_run) if len(server.task_runs(flow_run)) == 11 else None)
    assert Counter(row["name"].rpartition("-")[0] for row in tasks) == {
        "load problems": 1, "generate traces": 1, "verify shard": 4, "measure shard": 4, "choose and emit": 1}
    assert all({"cot-factory", runner} < set(row["tags"]) for row in tasks)
    assert [(row["name"].rpartition("-")[0], row["run_count"]) for row in tasks if row["run_count"] > 1] == [
        ("choose and emit", 2)]
    _has_artifacts(server, flow_run, folder / "lake")


def _has_artifacts(server: Server, flow_run: dict[str, object], folder: Path) -> None:
    """The funnel of `cot status`, a link to the dataset, and bars that are full."""
    found, lake = server.artifacts(flow_run), Lake(folder)
    assert set(found) == {"funnel", "dataset-sft", "generate-traces", "verify-shard", "measure-shard"}
    run = report.latest_run(lake, None)
    assert json.loads(found["funnel"]["data"]) == [
        {"step": step, "count": count} for step, count in report.funnel(lake, run["id"])]
    assert (folder / "datasets" / run["name"] / "sft").resolve().as_uri() in found["dataset-sft"]["data"]
    assert {found[key]["data"] for key in ("generate-traces", "verify-shard", "measure-shard")} == {100.0}


def test_rounds_are_tasks_the_ui_shows_what_the_gate_said_and_killed_ones_go_on(server: Server, tmp_path: Path) -> None:
    place, calm = Place(tmp_path / "rounds"), Place(tmp_path / "calm")
    undisturbed = calm.start()
    with start(place.folder, server.environment, "rounds", "run", "loop.toml", "--lake", "lake") as going:
        wait_for(place.there("lake/students/loop-r1/sft-*/spec.json"))
        assert going.poll() is None
        going.kill()
    done = cot(place.folder, server.environment, "rounds", "run", "loop.toml", "--lake", "lake")
    assert done.returncode == 0, done.stderr
    assert "round 1, sft: promoted: +" in done.stdout
    flow_run = server.flow_run("loop")
    assert flow_run["state_type"] == "COMPLETED"
    assert wait_for(lambda: [row for row in server.task_runs(flow_run) if row["name"].startswith("close round")])
    assert "against the best so far" in server.artifacts(flow_run)["rounds"]["data"]
    ended(undisturbed)
    assert place.rows() == calm.rows()
    for table in ("traces", "verdicts", "datasets", "students", "rounds"):
        assert place.ids(table) == calm.ids(table), table


def test_a_users_mistake_is_one_sentence_on_the_terminal_and_in_the_ui_and_not_tried_again(
        server: Server, folder: Path) -> None:
    write_recipe(folder, "failing", failure=1.0)
    done = cot(folder, server.environment, "run", "failing.toml", "--lake", "lake", "--set", "generate.attempts=1")
    assert done.returncode == 1
    [line] = told(done.stderr)
    assert line.startswith("cot: 5 requests in a row failed, the last with: scripted failure")
    flow_run = server.flow_run("failing")
    assert (flow_run["state_type"], f"cot: {flow_run['state']['message']}") == ("FAILED", line)
    tasks = wait_for(lambda: [r for r in server.task_runs(flow_run) if r["name"].startswith("generate")])
    assert [(r["state_type"], r["run_count"]) for r in tasks] == [("FAILED", 1)]


def test_sigterm_in_the_middle_of_generation_is_an_interruption_that_prefect_knows_of(
        server: Server, folder: Path) -> None:
    write_recipe(folder, "terminated", delay=0.1)
    process = start(folder, server.environment, "run", "terminated.toml", "--lake", "lake")
    wait_for(lambda: journaled(folder / "lake") >= 8)
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, told(stderr)) == (130, INTERRUPTED)
    assert server.flow_run("terminated")["state_type"] == "CRASHED"
    kept, _ = counts(folder / "lake")
    assert 8 <= kept < 80


def test_ctrl_c_without_a_configured_server_ends_at_once_and_the_same_command_goes_on(
        server: Server, folder: Path) -> None:
    """Ctrl-C reaches the whole process group; the server of the run has to live until the flow has told its end."""
    write_recipe(folder, "alone", delay=0.1)
    alone = environment(folder / "prefect")
    _copy_tables(Path(server.environment["PREFECT_HOME"]), folder / "prefect")
    process = start(folder, alone, "run", "alone.toml", "--lake", "lake")
    wait_for(lambda: journaled(folder / "lake") >= 8)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, told(stderr)) == (130, INTERRUPTED)
    again = cot(folder, alone, "run", "alone.toml", "--lake", "lake")
    assert (again.returncode, told(again.stderr)) == (0, [])
    assert counts(folder / "lake") == [80, 80]
    with closing(sqlite3.connect(folder / "prefect" / "prefect.db")) as base:
        rows = base.execute("SELECT state_type FROM flow_run WHERE tags LIKE '%alone%' ORDER BY start_time").fetchall()
    assert rows == [("CRASHED",), ("COMPLETED",)]


def _copy_tables(home: Path, other: Path) -> None:
    """Prefect takes eight seconds to make the tables of a new home."""
    other.mkdir()
    with closing(sqlite3.connect(home / "prefect.db")) as old, closing(sqlite3.connect(other / "prefect.db")) as new:
        old.backup(new)


def test_two_runs_of_one_recipe_at_the_same_moment_do_not_collide(server: Server, folder: Path) -> None:
    write_recipe(folder, "twice", delay=0.02)
    both = [start(folder, server.environment, "run", "twice.toml", "--lake", "lake") for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert counts(folder / "lake") == [80, 80]


@pytest.mark.parametrize(("runner", "package"), [("ray", "prefect-ray"), ("dask", "prefect-dask")])
def test_a_task_runner_whose_package_is_missing_is_a_sentence(folder: Path, runner: str, package: str) -> None:
    from flows import tasks

    pytest.importorskip("prefect")
    recipe = load(write_recipe(folder, "far"), [f"tasks.runner={runner}"])
    try:
        __import__(package.replace("-", "_"))
    except ImportError:
        with pytest.raises(UserError, match=f"pip install {package}, or use threads or processes"):
            tasks.runner(recipe)
    else:
        assert tasks.runner(recipe)
