r"""Joins the halves of a character that a server cut in two, between one event of a stream and the next.

A relay that cuts texts by UTF-16 units sends `"a\ud83d"` and then `"\ude00b"`. Neither is valid JSON for a strict reader. The second half
is moved to the first, so that the text is whole where it is joined. A half without the other stays, and becomes U+FFFD later.
"""

from __future__ import annotations

from pipeline.patterns import later

_EVEN = rb"(?<!\\)(?:\\\\)*"  # so many backslashes before it that it is no part of an escaped one
_first_half = later(_EVEN + rb'\\u[dD][89abAB][0-9a-fA-F]{2}(?=")')
_second_half = later(_EVEN + rb'"(\\u[dD][c-fC-F][0-9a-fA-F]{2})')
NEAR = 4  # events behind the first half in which the second is looked for: pings and other choices may stand between them
HALVES = (b"\\ud", b"\\uD")


class HalvesJoined:
    """Events of one stream that a strict reader refuses. One that ends a text with a first half waits for the events after it."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def before(self, events: list[bytes]) -> list[bytes]:
        """Events, and those that have waited before them."""
        if not self._waiting or not events:
            return events
        return [*self.end(), *events]

    def joined(self, events: list[bytes]) -> list[bytes]:
        """Events with the halves in them joined; without the last ones if a text in them may go on in the next event."""
        events = list(events)
        for at, event in enumerate(events):
            if not any(half in event for half in HALVES) or (first := _first_half.search(event)) is None:
                continue
            near = [
                (place, found)
                for place, next_ in enumerate(events[at + 1 : at + 1 + NEAR], at + 1)
                if (found := _second_half.search(next_))
            ]
            if near:
                place, second = near[0]
                events[at] = event[: first.end()] + second[1] + event[first.end() :]
                events[place] = events[place][: second.start(1)] + events[place][second.end(1) :]
            elif len(events) <= at + NEAR:
                self._waiting = events[at:]
                return events[:at]
        return events

    def end(self) -> list[bytes]:
        """What has waited, and waits no longer."""
        waiting, self._waiting = self._waiting, []
        return waiting
