"""Opens the shares of limits that a config shares with other processes of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, Problem
from pipeline.runs.lanes import leased_lane, limits_in
from pipeline.runs.names import lane_name, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.config import Config
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.core.pacing.leased import LeasedLane
    from pipeline.ports import LaneKeeper, LimitLease


def leases_of(config: Config) -> dict[int, LimitLease]:
    """The lease of each lane whose limits are shared, by its index. Raises ConfigError where a limit cannot be shared."""
    leases: dict[int, LimitLease] = {}
    for index, provider in enumerate(config.lanes):
        limits = limits_in(config, provider)
        if limits.shared is not None:
            leases[index] = _lease(config, index, leased_lane(limits))
    return leases


def by_lane(leases: Mapping[int, LimitLease | LaneKeeper], lanes: Lanes) -> dict[LaneState, LimitLease | LaneKeeper]:
    """The same by the lanes that are used."""
    return {lanes.states[index]: lease for index, lease in leases.items()}


def _lease(config: Config, index: int, lane: LeasedLane) -> LimitLease:
    from pipeline.edges.leases.machine import LimitsDifferError, MachineLease, shared_folder  # noqa: PLC0415  few runs share limits

    limits, provider = limits_in(config, config.lanes[index]), config.lanes[index]
    name = limits.shared or ""
    is_own = getattr(provider, "limits", None) is not None
    if config.providers and not is_own:
        name = f"{name}-{''.join(letter if letter.isalnum() else '_' for letter in lane_name(config, index))}"  # each lane has its own
    place = f"{place_of(config, index)}.limits.shared" if is_own else "limits.shared"
    try:
        return MachineLease(shared_folder(), name, lane.shared)
    except LimitsDifferError:
        message = f"another process shares other limits under this name ({limits.shared}); write the same ones, or take another name"
        raise ConfigError([Problem(place, message, "config")]) from None
    except OSError as error:
        raise ConfigError([Problem(place, f"the file of a shared limit cannot be used: {error}", "config")]) from None
