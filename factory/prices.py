"""What a teacher costs: the recipe's `[price]`, else the dated table `factory/prices.toml`, else nothing is known."""

import datetime
import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from factory.recipe import PriceSpec

STALE = datetime.timedelta(days=180)
"""Older prices are used with a warning."""


@dataclass
class Usage:
    """Tokens by the endpoint's count; `cached` are those of the prompt that it had in its cache."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, and per GPU hour; `date` is that of the table's entry, None for the recipe's."""

    input: float = 0.0
    cached_input: float = 0.0
    output: float = 0.0
    gpu_hour: float = 0.0
    date: datetime.date | None = None

    def of(self, usage: Usage) -> float:
        """US dollars for these tokens."""
        fresh = max(0, usage.prompt - usage.cached)
        return (fresh * self.input + usage.cached * self.cached_input + usage.completion * self.output) / 1e6

    def warning(self, model: str, today: datetime.date) -> str:
        """The sentence about a stale entry, or nothing."""
        if self.date is None or today - self.date <= STALE:
            return ""
        return (f"the price of {model} is of {self.date}, {(today - self.date).days} days ago: check it, and set "
                "price.input, price.cached_input and price.output in the recipe")


def price_of(spec: PriceSpec, identity: Mapping[str, Any]) -> Price | None:
    """The price of a teacher by its identity; None when nobody knows it."""
    if any(value is not None for value in (spec.input, spec.output, spec.gpu_hour)):
        entered = spec.input or 0.0
        cached = entered if spec.cached_input is None else spec.cached_input
        return Price(entered, cached, spec.output or 0.0, spec.gpu_hour or 0.0)
    model, host = str(identity.get("model", "")), _host(identity)
    entry = next((row for row in _table() if (row["model"], row["host"]) == (model, host)), None)
    return Price(entry["input"], entry["cached_input"], entry["output"], date=entry["date"]) if entry else None


def _host(identity: Mapping[str, Any]) -> str:
    """Of several endpoints (a list) the first names the price."""
    host = identity.get("host", "")
    first = host[0] if isinstance(host, list) and host else host
    return urlsplit(f"//{first}").hostname or ""


@functools.cache
def _table() -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = tomllib.loads(Path(__file__).with_name("prices.toml").read_text())["price"]
    return rows
