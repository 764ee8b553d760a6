"""What a teacher costs: the recipe's own price first, then the dated table, then nothing."""

import datetime
import tomllib
from pathlib import Path

import pytest

from factory import prices
from factory.prices import Price, Usage, price_of
from factory.recipe import PriceSpec

NANO = {"plugin": "openai_api", "model": "gpt-4.1-nano", "host": "api.openai.com"}


def spec(**values: float) -> PriceSpec:
    return PriceSpec.model_validate(values)


def test_tokens_of_the_prompt_that_were_cached_are_sold_for_less() -> None:
    assert Price(2.0, 0.5, 8.0).of(Usage(prompt=1_000_000, cached=400_000, completion=500_000)) == pytest.approx(
        0.6 * 2 + 0.4 * 0.5 + 0.5 * 8)


def test_a_hosted_model_has_the_price_of_the_table() -> None:
    found = price_of(spec(), NANO)
    assert found
    assert (found.input, found.output) == (0.1, 0.4)


def test_the_recipes_price_comes_first_and_needs_no_date() -> None:
    found = price_of(spec(input=1.0, output=2.0), NANO)
    assert found == Price(1.0, 1.0, 2.0)
    assert found.warning("m", datetime.date(2099, 1, 1)) == ""


@pytest.mark.parametrize("identity", [{"model": "gpt-4.1-nano"}, {**NANO, "host": "elsewhere.com"},
                                      {**NANO, "model": "unheard-of"}, {"plugin": "scripted"}])
def test_a_model_of_ones_own_or_elsewhere_has_no_price_by_its_name(identity: dict[str, str]) -> None:
    assert price_of(spec(), identity) is None


def test_an_old_price_is_used_with_a_warning() -> None:
    found = price_of(spec(), NANO)
    assert found
    assert found.date
    assert found.warning("m", found.date + prices.STALE) == ""
    later = found.date + prices.STALE + datetime.timedelta(days=1)
    assert f"the price of m is of {found.date}, 181 days ago: check it" in found.warning("m", later)


def test_every_entry_of_the_table_is_whole_and_none_stands_twice() -> None:
    rows = tomllib.loads((Path(prices.__file__).parent / "prices.toml").read_text())["price"]
    assert all(set(row) == {"model", "host", "date", "input", "cached_input", "output", "source"} for row in rows)
    assert all(0 < row["cached_input"] <= row["input"] <= row["output"] for row in rows)
    assert len({(row["model"], row["host"]) for row in rows}) == len(rows)
