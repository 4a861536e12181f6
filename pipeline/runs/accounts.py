"""Opens the budgets of a run and of its lanes, with what earlier processes have spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.config.lanes import BudgetConfig, LaneConfig
from pipeline.core.pacing.account import Account, Accounts
from pipeline.core.pacing.budget import Budget, BudgetLimits
from pipeline.messages import NOTHING, Spent
from pipeline.runs.names import lane_name, place_of
from pipeline.runs.pricing import pricing_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config, ProviderConfig
    from pipeline.core.pacing.prices import Rates
    from pipeline.records import Job


def accounts_of(config: Config, spent: Spent, now: float) -> Accounts | None:
    """The budgets of a config; None if it has none. spent: by earlier processes. now: clock."""
    if limits_of(config.budget).unlimited and all(own_limits(provider).unlimited for provider in config.lanes):
        return None
    whole = Budget(limits_of(config.budget), started=now, spent=spent.total, seconds_spent=spent.seconds)
    lanes = {}
    for index, provider in enumerate(config.lanes):
        name = lane_name(config, index)
        own = Budget(own_limits(provider), started=now, spent=spent.lanes.get(name, NOTHING), seconds_spent=spent.seconds)
        lanes[name] = Account(whole, own, rates_for(config, provider), setting=place_of(config, index))
    return Accounts(whole, lanes, started=now - spent.seconds)


def limits_of(budget: BudgetConfig) -> BudgetLimits:
    """What a budget allows."""
    return BudgetLimits(budget.cost, budget.tokens, budget.requests, budget.seconds)


def own_limits(provider: ProviderConfig) -> BudgetLimits:
    """What the budget of a lane allows; nothing is limited where it has none."""
    return limits_of(provider.budget) if isinstance(provider, LaneConfig) else BudgetLimits()


def rates_for(config: Config, provider: ProviderConfig) -> Callable[[Job], Rates | None] | None:
    """What a request costs on a lane; None where no budget counts money there."""
    if config.budget.cost is None and own_limits(provider).cost is None:
        return None
    pricing = pricing_of(config, provider)
    return None if pricing is None else lambda job: pricing.rates_of(job.body)
