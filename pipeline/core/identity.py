"""What a run is recognised by when it goes on: the rows that were answered, and what was asked of the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.lines import RawRow

MASK = (1 << 64) - 1


def row_digest(row: RawRow) -> int:
    """32 bits of a row as it stands in the input: enough to notice an edit, not to withstand a forger."""
    data = row.data
    if isinstance(data, bytes):
        return crc32(data)
    return crc32(msgspec.json.encode(data if data is not None else row.problem))


def row_term(index: int, digest: int) -> int:
    """What a row adds to the sum over a set of rows; the sum does not depend on the order in which they came."""
    return (digest + 1) * (index + 1)


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two identities, for people."""
    return [f"{key}: was {_short(was.get(key))}, is {_short(now.get(key))}" for key in sorted({*was, *now}) if was.get(key) != now.get(key)]


def _short(value: str | None) -> str:
    if value is None:
        return "not set"
    return value if len(value) <= 120 else f"{value[:100]}… ({len(value)} characters)"
