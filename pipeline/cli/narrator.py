"""Tells what happens in a run, for `-v`: why attempts failed, pauses, changes of pace, lanes. Sentences out of events.

A provider in trouble fails thousands of attempts a second, so of each kind the first is told at once, and the others are counted
and told together with the newest of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.cli.words import amount, duration, title
from pipeline.events import AttemptFailed, LaneBack, LaneOut, PaceChanged, Paused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.events import RunEvent

TOGETHER_SECONDS = 10.0  # between two lines on one kind of failure


class _Heap(Struct):
    """Failures of one kind since the last line about them."""

    since: float
    count: int = 0
    newest: AttemptFailed | None = None


class Narrator:
    """An observer that says what it is told."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._heaps: dict[tuple[str, str], _Heap] = {}

    def events(self, events: Sequence[RunEvent]) -> None:
        """Say what happened."""
        for event in events:
            if isinstance(event, AttemptFailed):
                self._failed(event)
            else:
                self._say(_sentence(event))
            self._tell_heaps(event.at)

    def close(self) -> None:
        """Say what was counted and not told yet."""
        for key, heap in self._heaps.items():
            self._tell(key, heap, heap.since)

    def _failed(self, event: AttemptFailed) -> None:
        key = (event.lane, event.code)
        heap = self._heaps.get(key)
        if heap is None:
            self._heaps[key] = _Heap(event.at)
            self._say(_lane(event.lane) + _of_row(event))
        else:
            heap.count += 1
            heap.newest = event

    def _tell_heaps(self, now: float) -> None:
        for key, heap in self._heaps.items():
            if now - heap.since >= TOGETHER_SECONDS:
                self._tell(key, heap, now)

    def _tell(self, key: tuple[str, str], heap: _Heap, now: float) -> None:
        lane, code = key
        if heap.newest is not None:
            times = f"{heap.count:,} × {title(code)}" if heap.count > 1 else f"1 more {title(code)}"
            self._say(f"{_lane(lane)}{times}; the newest: {_of_row(heap.newest)}")
        heap.since, heap.count, heap.newest = now, 0, None


def _of_row(event: AttemptFailed) -> str:
    what = "its last attempt" if event.retry_in is None else f"tried again in {duration(event.retry_in)}"
    message = " ".join(event.message.split())
    return f"row {event.index + 1:,} ({event.custom_id}), attempt {event.attempt}, {what}: {message}"


def _sentence(event: Paused | PaceChanged | LaneOut | LaneBack) -> str:
    lane = _lane(event.lane)
    if isinstance(event, Paused):
        return f"{lane}pause: nothing leaves for {duration(event.seconds)}, as the provider asked: {' '.join(event.message.split())}"
    if isinstance(event, PaceChanged):
        pace = "no bound" if event.per_second is None else f"{amount(event.per_second)} requests a second"
        return f"{lane}pace: {pace}, {event.why}"
    if isinstance(event, LaneOut):
        then = "" if event.next_try_in is None else f"; next try in {duration(event.next_try_in)}"
        return f"{lane}no rows are sent: {event.reason}{then}"
    return f"{lane}rows are sent again, after {duration(event.out_seconds)}"


def _lane(name: str) -> str:
    return f"lane {name}: " if name else ""
