"""Keeps a run's history for its report, as an observer, and gives it to the journal from time to time."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING

import msgspec

from pipeline.core.bookkeeping.history import History, flaw_in
from pipeline.events import LaneBack, LaneOut, PaceChanged, RunBegan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.events import AttemptRecord, RunEvent
    from pipeline.messages import Report

EVERY_SECONDS = 5.0  # between two times that the history is stored; kill -9 loses so much of the plots, and nothing else
MOST_BYTES = 64 << 20  # of a history: 200 times the longest

_encode = msgspec.msgpack.Encoder().encode


class KeptHistory:
    """A `GroupObserver`. `stored` is called by whoever commits, in another thread."""

    def __init__(self) -> None:
        self.history = History()
        self._due = 0.0
        self._changed = False

    def left(self, lane: str, count: int, at: float, held_by: str, tokens: int) -> None:
        """Count attempts that leave."""
        self.history.left(lane, count, at, held_by, tokens)
        self._changed = True

    def answered(self, reports: Sequence[Report], costs: Sequence[float | None] | None) -> None:
        """Count attempts that were answered."""
        self.history.answered(reports, costs)
        self._changed = True

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Count attempts that brought no result."""
        self.history.note(records)
        self._changed = True

    def events(self, events: Sequence[RunEvent]) -> None:
        """Note when the run began, the paces, and when lanes were out."""
        history = self.history
        for event in events:
            if isinstance(event, RunBegan):
                history.began, history.utc = event.at, event.utc
            elif isinstance(event, PaceChanged) and event.per_second is not None:
                history.bucket(event.at - history.began).lane(event.lane).pace = event.per_second
            elif isinstance(event, LaneOut):
                history.mark(event.at - history.began, event.lane)
            elif isinstance(event, LaneBack):
                history.unmark(event.at - history.began, event.lane)

    def stored(self, last: bool = False) -> tuple[int, bytes] | None:  # noqa: FBT001, FBT002  as a journal calls it
        """The session and its history, if it is time to store them. last: it is."""
        now = time.monotonic()
        if not self._changed or (now < self._due and not last):
            return None
        self._due, self._changed = now + EVERY_SECONDS, False
        return round(self.history.utc * 1000), zlib.compress(_encode(self.history), 1)


def read_history(data: bytes) -> History:
    """A history as it was stored. Raises ValueError for what is none."""
    try:
        unpacking = zlib.decompressobj()
        packed = unpacking.decompress(data, MOST_BYTES)
        if not unpacking.eof:
            raise ValueError(f"not a history: cut short, or of more than {MOST_BYTES:,} bytes")
        history = msgspec.msgpack.decode(packed, type=History)
    except (zlib.error, msgspec.DecodeError, MemoryError, RecursionError) as error:  # a length in it may be any number
        raise ValueError(f"not a history: {str(error) or 'a length in it is beyond all memory'}") from error
    flaw = flaw_in(history)
    if flaw is not None:
        raise ValueError(f"not a history: {flaw}")
    return history
