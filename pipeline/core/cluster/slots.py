"""Attempts in flight of one lane, shared out among its holders so that there are never more than the run allows. No clock.

A number that is lowered counts only when the holder says that it has so few: until then attempts may still be in flight, or the
message may still be on its way. A number is raised only by what is free. So the sum never exceeds the limit.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct, field

from pipeline.core.pacing.permits import share_out

DEAD_BAND = 0.1  # of a share: a smaller change is not worth a message
BUSY = 0.9  # of its slots: a holder that uses so many wants all that it can get
SPARE = 1.5  # of what it uses otherwise


class _Used(Struct):
    """One holder. told: what it was told last. most: what it may have in flight by now, whatever it has heard."""

    told: int = 0
    most: int = 0
    in_flight: int = 0
    heard: int = 0  # slots that it has by its last report


class Slots(Struct):
    """Who may have how many in flight, of `limit` in all."""

    limit: int
    holders: dict[str, _Used] = field(default_factory=dict)

    def note(self, name: str, slots: int, in_flight: int) -> None:
        """Take a holder's report: what it allows itself, and what is in flight."""
        used = self.holders.setdefault(name, _Used())
        used.heard, used.in_flight = slots, in_flight
        used.most = max(used.told, in_flight, slots if slots != used.told else 0)

    def forget(self, name: str) -> None:
        """A holder has ended, and nothing of it is in flight."""
        self.holders.pop(name, None)

    def answer(self, name: str) -> int:
        """How many a holder may have in flight from now on."""
        used = self.holders[name]
        if self._worth(used, self._share(name)):
            used.told = min(self._share(name), used.most + self._free)
            used.most = max(used.most, used.told)
        return used.told

    def has_news(self, name: str) -> bool:
        """Whether an answer would let a holder have more in flight."""
        used, share = self.holders[name], self._share(name)
        return share > used.told and self._free > 0 and self._worth(used, share)

    def is_busy(self, name: str) -> bool:
        """Whether a holder has about as many in flight as it may."""
        used = self.holders.get(name)
        return used is not None and used.in_flight > 0 and used.in_flight >= BUSY * used.heard

    @property
    def _free(self) -> int:
        return max(0, self.limit - sum(used.most for used in self.holders.values()))

    def _share(self, name: str) -> int:
        wants = {each: inf if used.in_flight >= BUSY * used.heard else SPARE * used.in_flight + 1.0 for each, used in self.holders.items()}
        return share_out(self.limit, wants)[name]

    @staticmethod
    def _worth(used: _Used, share: int) -> bool:
        return abs(share - used.told) > DEAD_BAND * share
