"""A budget in whole runs: what is spent never exceeds it, the run stops and can go on with more."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import attrs
import httpx
import pytest
import trio
from msgspec.structs import replace

import pipeline
from pipeline import (
    BudgetConfig,
    Config,
    ConfigError,
    LaneConfig,
    LimitsConfig,
    PricesConfig,
    ProviderConfig,
    RequestConfig,
    RetryConfig,
    RunAborted,
    SinkConfig,
    SourceConfig,
    Summary,
)

if TYPE_CHECKING:
    from pathlib import Path

PRICES = PricesConfig(prompt_per_million=1.0, output_per_million=2.0)
ROWS = 40


def config_of(folder: Path, budget: BudgetConfig, in_flight: int = 8) -> Config:
    (folder / "in.jsonl").write_text("".join(json.dumps({"prompt": f"q{row}"}) + "\n" for row in range(ROWS)))
    return Config(
        source=SourceConfig(path=str(folder / "in.jsonl")),
        request=RequestConfig(url="/v1/chat/completions", body={"max_tokens": 20, "messages": [{"role": "user", "content": "{prompt}"}]}),
        provider=ProviderConfig(base_url="http://provider.invalid/v1"),
        limits=LimitsConfig(max_in_flight=in_flight),
        sink=SinkConfig(path=str(folder / "out.jsonl")),
        prices=PRICES,
        budget=budget,
    )


class Shop:
    """Sells answers of 30 tokens in and 10 out, and keeps the books."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.requests = self.tokens = 0
        self.cost = 0.0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        await trio.sleep(0.001)
        if self.status != 200:
            return httpx.Response(self.status, json={"error": {"message": "no"}})
        self.tokens += 40
        self.cost += (30 * 1.0 + 10 * 2.0) / 1_000_000
        usage = {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}
        return httpx.Response(200, json={"choices": [choice], "usage": usage})


def go(config: Config, shop: Shop) -> Summary:
    async def main() -> Summary:
        return await pipeline.run(config, transport=httpx.MockTransport(shop))

    return trio.run(main)


@pytest.mark.parametrize(
    "budget, least",
    [
        (BudgetConfig(requests=7), 7),
        (BudgetConfig(tokens=400), 6),
        (BudgetConfig(cost=0.0006), 8),
        (BudgetConfig(tokens=400, requests=3), 3),
    ],
)
def test_a_run_stops_before_it_spends_more_and_uses_most_of_it(tmp_path: Path, budget: BudgetConfig, least: int) -> None:
    shop = Shop()

    with pytest.raises(RunAborted, match=r"budget\.\w+ is used up: .*; raise it, and run the same command") as caught:
        go(config_of(tmp_path, budget), shop)

    assert budget.requests is None or shop.requests <= budget.requests
    assert budget.tokens is None or shop.tokens <= budget.tokens
    assert budget.cost is None or shop.cost <= budget.cost
    assert shop.requests >= least
    assert caught.value.summary is not None
    assert caught.value.summary.succeeded == shop.requests
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == shop.requests


