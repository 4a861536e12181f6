"""Where the key of a provider comes from: a variable, a file, or what a program prints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline.config.environment import Credentials, credentials_of
from pipeline.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.config import ProviderConfig


def credentials_for(provider: ProviderConfig, place: str) -> Credentials:
    """What to show a provider. place: where it stands in the config. Blocks.

    Raises ConfigError, where a variable is not set or not as it should be, or a key cannot be read.
    """
    try:
        key = _read(provider)
    except ValueError as error:
        setting = "api_key_file" if provider.api_key_file is not None else "api_key_command"
        raise ConfigError([Problem(f"{place}.{setting}", str(error), "config")]) from None
    return credentials_of(provider, os.environ, place, key)


def key_reader(provider: ProviderConfig, place: str, hide: Callable[[Sequence[str]], None]) -> Callable[[], tuple[str, str]] | None:
    """What reads the key again, as its header; None where it is in a variable, which never changes, or there is none.

    hide: told the texts that must be shown nowhere. What it gives blocks, and raises ValueError that says why it cannot be read.
    """
    if provider.simulate is not None or (provider.api_key_file is None and provider.api_key_command is None):
        return None

    def read() -> tuple[str, str]:
        shown = credentials_of(provider, os.environ, place, _read(provider))
        assert shown.key_header is not None  # there is a key
        hide(shown.secrets)
        return shown.key_header

    return read


def _read(provider: ProviderConfig) -> str | None:
    if provider.simulate is not None or (provider.api_key_file is None and provider.api_key_command is None):
        return None
    from pipeline.edges.process.key_sources import key_in_file, key_of_command  # noqa: PLC0415  most keys are in a variable

    if provider.api_key_file is not None:
        return key_in_file(provider.api_key_file)
    return None if provider.api_key_command is None else key_of_command(provider.api_key_command)
