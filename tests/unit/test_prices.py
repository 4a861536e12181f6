"""What answers cost: to the last part of a cent, by the rates of their model and size, and never 0 for want of a price."""

from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ConfigError
from pipeline.config import Config, load_config_text
from pipeline.core.pacing.budget import PICO
from pipeline.core.pacing.prices import PriceTable, Rates, Tier
from pipeline.records import NO_USAGE, Success, Usage
from pipeline.runs.genai_table import price_on, tiers_of
from pipeline.runs.pricing import TABLE, Pricing, as_money, prices_of, pricing_of

SONNET = Rates((Tier.per_million(3, 15, 0.3, 3.75), Tier.per_million(6, 22.5, 0.6, 7.5, above=200_000)))
TOKENS = st.integers(0, 400_000)


def config_of(prices: str, model: str = "gpt-4o") -> Config:
    body = json.dumps({"model": model, "messages": "{prompt}"})
    request = f"request: {{url: /v1/x, body: {body}}}"
    text = f"{{source: {{path: a.jsonl}}, provider: {{simulate: {{}}}}, sink: {{path: o}}, prices: {prices}, {request}}}"
    return load_config_text(text, "c.yaml")


def answer(model: str | None, usage: Usage) -> Success:
    body = json.dumps({"model": model, "choices": []} if model else {"choices": []}).encode()
    return Success(0, "a", 200, None, body, usage, 1, 0.1)