class DishonestShop(Shop):
    """Bills answers that it spoils, cuts off or repeats the asking for: by the seed, about every second attempt brings no result."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.draw = random.Random(seed)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        await trio.sleep(0.001)
        what = self.draw.choice(["good", "good", "spoilt", "cut", 500, 429])
        if isinstance(what, int):
            return httpx.Response(what, json={"error": {"message": "no"}}, headers={"retry-after": "0"})
        self.tokens += 10 + 20
        self.cost += (10 * 1.0 + 20 * 2.0) / 1_000_000
        if what == "cut":
            raise httpx.ReadError("cut off")
        choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "a"}}
        usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
        return httpx.Response(200, json={"choices": [choice] if what == "good" else [], "usage": usage})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("budget", [BudgetConfig(requests=20), BudgetConfig(tokens=900), BudgetConfig(cost=0.0012)])
def test_rejected_cut_and_repeated_attempts_count_against_a_budget(tmp_path: Path, budget: BudgetConfig, seed: int) -> None:
    shop = DishonestShop(seed)
    config = replace(config_of(tmp_path, budget), retry=RetryConfig(base_seconds=0.001))

    with pytest.raises(RunAborted, match=r"budget\.\w+ is used up"):
        go(config, shop)

    assert budget.requests is None or shop.requests <= budget.requests
    assert budget.tokens is None or shop.tokens <= budget.tokens
    assert budget.cost is None or shop.cost <= budget.cost + 1e-12


@pytest.mark.parametrize("step", [BudgetConfig(requests=7), BudgetConfig(tokens=400), BudgetConfig(cost=0.0006)])
def test_a_resumed_run_counts_what_was_spent_before(tmp_path: Path, step: BudgetConfig) -> None:
    shop = Shop()
    (amount,) = [(name, value) for name, value in attrs.asdict(step).items() if value is not None]
    name, value = amount
    rounds = 0
    summary = Summary()
    while rounds < 60:
        rounds += 1
        config = config_of(tmp_path, BudgetConfig(**{name: value * rounds}))
        try:
            summary = go(config, shop)
        except RunAborted:
            assert {"requests": shop.requests, "tokens": shop.tokens, "cost": shop.cost}[name] <= value * rounds + 1e-12
        else:
            break

    assert summary.succeeded == ROWS
    assert shop.requests == ROWS
    assert rounds > 3


def test_a_run_that_is_started_again_with_the_same_budget_sends_nothing(tmp_path: Path) -> None:
    shop = Shop()
    for _ in range(2):
        with pytest.raises(RunAborted, match=r"budget\.requests is used up"):
            go(config_of(tmp_path, BudgetConfig(requests=5)), shop)

    assert shop.requests == 5


def test_attempts_that_fail_count_as_requests_and_cost_no_tokens(tmp_path: Path) -> None:
    shop = Shop(status=400)
    config = replace(config_of(tmp_path, BudgetConfig(requests=3, tokens=200), in_flight=1))

    with pytest.raises(RunAborted, match=r"budget\.requests is used up: 3 requests"):
        go(config, shop)

    assert shop.requests == 3


def test_a_budget_that_no_row_fits_sends_nothing(tmp_path: Path) -> None:
    shop = Shop()

    with pytest.raises(RunAborted, match=r"budget\.tokens is used up: 0 tokens are spent, and the next row may need \d+ more"):
        go(config_of(tmp_path, BudgetConfig(tokens=10)), shop)

    assert shop.requests == 0


def test_a_budget_of_money_needs_prices(tmp_path: Path) -> None:
    config = config_of(tmp_path, BudgetConfig())

    with pytest.raises(ConfigError, match=r"budget\.cost.*needs prices"):
        replace(config, prices=None, budget=BudgetConfig(cost=1.0))


def two_lanes(folder: Path, spare: BudgetConfig) -> Config:
    dear = PricesConfig(prompt_per_million=10, output_per_million=20)
    lanes = (
        LaneConfig(name="main", base_url="http://main.invalid/v1", budget=BudgetConfig(requests=6)),
        LaneConfig(
            name="spare",
            base_url="http://spare.invalid/v1",
            prices=dear,
            budget=spare,
        ),
    )
    return replace(config_of(folder, BudgetConfig()), provider=lanes[0], providers=lanes)


def test_each_lane_keeps_its_own_budget_and_a_resumed_run_goes_on_from_it(tmp_path: Path) -> None:
    shop = Shop()
    with pytest.raises(RunAborted) as caught:
        go(two_lanes(tmp_path, BudgetConfig(requests=9)), shop)

    assert str(caught.value).count("is used up") == 2
    assert "providers[1].budget.requests is used up: 9 requests are spent" in str(caught.value)
    assert shop.requests == 15

    summary = go(two_lanes(tmp_path, BudgetConfig()), shop)

    assert (summary.succeeded, shop.requests) == (ROWS, ROWS)
    assert {lane.name: lane.attempts for lane in summary.lanes} == {"main": 0, "spare": 25}
    assert summary.lanes[0].out is not None
    assert summary.cost == pytest.approx((6 * 50 + 34 * 500) / 1e6)


def test_a_lane_with_a_budget_of_money_stops_at_it(tmp_path: Path) -> None:
    shop = Shop()

    with pytest.raises(RunAborted, match=r"providers\[1\]\.budget\.cost is used up: 0\.00\d+ is spent"):
        go(two_lanes(tmp_path, BudgetConfig(cost=0.005)), shop)

    assert 6 + 8 <= shop.requests <= 6 + 10  # 0.0005 an answer


def test_a_list_in_memory_keeps_to_the_budget_too(tmp_path: Path) -> None:
    shop = Shop()

    with pytest.raises(RunAborted, match=r"budget\.requests is used up") as caught:
        pipeline.run_batch(["a", "b", "c", "d"], config_of(tmp_path, BudgetConfig(requests=2)), transport=httpx.MockTransport(shop))

    assert shop.requests == 2
    assert len(caught.value.outcomes) == 2
