r"""Joins the halves of a character that a server cut in two, between one event of a stream and the next.

A relay that cuts texts by UTF-16 units sends `"a\ud83d"` and then `"\ude00b"`. Neither is valid JSON for a strict reader. The second half
is moved to the first, so that the text is whole where it is joined. A half without the other stays, and becomes U+FFFD later.
"""

from __future__ import annotations

from pipeline.patterns import later

_EVEN = rb"(?<!\\)(?:\\\\)*"  # so many backslashes before it that it is no part of an escaped one
_first_half = later(_EVEN + rb'\\u[dD][89abAB][0-9a-fA-F]{2}(?=")')
_second_half = later(_EVEN + rb'"(\\u[dD][c-fC-F][0-9a-fA-F]{2})')
HALVES = (b"\\ud", b"\\uD")


class HalvesJoined:
    """Events of one stream that a strict reader refuses. One that ends a text with a first half waits for the event after it."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def before(self, events: list[bytes]) -> list[bytes]:
        """Events, and the one that has waited before them."""
        if not self._waiting or not events:
            return events
        return [*self.end(), *events]

    def joined(self, events: list[bytes]) -> list[bytes]:
        """Events with the halves in them joined; without the last one if its text may go on in the next event."""
        events = list(events)
        for at, event in enumerate(events):
            if not any(half in event for half in HALVES) or (first := _first_half.search(event)) is None:
                continue
            if at + 1 == len(events):
                self._waiting = [events.pop()]
                break
            second = _second_half.search(events[at + 1])
            if second is not None:
                events[at] = event[: first.end()] + second[1] + event[first.end() :]
                events[at + 1] = events[at + 1][: second.start(1)] + events[at + 1][second.end(1) :]
        return events

    def end(self) -> list[bytes]:
        """What has waited, and waits no longer."""
        waiting, self._waiting = self._waiting, []
        return waiting
