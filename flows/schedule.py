"""`cot schedule`: a Prefect deployment of a recipe that fires on a cron line or at an interval, one run at a time."""

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from factory.protocols import UserError
from factory.recipe import load


def schedule(recipe: Path, lake: Path, settings: Sequence[str], cron: str | None, every: float | None) -> None:
    """Register the deployment and serve it until Ctrl-C. Raises UserError without a Prefect server or a good cron line.

    Two runs of one recipe do not collide: the deployment starts one at a time, and a lake has one writer.
    """
    checked = load(recipe, settings)
    _refuse_bad_cron(cron)
    address = _server()
    from flows.distill import factory

    print(f"serving '{checked.name}' ({f'cron {cron}' if cron else f'every {every:g} s'}) on {address}; Ctrl-C stops it")
    factory.serve(
        name=checked.name, cron=cron, interval=every, limit=1, print_starting_message=False, tags=["cot-factory"],
        parameters={"recipe": str(recipe.resolve()), "lake": str(lake.resolve()), "settings": list(settings)})


def _refuse_bad_cron(cron: str | None) -> None:
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
