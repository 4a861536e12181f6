"""Makes the lanes of a run from its config: their limits, and what messages say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.config.lanes import LaneConfig
from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.pacing.lane import Lane
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.pacing.meter import limits_from
from pipeline.edges.process.descriptors import connections_possible
from pipeline.runs.names import host_of, lane_name, place_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.config import Config, ProviderConfig
    from pipeline.config.lanes import LimitsConfig
    from pipeline.core.pacing.account import Accounts
    from pipeline.core.pacing.leased import LeasedLane as Leased

RATES = (
    "requests_per_second",
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "burst",
)


def lanes_of(config: Config, accounts: Accounts | None = None, leased: Collection[int] = ()) -> Lanes:
    """The lanes of a config, with their limits and what is said of them in messages.

    accounts: its budgets, if it has any. leased: indexes of lanes that are shared with other processes.
    """
    states = [lane_state(config, index, index, accounts, leased=index in leased) for index in range(len(config.lanes))]
    return Lanes(states, most_in_flight=in_flight_possible(config), fallback_after_seconds=config.routing.fallback_after_seconds)


def lane_state(config: Config, at: int, index: int, accounts: Accounts | None, *, leased: bool = False) -> LaneState:
    """One lane. at: its place in the config. index: its place among the lanes of the run. leased: it is shared with other processes."""
    provider = config.lanes[at]
    limits = limits_in(config, provider)
    lane = provider if isinstance(provider, LaneConfig) else None
    name = lane_name(config, at)
    return LaneState(
        leased_lane(limits) if leased else limits_of(limits),
        limits.max_in_flight,
        index=index,
        name=name,
        weight=1.0 if lane is None else lane.weight,
        priority=0 if lane is None else lane.priority,
        host=host_of(provider),
        key=place_of_key(provider),
        key_setting=next((name for name in ("api_key_file", "api_key_command") if getattr(provider, name) is not None), "api_key_env"),
        setting=place_of(config, at),
        allowed=allowed_by(limits),
        policy=retry_policy(config),
        account=None if accounts is None else accounts.lanes[name],
    )


def place_of_key(provider: ProviderConfig) -> str | None:
    """Where the key of a provider comes from, for messages."""
    if provider.api_key_command is not None:
        return f"the output of {provider.api_key_command[0]}"
    return provider.api_key_env or provider.api_key_file


def in_flight_possible(config: Config) -> int:
    """How many attempts may be in flight over all lanes, by the files that this process may open."""
    wanted = sum(limits_in(config, provider).max_in_flight for provider in config.lanes)
    embedded = any(provider.simulate is not None for provider in config.lanes)
    return connections_possible(wanted, files_each=2 if embedded else 1)


def retry_policy(config: Config) -> RetryPolicy:
    """When a row, and when the run, has tried for long enough."""
    retry = config.retry
    return RetryPolicy(retry.attempts, retry.base_seconds, retry.cap_seconds, retry.patience_seconds, retry.stop_after)


def limits_in(config: Config, provider: ProviderConfig) -> LimitsConfig:
    """The limits of a lane: its own, or those of the run."""
    own = provider.limits if isinstance(provider, LaneConfig) else None
    return config.limits if own is None else own


def limits_of(limits: LimitsConfig) -> Lane:
    """What a lane lets leave that is this process's own."""
    return Lane(limits_from(**rates_in(limits)), slots=limits.max_in_flight, learn=limits.learn)


def leased_lane(limits: LimitsConfig) -> Leased:
    """What a lane lets leave that is shared with other processes."""
    from pipeline.core.pacing.leased import LeasedLane  # noqa: PLC0415  few runs share limits

    return LeasedLane(limits_from(**rates_in(limits)), slots=limits.max_in_flight, learn=limits.learn)


def rates_in(limits: LimitsConfig) -> dict[str, float | None]:
    """The amounts that a lane keeps to, by the names of their settings."""
    return {name: getattr(limits, name) for name in RATES}


def allowed_by(limits: LimitsConfig) -> float | None:
    """Requests a second that limits allow, None without such a limit."""
    per_minute = None if limits.requests_per_minute is None else limits.requests_per_minute / 60
    return min((rate for rate in (limits.requests_per_second, per_minute) if rate is not None), default=None)
