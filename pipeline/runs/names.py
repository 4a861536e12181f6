"""What the lanes of a config are called, in messages, results and the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.config.lanes import LaneConfig

if TYPE_CHECKING:
    from pipeline.config import Config, ProviderConfig


def place_of(config: Config, index: int) -> str:
    """Where a lane stands in the config."""
    return "provider" if not config.providers else f"providers[{index}]"


def lane_name(config: Config, index: int) -> str:
    """The name of a lane; "" where there is only one, because it was configured as `provider`."""
    lane = config.lanes[index]
    if not isinstance(lane, LaneConfig):
        return ""
    return lane.name or f"{host_of(lane)}#{index}"


def host_of(provider: ProviderConfig) -> str:
    """Host and port, for messages."""
    if provider.base_url is None:
        return "the simulated provider"
    return provider.unix_socket or urlsplit(provider.base_url).netloc.rpartition("@")[2]