@pytest.mark.parametrize(
    "usage, dollars",
    [
        (Usage(1_000_000 // 10, 0), 0.3),
        (Usage(100_000, 10_000), 0.45),
        (Usage(200_000, 0), 0.6),
        (Usage(300_000, 10_000), 2.025),
        (Usage(100_000, 0, 0, 50_000, 20_000), (30_000 * 3 + 50_000 * 0.3 + 20_000 * 3.75) / 1e6),
        (Usage(0, 0), 0.0),
    ],
)
def test_an_answer_costs_what_its_size_and_its_cache_make_of_it(usage: Usage, dollars: float) -> None:
    assert as_money(SONNET.cost(usage)) == pytest.approx(dollars)


@given(prompt=TOKENS, output=TOKENS, data=st.data())
def test_no_answer_costs_more_than_the_most_that_one_of_its_size_may(prompt: int, output: int, data: st.DataObject) -> None:
    cached = data.draw(st.integers(0, prompt))
    written = data.draw(st.integers(0, prompt - cached))

    assert 0 <= SONNET.cost(Usage(prompt, output, 0, cached, written)) <= SONNET.most(prompt, output)


def test_tokens_that_are_cached_for_an_hour_cost_twice_the_rate_of_the_prompt() -> None:
    usage = Usage(1_000_000, 0, 0, 0, 1_000_000, 0, 400_000)

    tier = Rates((Tier.per_million(3, 15, 0.3, 3.75),))
    without_charge = Rates((Tier.per_million(2.5, 10, 1.25),))

    assert as_money(tier.cost(usage)) == 0.6 * 3.75 + 0.4 * 6
    assert as_money(without_charge.cost(usage)) == 2.5


def test_several_answers_to_one_row_are_each_priced_by_their_own_size() -> None:
    twice = Usage(300_000, 2_000)

    assert as_money(SONNET.cost(twice, 2)) == 0.93
    assert as_money(SONNET.cost(twice)) == 1.845


def test_a_million_small_costs_add_up_exactly() -> None:
    rates = Rates((Tier.per_million(0.15, 0.6),))

    assert 1_000_000 * rates.cost(Usage(1, 0)) == 150_000 * PICO // 1_000_000
    assert as_money(1_000_000 * rates.cost(Usage(1, 1))) == 0.75


@pytest.mark.parametrize(
    "name, found",
    [
        ("gpt-4o", 2.5),
        ("GPT-4o", 2.5),
        ("openai/gpt-4o", 2.5),
        ("gpt-4o-2024-08-06", 2.5),
        ("gpt-4o-2024-05-13", 5.0),
        ("gpt-4o-mini", 0.15),
        ("claude-x-1-20250101", 3.0),
        ("claude-x-1-latest", 3.0),
        ("claude-x-1:free", None),
        ("maker/claude-x-1:nitro", None),
        ("gpt-4o:free", None),
        ("my-deployment", None),
        ("", None),
        ("gpt-4", None),
    ],
)
def test_a_model_is_found_under_the_names_that_providers_give_it(name: str, found: float | None) -> None:
    table = PriceTable(
        "2026-01-01",
        "a test",
        {
            "gpt-4o": [[0, 2.5, 10, 1.25, 2.5]],
            "gpt-4o-2024-05-13": [[0, 5.0, 15, 5, 5]],
            "gpt-4o-mini": [[0, 0.15, 0.6, 0.075, 0.15]],
            "claude-x*": [[0, 3.0, 15, 0.3, 3.75]],
        },
    )

    rates = table.rates(name)

    assert (None if rates is None else rates.tiers[0].prompt * 1_000_000 / PICO) == found


def test_the_built_in_table_is_small_dated_and_whole() -> None:
    table = json.loads(TABLE.read_text())

    assert TABLE.stat().st_size < 15_000
    assert table["date"] > "2026"
    assert "MIT" in table["source"]
    for tiers in table["models"].values():
        assert [tier[0] for tier in tiers] == sorted({tier[0] for tier in tiers})
        assert tiers[0][0] == 0
        assert all(len(tier) == 5 and min(tier) >= 0 for tier in tiers)
    assert all(
        name in table["models"] for name in ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5*", "gemini-2.5-pro", "text-embedding-3-small")
    )


def the_pricing_of(config: Config) -> Pricing | None:
    return pricing_of(config, config.provider)


def test_each_answer_is_priced_by_its_own_model() -> None:
    pricing = the_pricing_of(config_of("{table: builtin}"))
    assert pricing is not None

    costs = [pricing.cost(answer(model, Usage(1000, 100)), Usage(1000, 100)) for model in ("gpt-4o-2024-08-06", "gpt-4o-mini", None)]

    assert [None if cost is None else as_money(cost) for cost in costs] == [0.0035, 0.00021, 0.0035]
    assert pricing.source is not None
    assert not pricing.unknown


def test_a_model_without_a_price_is_named_and_costs_nothing_known() -> None:
    pricing = the_pricing_of(config_of("{table: builtin}", model="my-deployment"))
    assert pricing is not None

    assert pricing.cost(answer("local-llama", Usage(10, 10)), Usage(10, 10)) is None
    assert pricing.cost(answer("local-llama", NO_USAGE), NO_USAGE) == 0
    assert pricing.cost_of_tokens(1000, 1000) is None
    assert list(pricing.unknown) == ["local-llama"]


def test_rates_of_the_config_hold_for_every_model() -> None:
    pricing = the_pricing_of(config_of("{prompt_per_million: 2, output_per_million: 10, cached_per_million: 1}"))
    assert pricing is not None

    assert as_money(pricing.cost(answer("any", NO_USAGE), Usage(1_000_000, 100_000, 0, 500_000)) or 0) == 2.5
    assert pricing.cost_of_tokens(1_000_000, 0) == 2.0
    assert the_pricing_of(config_of("null")) is None


@pytest.mark.parametrize(
    "prices", ["{}", "{prompt_per_million: 1}", "{table: builtin, prompt_per_million: 1}", "{table: nowhere}", "{output_per_million: -1}"]
)
def test_prices_that_say_too_little_or_too_much_are_refused(prices: str) -> None:
    with pytest.raises(ConfigError, match="prices"):
        config_of(prices)


def test_the_price_of_a_day_is_the_last_that_has_begun_or_that_of_its_dearest_hour() -> None:
    base, later, cheap, dear, future = (SimpleNamespace(input_mtok=price) for price in (2, 3, 1, 6, 9))
    prices = [
        SimpleNamespace(constraint=None, prices=base),
        SimpleNamespace(constraint=SimpleNamespace(start_date=dt.date(2026, 8, 17)), prices=later),
        SimpleNamespace(constraint=SimpleNamespace(start_date=dt.date(2027, 1, 1)), prices=future),
        SimpleNamespace(constraint=SimpleNamespace(start_time=dt.time(1)), prices=cheap),
    ]

    assert price_on(prices, dt.date(2026, 8, 16)) is base
    assert price_on(prices, dt.date(2026, 8, 17)) is later
    assert price_on(base, dt.date(2026, 8, 17)) is base
    at_noon = SimpleNamespace(constraint=SimpleNamespace(start_time=dt.time(12)), prices=dear)
    assert price_on([*prices, at_noon], dt.date(2026, 8, 17)) is dear


@pytest.mark.parametrize(
    "name, prompt, output",
    [("gpt-4-1106-preview", 10, 30), ("gpt-3.5-turbo-0613", 1.5, 2), ("gpt-3.5-turbo-1106", 1, 2), ("gpt-4-0613", 30, 60)],
)
def test_an_old_date_of_a_model_has_the_price_that_it_had(name: str, prompt: float, output: float) -> None:
    known = json.loads(TABLE.read_text())

    rates = PriceTable(known["date"], known["source"], known["models"]).rates(name)

    assert rates is not None
    assert [rates.tiers[0].prompt * 1_000_000 / PICO, rates.tiers[0].output * 1_000_000 / PICO] == [prompt, output]


def test_tiers_of_all_columns_become_rows() -> None:
    tier = SimpleNamespace(start=200_000, price=6)
    price = SimpleNamespace(input_mtok=SimpleNamespace(base=3, tiers=[tier]), output_mtok=15, cache_read_mtok=0.3)

    assert tiers_of(price) == [[0, 3.0, 15.0, 0.3, 3.0], [200_000, 6.0, 15.0, 0.3, 6.0]]
    assert tiers_of(SimpleNamespace(audio_hours=1)) == []


LANES = """
source: {path: in.jsonl}
sink: {path: out.jsonl}
prices: {prompt_per_million: 1, output_per_million: 2}
providers:
  - {name: dear, base_url: "http://a/v1", prices: {prompt_per_million: 10, output_per_million: 20}}
  - {name: plain, base_url: "http://b/v1"}
  - {name: other, base_url: "http://c/v1", model: gpt-4o-mini, prices: {table: builtin}}
"""


def test_each_answer_is_priced_by_the_lane_that_gave_it() -> None:
    prices = prices_of(load_config_text(LANES, "c.yaml"))
    assert prices is not None
    usage = Usage(1_000_000, 100_000)

    costs = {lane: prices.cost(msgspec.structs.replace(answer(None, usage), lane=lane), usage) for lane in ("dear", "plain", "other")}

    assert {lane: as_money(cost or 0) for lane, cost in costs.items()} == {"dear": 12.0, "plain": 1.2, "other": 0.21}
    assert prices.most_for_tokens(1_000_000, 100_000) == 12.0


def test_lanes_without_prices_leave_the_cost_unknown() -> None:
    assert prices_of(load_config_text(LANES.replace("prices: {prompt_per_million: 1, output_per_million: 2}\n", ""), "c.yaml")) is None


def test_a_request_is_reserved_at_the_price_of_the_model_that_the_lane_asks_for() -> None:
    config = load_config_text(LANES, "c.yaml")
    pricing = pricing_of(config, config.lanes[2])
    assert pricing is not None

    assert pricing.rates_of(b'{"model": "gpt-4o"}') == pricing.rates("gpt-4o-mini") != pricing.rates("gpt-4o")


@pytest.mark.parametrize(
    "change, key",
    [
        (("name: plain,", "name: plain, budget: {cost: 1},"), r"providers\[1\]\.budget\.cost: needs prices; set providers\[1\]\.prices"),
        (("source:", "budget: {cost: 1}\nsource:"), r"budget\.cost: needs prices"),
    ],
)
def test_a_budget_of_money_needs_prices_on_the_lanes_that_it_counts(change: tuple[str, str], key: str) -> None:
    text = LANES.replace("prices: {prompt_per_million: 1, output_per_million: 2}\n", "").replace(*change)

    with pytest.raises(ConfigError, match=key):
        load_config_text(text, "c.yaml")
