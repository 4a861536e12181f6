"""What a run is recognised by when it goes on: the rows that were answered, and what was asked of the provider.

Rows that are all answered, from the first one on, are known by one checksum over them as text (`Prefix`), so that a
million of them are checked as fast as they are read. The others are known by a sum that does not depend on their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.bookkeeping.sums import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.core.rows.lines import RawRow

MASK = (1 << 64) - 1
SPREAD = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: neighbouring places get factors that are far apart
SIMULATED = "(simulated)"  # what stands for the address of a simulated provider
LONG_ROW = 4096  # bytes; rows that are longer on average are summed one by one

_encode = msgspec.json.Encoder(enc_hook=str).encode  # a column may hold what JSON cannot say


def row_digest(row: RawRow) -> int:
    """32 bits of a row as it stands in the input: enough to notice an edit, not to withstand a forger."""
    if row.digest is None:
        data = row.data
        row.digest = crc32(data if isinstance(data, bytes) else _encode(data if data is not None else row.problem))
    return row.digest


def row_digests(rows: Iterable[RawRow]) -> list[int]:
    """The digests of rows."""
    digests: list[int] = []
    for row in rows:
        digest = row.digest
        if digest is None:
            data = row.data
            digest = row.digest = crc32(data) if isinstance(data, bytes) else row_digest(row)
        digests.append(digest)
    return digests


def row_term(index: int, digest: int) -> int:
    """What a row adds to the sum over a set of rows; the sum does not depend on the order in which they came."""
    factor = (index + 1) * SPREAD & MASK
    return (digest + 1) * (factor ^ factor >> 32)  # the bare index as a factor takes a, b, b, a for b, a, a, b


def row_terms(first: int, digests: Iterable[int]) -> list[int]:
    """The terms of rows in sequence, the first of which has this index."""
    return [(digest + 1) * ((factor := number * SPREAD & MASK) ^ factor >> 32) for number, digest in enumerate(digests, first + 1)]


class Prefix(msgspec.Struct, frozen=True):
    """The first rows of an input. line, offset: where the row behind them starts. checksum: over their text. row_sum: of their terms."""

    rows: int = 0
    line: int = 1
    offset: int = 0
    checksum: int = 0
    row_sum: int = 0


def text_checksum(text: bytes, checksum: int = 0) -> int:
    """The checksum over rows that lie in an input as lines of JSON, whole lines with nothing between them, however they end."""
    return crc32(text.replace(b"\r\n", b"\n") if b"\r" in text else text, checksum)


def rows_checksum(rows: Sequence[RawRow], digests: Sequence[int], checksum: int = 0) -> int:
    """The same over rows that were cut; a row that is not a line of JSON is represented by its digest."""
    texts = [row.data for row in rows if isinstance(row.data, bytes)]
    if len(texts) < len(rows):
        texts = [row.data if isinstance(row.data, bytes) else b"%d" % digest for row, digest in zip(rows, digests, strict=True)]
    if sum(map(len, texts)) < LONG_ROW * len(texts):
        return crc32(b"\n".join([*texts, b""]), checksum)
    for text in texts:  # a copy of long rows costs ten times as much as their sum
        checksum = crc32(b"\n", crc32(text, checksum))
    return checksum


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two identities, for people."""
    return [f"{key}: was {_short(was.get(key))}, is {_short(now.get(key))}" for key in sorted({*was, *now}) if was.get(key) != now.get(key)]


def _short(value: str | None) -> str:
    if value is None:
        return "not set"
    return value if len(value) <= 120 else f"{value[:100]}… ({len(value)} characters)"
