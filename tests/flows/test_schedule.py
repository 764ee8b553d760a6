"""`cot schedule`: a Prefect deployment that really fires, stops cleanly, and says in a sentence what it lacks."""

import signal
from pathlib import Path
from typing import Any

import pytest

from .conftest import Server, cot, counts, environment, start, wait_for, write_recipe

pytestmark = pytest.mark.slow


def _completed(server: Server, name: str) -> list[dict[str, Any]]:
    return server.ask("flow_runs", flow_runs={"tags": {"all_": [name]}, "state": {"type": {"any_": ["COMPLETED"]}}})


def _deployment(server: Server, name: str) -> dict[str, Any]:
    return server.ask("deployments", deployments={"name": {"any_": [name]}})[0]


def _end(process: Any, how: signal.Signals) -> None:
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in stderr, "Warning" in stderr) == (0, False, False), stderr


def test_an_interval_fires_again_and_again_in_the_users_folder_and_buys_nothing_twice(
        server: Server, folder: Path) -> None:
    """Relative paths and the private measure are found, though nothing but the flow's module is named."""
    write_recipe(folder, "often")
    hurried = {**server.environment, "PREFECT_RUNNER_POLL_FREQUENCY": "3"}  # it looks for work every ten seconds
    process = start(folder, hurried, "schedule", "often.toml", "--every", "5", "--lake", "lake")
    try:
        wait_for(lambda: _completed(server, "often") or process.poll() is not None)
        first = counts(folder / "lake")
        wait_for(lambda: len(_completed(server, "often")) >= 2 or process.poll() is not None)
        assert (first, counts(folder / "lake")) == ([80, 80], [80, 80])
    finally:
        _end(process, signal.SIGTERM)
    assert _deployment(server, "often")["paused"], "nobody serves it any more"


def test_a_cron_line_is_registered(server: Server, folder: Path) -> None:
    write_recipe(folder, "minutely")
    process = start(folder, server.environment, "schedule", "minutely.toml", "--cron", "* * * * *", "--lake", "lake")
    try:
        wait_for(lambda: server.ask("deployments", deployments={"name": {"any_": ["minutely"]}}))
        [row] = _deployment(server, "minutely")["schedules"]
        assert (row["active"], row["schedule"]["cron"]) == (True, "* * * * *")
    finally:
        _end(process, signal.SIGINT)


@pytest.mark.parametrize(("when", "sentence"), [
    (("--cron", "every night"), "cot: 'every night' is not a cron line"),
    (("--every", "-5"), "cot: --every -5: give seconds above 0"),
    (("--every", "5"), "cot: a schedule needs a Prefect server: run `prefect server start`"),
])
def test_what_is_wrong_is_one_sentence(folder: Path, when: tuple[str, str], sentence: str) -> None:
    write_recipe(folder, "never")
    done = cot(folder, environment(folder / "prefect"), "schedule", "never.toml", *when, "--lake", "lake")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith(sentence)


def test_a_server_that_does_not_answer_is_one_sentence(folder: Path) -> None:
    write_recipe(folder, "never")
    dead = {**environment(folder / "prefect"), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = cot(folder, dead, "schedule", "never.toml", "--every", "5", "--lake", "lake")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("cot: no Prefect server answers at http://127.0.0.1:9/api: start one")
