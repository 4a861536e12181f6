"""What all workers together have found of a provider's limits, and each one's part of it. No cluster, no clock: `now` is an argument.

Each worker finds what the provider allows beside the others who send, so what it allows in all is the sum over those who send. A worker
that has nothing to send, or has ended, leaves its part to the others; one that comes, or has something to send again, gets one. Then
all of them are told a part, and nobody has to search anew. A worker is missed only after a moment, since between two shards it may
have nothing to send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

if TYPE_CHECKING:
    from pipeline.core.pacing.findings import Learned

ANNOUNCED = "announced"  # every worker hears it from the provider itself
AWAY_SECONDS = 1.0  # without anything to send, before others get a worker's part
AWAY_REQUESTS = 3.0  # so many at its pace, at least: one that sends few a minute is seen to wait as rarely


class Found(Struct):
    """One lane's. together: in all, None while nobody has found anything; it is kept while nobody sends.

    sending: since when each worker that counts has had nothing to send, None while it has. by: what each has found, or was given.
    shared: how often all of them were given a part.
    """

    together: Learned | None = None
    sending: dict[str, float | None] = field(default_factory=dict)
    by: dict[str, Learned] = field(default_factory=dict)
    shared: int = 0

    def note(self, worker: str, now: float, *, sends: bool) -> None:
        """A worker has something to send, or has not. Nothing else is known of one that has just come, so it is said that it has."""
        if sends:
            if worker not in self.sending:
                self.sending[worker] = None
                self._share_anew()
            self.sending[worker] = None
        elif self.sending.get(worker, now) is None:
            self.sending[worker] = now
        self.look(now)

    def look(self, now: float) -> None:
        """Look at the clock: who has had nothing to send for long enough leaves its part to the others, if there are any."""
        away = [each for each, since in self.sending.items() if since is not None and now - since > self._patience(each)]
        if away and len(away) < len(self.sending):
            for each in away:
                self._forget(each)
            self._share_anew()

    def hear(self, worker: str, learned: Learned | None) -> None:
        """Take what a worker has found beside the others, since it was told its part."""
        if learned is not None and learned.kind != ANNOUNCED and worker in self.sending:
            self.by[worker] = learned
            self._add_up(learned)

    def part_of(self, worker: str) -> Learned | None:
        """A worker's part, None if it is to go on with what it has."""
        return self.by.get(worker)

    def _patience(self, worker: str) -> float:
        found = self.by.get(worker)
        rate = None if found is None else found.requests_per_minute
        return AWAY_SECONDS if rate is None else max(AWAY_SECONDS, AWAY_REQUESTS * 60.0 / rate)

    def _forget(self, worker: str) -> None:
        del self.sending[worker]
        self.by.pop(worker, None)

    def _share_anew(self) -> None:
        self.shared += 1
        found, count = self.together, len(self.sending)
        if found is not None:
            part = replace(
                found,
                requests_per_minute=None if found.requests_per_minute is None else found.requests_per_minute / count,
                in_flight=None if found.in_flight is None else max(1, found.in_flight // count),
            )
            self.by = dict.fromkeys(self.sending, part)

    def _add_up(self, newest: Learned) -> None:
        """What the provider allows, if everyone has found its part; a part that is not known is as large as the others on average."""
        known = [found.requests_per_minute for found in self.by.values() if found.requests_per_minute is not None]
        caps = [found.in_flight for found in self.by.values() if found.in_flight is not None]
        count = len(self.sending)
        self.together = replace(
            newest,
            requests_per_minute=sum(known) / len(known) * count if known else None,
            in_flight=round(sum(caps) / len(caps) * count) if caps else None,
        )
