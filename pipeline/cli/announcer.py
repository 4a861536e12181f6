"""Tells at once what happens to lanes and why a run stops, for logs and programs that get no lines from `-v`.

What a single provider is waited for, and why a run was stopped, is told to people anyway; a program gets it as an object.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.core.output.words import duration
from pipeline.events import LaneBack, LaneOut, RunStopping

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.cli.frame import Talk
    from pipeline.events import AttemptRecord, RunEvent

SHORT_SECONDS = 1.0  # a lane that took no rows for less is not told of: it was only tried


class Announcer:
    """An observer that says what becomes of lanes. terminal: asked at each line whether it takes objects."""

    def __init__(self, terminal: Talk) -> None:
        self._terminal = terminal

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Say nothing: failures are told by kind, and by `-v`."""

    def events(self, events: Sequence[RunEvent]) -> None:
        """Say what happened."""
        tell = objects if self._terminal.takes_objects else sentences
        for event in events:
            for line in tell(event):
                self._terminal.say(line)


def sentences(event: RunEvent) -> Iterator[str]:
    """The line for people, if they are not told anyway."""
    if isinstance(event, LaneOut) and event.lane:
        reason = " ".join(event.reason.removeprefix(f"{event.lane}: ").split())
        if event.next_try_in is None:
            yield f"lane {event.lane}: not used any more ({reason})"
        else:
            yield f"lane {event.lane}: out of reach ({reason}); its rows go to others; next try in {duration(event.next_try_in)}"
    elif isinstance(event, LaneBack) and event.out_seconds >= SHORT_SECONDS:
        yield f"{f'lane {event.lane}' if event.lane else 'the provider'}: back after {duration(event.out_seconds)}"


def objects(event: RunEvent) -> Iterator[str]:
    """The line for programs."""
    if isinstance(event, LaneOut):
        yield as_event("lane", {"lane": event.lane, "state": "out", "reason": event.reason, "next_try_seconds": event.next_try_in})
    elif isinstance(event, LaneBack):
        yield as_event("lane", {"lane": event.lane, "state": "ok", "out_seconds": round(event.out_seconds, 3)})
    elif isinstance(event, RunStopping):
        yield as_event("stopping", {"reason": event.reason, "in_flight": event.in_flight})


def as_event(name: str, value: dict[str, object]) -> str:
    """One event as a line of JSON."""
    return json.dumps({"event": name, **value}, separators=(",", ":"))
