"""Rows from Python: an iterable of texts and mappings becomes rows as they would come out of a file.

What JSON cannot say is a bad row. msgspec would write bytes as base64, a set as a list and NaN as null, and a request that
nobody meant would be sent and paid for. Numbers and arrays of numpy, and dates, are written as what they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from pipeline.core.rows.lines import RawRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Row = str | Mapping[str, Any]

_PLAIN = frozenset({str, int, bool, type(None)})

PREFETCHED = 64  # rows of an async iterator that wait here, so that they can be taken in groups


def _plain_value(value: object) -> object:
    """What JSON can say in place of a number or an array of numpy, or a time of pandas. Raises TypeError, ValueError for anything else."""
    for method in ("tolist", "item", "isoformat"):
        if callable(convert := getattr(value, method, None)):
            plain = convert()
            if (problem := _problem_in(plain, _kind(value))) is not None:
                raise ValueError(problem)
            return plain
    raise TypeError(f"a {_kind(value)} is nothing that JSON can hold")


_encode = msgspec.json.Encoder(enc_hook=_plain_value).encode


class RowsFromPython:
    """A `Source` of an iterator of the caller's.

    broken: the exception that the iterator raised. The rows before it count as all there are; the reader of the outcomes raises
    it after theirs.
    """

    name = "rows"
    can_be_reopened = False
    size: int | None = None
    bytes_read = 0

    def __init__(self, rows: Iterator[Row], length: int | None = None) -> None:
        self._rows = rows
        self.length = length
        self.broken: Exception | None = None

    def take(self, most: int) -> list[RawRow]:
        """The next rows; none where there are no more."""
        taken: list[RawRow] = []
        while len(taken) < most and self.broken is None:
            try:
                taken.append(raw_row(next(self._rows)))
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001  the caller's own; it is given back as it is
                self.broken = error
        return taken

    def text_before(self, line: int, offset: int) -> None:
        """See `Source`. There is no text."""
        del line, offset

    def close(self) -> None:
        """Nothing was opened."""


class RowsArriving:
    """A `Source` of an async iterator. `feed` runs beside whoever takes the rows, and `arrive` waits for some of them."""

    name = "rows"
    can_be_reopened = False
    size: int | None = None
    length: int | None = None
    bytes_read = 0

    def __init__(self, rows: AsyncIterator[Row]) -> None:
        self._rows = rows
        self._send, self._receive = trio.open_memory_channel[RawRow](PREFETCHED)
        self._arrived: list[RawRow] = []
        self.broken: Exception | None = None

    async def feed(self) -> None:
        """Take the iterator's rows until it ends. Cancellation: a row that was not taken yet is lost."""
        with self._send:
            try:
                async for row in self._rows:
                    await self._send.send(raw_row(row))
            except trio.BrokenResourceError:
                pass
            except Exception as error:  # noqa: BLE001  the caller's own; it is given back as it is
                self.broken = error

    async def arrive(self, most: int) -> None:
        """Wait for a row, so that it and those that are there with it can be taken; there is none at the end."""
        try:
            self._arrived.append(await self._receive.receive())
            while len(self._arrived) < most:
                self._arrived.append(self._receive.receive_nowait())
        except (trio.EndOfChannel, trio.WouldBlock):
            pass

    def take(self, most: int) -> list[RawRow]:
        """The rows that have arrived."""
        del most
        taken, self._arrived = self._arrived, []
        return taken

    def text_before(self, line: int, offset: int) -> None:
        """See `Source`. There is no text."""
        del line, offset

    def close(self) -> None:
        """Nothing was opened."""


def raw_row(row: object) -> RawRow:
    """A row as a file would give it."""
    fields = {"prompt": row} if isinstance(row, str) else row
    try:
        problem = None if isinstance(fields, Mapping) else f"must be text or a mapping, got {_kind(fields)}"
        if problem is None and not _is_plain(fields):
            problem = _problem_in(fields, "")
        if problem is None:
            return RawRow(line=0, offset=0, data=_encode(fields))
    except RecursionError:
        problem = "is nested too deeply"
    except (TypeError, ValueError) as error:
        problem = f"the row cannot be written as JSON: {error}"
    return RawRow(line=0, offset=0, data=None, problem=problem)


def _is_plain(value: object) -> bool:
    """Whether a value is surely what JSON can say: 1 µs for a whole request, where looking for the problem takes 6."""
    kind = type(value)
    if kind is dict:
        items = value.values()  # type: ignore[attr-defined]  # it is a dict
    elif kind is list or kind is tuple:
        items = value
    else:
        return kind in _PLAIN or (kind is float and math.isfinite(value))  # type: ignore[arg-type]  # it is a float
    for item in items:  # noqa: SIM110  a generator takes twice as long
        if type(item) not in _PLAIN and not _is_plain(item):
            return False
    return True


def _problem_in(value: object, place: str) -> str | None:
    """What of a value JSON cannot say, or None."""
    if type(value) is str or value is None:
        return None
    if isinstance(value, Mapping):
        return next(filter(None, (_problem_in(item, f"{place}.{name}" if place else str(name)) for name, item in value.items())), None)
    if isinstance(value, list | tuple):
        return next(filter(None, (_problem_in(item, f"{place}[{index}]") for index, item in enumerate(value))), None)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"field {place!r} holds {_kind(value)}; decode it to text first"
    if isinstance(value, set | frozenset):
        return f"field {place!r} holds a set, which has no order; make it a list"
    if isinstance(value, float) and not math.isfinite(value):
        return f"field {place!r} holds {value}, which JSON cannot write; use None or a number"
    return None


def _kind(value: object) -> str:
    return type(value).__name__
