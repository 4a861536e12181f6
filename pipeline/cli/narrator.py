"""Logs what happens in a run, for `-v`: why attempts failed, pauses, changes of pace, lanes. It makes sentences of events.

A provider in trouble can fail thousands of attempts a second. So the first failure of each kind is logged at once, and the others are
counted and logged together with the newest of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.output.words import amount, duration, many, title
from pipeline.events import AttemptResult, LaneBack, LaneOut, PaceChanged, Paused, RunStopping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.events import AttemptRecord, RunEvent

TOGETHER_SECONDS = 10.0  # between two lines on one kind of failure, on pauses or on a pace
LONG_SECONDS = 5.0  # a pause that lasts so much longer than what was told of is told at once
NOTABLE = 0.2  # a pace that has changed by so much of itself is told at once


class _Heap(Struct):
    """Failures of one kind since the last line about them."""

    since: float
    count: int = 0
    newest: AttemptRecord | None = None


class _Pauses(Struct):
    """What was told of a lane's pauses, and what was not. until: the end of the longest that was told."""

    since: float
    until: float
    count: int = 0
    longest: float = 0.0


class Narrator:
    """An observer that prints what happens."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._heaps: dict[tuple[str, str], _Heap] = {}
        self._pauses: dict[str, _Pauses] = {}
        self._paces: dict[str, PaceChanged] = {}  # the last one told of each lane

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Say what failed."""
        for record in records:
            if record.result is not AttemptResult.ANSWERED:
                self._failed(record)
                self._tell_heaps(record.ended)

    def events(self, events: Sequence[RunEvent]) -> None:
        """Say what happened."""
        for event in events:
            if isinstance(event, Paused):
                self._paused(event)
            elif isinstance(event, PaceChanged):
                self._pace_changed(event)
            elif isinstance(event, LaneOut | LaneBack | RunStopping):
                self._say(_sentence(event))
            self._tell_heaps(event.at)

    def close(self) -> None:
        """Say what was counted and not told yet."""
        for key, heap in self._heaps.items():
            self._tell(key, heap, heap.since)
        for lane, pauses in self._pauses.items():
            self._tell_pauses(lane, pauses, pauses.since)

    def _failed(self, record: AttemptRecord) -> None:
        key = (record.lane, record.code)
        heap = self._heaps.get(key)
        if heap is None:
            self._heaps[key] = _Heap(record.ended)
            self._say(_lane(record.lane) + _of_row(record))
        else:
            heap.count += 1
            heap.newest = record

    def _paused(self, event: Paused) -> None:
        pauses, until = self._pauses.get(event.lane), event.at + event.seconds
        if pauses is None or (until > pauses.until + LONG_SECONDS and event.seconds > LONG_SECONDS):
            if pauses is not None:
                self._tell_pauses(event.lane, pauses, event.at)
            self._say(_sentence(event))
            self._pauses[event.lane] = _Pauses(event.at, until)
        elif until > pauses.until:  # an end that was told already is told again by every answer that was under way
            pauses.count += 1
            pauses.longest = max(pauses.longest, event.seconds)

    def _pace_changed(self, event: PaceChanged) -> None:
        told = self._paces.get(event.lane)
        if told is not None and told.per_second is not None and event.per_second is not None and told.why == event.why:
            slight = abs(event.per_second - told.per_second) <= NOTABLE * told.per_second
            if slight and event.at < told.at + TOGETHER_SECONDS:
                return
        self._paces[event.lane] = event
        self._say(_sentence(event))

    def _tell_heaps(self, now: float) -> None:
        for lane, pauses in self._pauses.items():
            if now - pauses.since >= TOGETHER_SECONDS:
                self._tell_pauses(lane, pauses, now)
        for key, heap in self._heaps.items():
            if now - heap.since >= TOGETHER_SECONDS:
                self._tell(key, heap, now)

    def _tell_pauses(self, lane: str, pauses: _Pauses, now: float) -> None:
        if pauses.count:
            more = "1 more pause" if pauses.count == 1 else f"{pauses.count:,} more pauses"
            self._say(f"{_lane(lane)}{more} that the provider asked for, of {duration(pauses.longest)} at most")
        pauses.since, pauses.count, pauses.longest = now, 0, 0.0

    def _tell(self, key: tuple[str, str], heap: _Heap, now: float) -> None:
        lane, code = key
        if heap.newest is not None:
            times = f"{heap.count:,} × {title(code)}" if heap.count > 1 else f"1 more {title(code)}"
            self._say(f"{_lane(lane)}{times}; the newest: {_of_row(heap.newest)}")
        heap.since, heap.count, heap.newest = now, 0, None


def _of_row(record: AttemptRecord) -> str:
    if record.retry_in is not None:
        what = f"tried again in {duration(record.retry_in)}"
    else:
        what = "its last attempt" if record.result is AttemptResult.FAILED else "whose fault it is will show"
    message = " ".join(record.message.split())
    return f"row {record.index + 1:,} ({record.custom_id}), attempt {record.attempt}, {what}: {message}"


def _sentence(event: Paused | PaceChanged | LaneOut | LaneBack | RunStopping) -> str:
    if isinstance(event, RunStopping):
        return f"stopping: {event.reason}; {many(event.in_flight, 'request')} in flight may still finish"
    lane = _lane(event.lane)
    if isinstance(event, Paused):
        return f"{lane}pause: nothing leaves for {duration(event.seconds)}, as the provider asked: {' '.join(event.message.split())}"
    if isinstance(event, PaceChanged):
        rate = None if event.per_second is None else amount(event.per_second)
        pace = "no bound" if rate is None else f"{rate} {'request' if rate == '1' else 'requests'} a second"
        return f"{lane}pace: {pace}, {event.why}"
    if isinstance(event, LaneOut):
        then = "" if event.next_try_in is None else f"; next try in {duration(event.next_try_in)}"
        return f"{lane}no rows are sent: {event.reason}{then}"
    return f"{lane}rows are sent again, after {duration(event.out_seconds)}"


def _lane(name: str) -> str:
    return f"lane {name}: " if name else ""
