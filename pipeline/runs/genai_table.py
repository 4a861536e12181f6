"""Reads the prices of an installed genai-prices into a table of our own.

Source: genai-prices (MIT, https://github.com/pydantic/genai-prices). `tools/make_price_table.py` makes the built-in table by it.
"""

from __future__ import annotations

import datetime as dt
from importlib.metadata import version
from typing import Any

from pipeline.core.pacing.prices import PriceTable


def read_table() -> PriceTable:
    """All models that have a price for a token, at the prices of today. Raises ImportError."""
    from genai_prices.data import providers  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  an extra

    today = dt.datetime.now(dt.UTC).date()
    models: dict[str, list[list[float]]] = {}
    for provider in reversed(providers):
        for model in provider.models:
            if tiers := tiers_of(price_on(model.prices, today)):
                models.update(dict.fromkeys([model.id.lower(), *names_of(model.match)], tiers))
    return PriceTable(str(today), source(), models)


def source() -> str:
    """What the prices are from, for people."""
    return f"genai-prices {version('genai-prices')} (MIT, https://github.com/pydantic/genai-prices)"


def price_on(prices: Any, day: dt.date) -> Any:
    """The price that holds on a day: the last that has begun, or the dearest if it depends on the hour. A budget must hold at any hour."""
    if not isinstance(prices, list):
        return prices
    holding, hourly = prices[0].prices, []
    for conditional in prices:
        start = getattr(conditional.constraint, "start_date", None)
        if conditional.constraint is None or (start is not None and start <= day):
            holding = conditional.prices
        elif getattr(conditional.constraint, "start_time", None) is not None:
            hourly.append(conditional.prices)
    return max((holding, *hourly), key=_prompt_price) if hourly else holding


def _prompt_price(price: Any) -> float:
    column = getattr(price, "input_mtok", None) or 0
    return float(getattr(column, "base", column))


def tiers_of(price: Any) -> list[list[float]]:
    """Rows of [above, prompt, output, cached, cache write], per million tokens."""
    prompt, output = getattr(price, "input_mtok", None), getattr(price, "output_mtok", None)
    if prompt is None:
        return []
    cached, written = getattr(price, "cache_read_mtok", None), getattr(price, "cache_write_mtok", None)
    columns = (prompt, output or 0, prompt if cached is None else cached, prompt if written is None else written)
    starts = sorted({0, *(tier.start for column in columns for tier in getattr(column, "tiers", ()))})
    return [[start, *(_at(column, start) for column in columns)] for start in starts]


def _at(column: Any, start: int) -> float:
    tiers = [tier.price for tier in getattr(column, "tiers", ()) if tier.start <= start]
    return float(tiers[-1] if tiers else getattr(column, "base", column))


def names_of(clause: Any) -> list[str]:
    """The names that a clause tells in so many words; one that begins a name ends in a star."""
    if hasattr(clause, "equals"):
        return [clause.equals.lower()]
    if hasattr(clause, "starts_with"):
        return [f"{clause.starts_with.lower()}*"]
    return [name for part in getattr(clause, "or_", ()) for name in names_of(part)]
