"""`cot schedule`: a Prefect deployment of a recipe that fires on a cron line or at an interval, one run at a time."""

import asyncio
import contextlib
import json
import logging
import signal
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.protocols import UserError
from factory.recipe import load


def schedule(recipe: Path, lake: Path, settings: Sequence[str], cron: str | None, every: float | None) -> None:
    """Register the deployment and serve it until Ctrl-C. Raises UserError without a Prefect server or a good time.

    Runs happen in the folder where this was started, so a recipe's relative paths and private plugins are found. Two
    runs of one recipe do not collide: the deployment starts one at a time, and a lake has one writer.
    """
    checked = load(recipe, settings)
    _refuse_bad_times(cron, every)
    address = _server()
    when = f"cron {cron}" if cron else f"every {every:g} s"
    print(f"serving '{checked.name}' ({when}) on {address}; Ctrl-C stops it and pauses the schedule", flush=True)
    _serve(checked.name, cron, every,
           {"recipe": str(recipe.resolve()), "lake": str(lake.resolve()), "settings": list(settings)})


def _serve(name: str, cron: str | None, every: float | None, parameters: dict[str, Any]) -> None:
    """`factory.serve(…)` with an end that is quiet."""
    from prefect.runner import Runner
    from prefect.types.entrypoint import EntrypointType

    from flows.distill import factory

    # It complains of each run that is just ending by itself when it is told to stop.
    logging.getLogger("prefect.runner.process_manager").setLevel(logging.CRITICAL)
    runner = Runner(name=name, limit=1)
    # SIGTERM as Ctrl-C: Prefect 3.7.7's own handler forgets to await the end. (Ctrl-C reaches a run that is going, too;
    # after a SIGTERM to us alone no other run starts, and Prefect waits for the one that is going.)
    runner.handle_sigterm = lambda *_: signal.raise_signal(signal.SIGINT)  # type: ignore[method-assign]
    with contextlib.suppress(KeyboardInterrupt):
        # By module, not by file: a file is named from the folder that we are in, and we may be in any.
        runner.add_flow(factory, name=name, cron=cron, interval=every, parameters=parameters,
                        tags=["cot-factory", name], entrypoint_type=EntrypointType.MODULE_PATH)
        asyncio.run(runner.start())


def _refuse_bad_times(cron: str | None, every: float | None) -> None:
    if every is not None and not 0 < every < float("inf"):
        raise UserError(f"--every {every:g}: give seconds above 0, for example --every 3600 for every hour")
    if cron is None:
        return
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron=cron)
    except ValueError as error:
        raise UserError(f"'{cron}' is not a cron line: give minute, hour, day, month and weekday, "
                        'for example --cron "0 3 * * *" for every night at three') from error


def _server() -> str:
    """The API that Prefect is configured for. Raises UserError if nothing answers there: schedules need a server."""
    from prefect.settings import get_current_settings

    address = get_current_settings().api.url
    if not address:
        raise UserError("a schedule needs a Prefect server: run `prefect server start` in another terminal, then "
                        "`export PREFECT_API_URL=http://127.0.0.1:4200/api` here, and try again")
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=10) as reply:
            json.load(reply)
    except (OSError, ValueError) as error:
        raise UserError(f"no Prefect server answers at {address}: start one with `prefect server start`, or correct "
                        f"PREFECT_API_URL ({error})") from error
    return address
