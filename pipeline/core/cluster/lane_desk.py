"""One lane of a run, as the coordinator knows it: who holds which permits, how many may be in flight, and what was found out.

What one holder finds out, all are told:

- a pause: the longest holds for everybody.
- an outage: the others hold the lane too, unless it has just answered them. Whoever found it first probes it for all; if that one
  ends, the next does.
- a limit that lets nothing in for a while: likewise.
- what the provider announces of its limits, each hears for itself. It is for all together, so each uses the same part of it as
  the others who send.
- a lane that is out of use (nothing left in the account): it is so for everybody.
- rows in a row that got the same permanent answer, or whose key was refused: they are added up (`alike`), over the shards that have ended
  too, and the run stops after as many as one process would.
- that the lane has worked: a key or a server that has worked for one is judged by that in every flow that begins later.
- a pace that was found. Each holder finds what the provider allows beside the others, so what the provider allows in all is the
  sum. When a holder joins or leaves, the sum is shared out anew, and nobody has to search again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from pipeline.core.cluster.alike import Alike
from pipeline.core.cluster.slots import Slots
from pipeline.core.cluster.talk import LaneAnswer
from pipeline.core.pacing.permits import Coordinator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.cluster.talk import LaneNews, LaneReport, SharedLane
    from pipeline.core.pacing.findings import Learned
    from pipeline.core.pacing.permits import Permits

PAUSE_SECONDS = 0.05  # a pause that is longer than the known one by less is the same one, told twice
ANNOUNCED = "announced"  # every holder hears it from the provider itself
CHANGED = 0.1  # of a part of what is announced: less is not worth a message


class _Heard(Struct):
    """What a holder knows from an answer. pause: clock until which it does. The rest as in `LaneAnswer`."""

    pause: float = 0.0
    held: str = ""
    shut: bool = False
    out: str = ""
    share: float = 1.0
    in_doubt: bool = True
    key_in_doubt: bool = False
    key_refused: bool = False
    worked: bool = False


class LaneDesk(Struct):
    """One lane.

    paused_until: clock. held: by holder, why it holds the lane, in the order in which they found that. shut: holders for whom a limit is
    shut, in the same order. out: why nobody uses it any more. worked: it has given a result at least once.

    found: what each holder has found of the provider's limits. all_found: the same of all together, kept while nobody holds the lane.
    shared: holders that are still to be told their part of that.
    """

    permits: Coordinator
    slots: Slots
    alike: Alike
    paused_until: float = 0.0
    held: dict[str, str] = field(default_factory=dict)
    shut: dict[str, None] = field(default_factory=dict)
    out: str = ""
    worked: bool = False
    found: dict[str, Learned] = field(default_factory=dict)
    all_found: Learned | None = None
    shared: set[str] = field(default_factory=set)
    heard: dict[str, _Heard] = field(default_factory=dict)

    @classmethod
    def of(cls, lane: SharedLane) -> LaneDesk:
        """A lane of which nobody holds anything yet."""
        return cls(Coordinator.of(lane.limits), Slots(lane.slots), Alike(lane.stop_after))

    @property
    def names(self) -> list[str]:
        """Of those who hold it."""
        return list(self.permits.holders)

    def note(self, name: str, report: LaneReport, now: float, *, overtaken: bool) -> None:
        """Take a holder's report. overtaken: see `Coordinator.note`. Raises GivenUpError."""
        joins = name not in self.permits.holders
        self.permits.note(name, report.demand, now, overtaken=overtaken and not joins)
        if overtaken and not joins:
            return
        self.slots.note(name, report.slots, report.in_flight)
        if joins:
            self.heard[name] = _Heard()
            self._share_anew()
        self._hear(name, report.news, now)

    def answer(self, name: str, now: float) -> LaneAnswer:
        """What a holder is told now."""
        held, shut, share, in_doubt = self._held_for(name), self._shut_for(name), self._share_of(name), self._in_doubt(name)
        key_in_doubt, key_refused = self.alike.is_key_in_doubt(name), self.alike.is_key_refused
        self.heard[name] = _Heard(self.paused_until, held, shut, self.out, share, in_doubt, key_in_doubt, key_refused, self.worked)
        return LaneAnswer(
            self.permits.answer(name, now),
            self.slots.answer(name),
            pause=max(0.0, self.paused_until - now),
            held=held,
            shut=shut,
            out=self.out,
            learned=self._part_of(name),
            share=share,
            alike=self.alike.beside(name),
            in_doubt=in_doubt,
            key_in_doubt=key_in_doubt,
            key_refused=key_refused,
            worked=self.worked,
        )

    def has_news(self, name: str, now: float) -> bool:
        """Whether a holder should be answered at once."""
        if name not in self.permits.holders:
            return False
        heard = self.heard[name]
        return (
            self.paused_until > max(now, heard.pause + PAUSE_SECONDS)
            or self.out != heard.out
            or self._held_for(name) != heard.held
            or self._shut_for(name) != heard.shut
            or self._in_doubt(name) != heard.in_doubt
            or self.alike.is_key_in_doubt(name) != heard.key_in_doubt
            or self.alike.is_key_refused != heard.key_refused
            or self.worked != heard.worked
            or abs(self._share_of(name) - heard.share) > CHANGED * heard.share
            or self.permits.has_news(name, now)
            or self.slots.has_news(name)
            or (name in self.shared and self.all_found is not None)
        )

    def leave(self, name: str, back: Sequence[Permits], now: float, last: LaneNews | None) -> None:
        """A holder has ended in good order, and gives all its permits back. last: as in `Poll`; None if it goes on under another name."""
        if last is not None and name in self.permits.holders:
            self._add_results(name, last)
            self.alike.end(name)
        self.permits.leave(name, back, now)
        self._forget(name)

    def give_up(self, name: str, now: float, hold: float) -> None:
        """A holder is dead, or was silent for too long. hold: seconds for which it may still send."""
        self.permits.give_up(name, now, hold)
        self._forget(name)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _hear(self, name: str, news: LaneNews, now: float) -> None:
        if news.pause > 0 and now + news.pause > self.paused_until + PAUSE_SECONDS:
            self.paused_until = now + news.pause
        self.out = self.out or news.out
        self._add_results(name, news)
        if news.held:
            self.held[name] = news.held
        else:
            self.held.pop(name, None)
        if news.shut:
            self.shut[name] = None
        else:
            self.shut.pop(name, None)
        if news.learned is not None and news.learned.kind != ANNOUNCED and name not in self.shared:
            self.found[name] = news.learned
            self._add_up()

    def _add_results(self, name: str, news: LaneNews) -> None:
        self.alike.hear(name, news.alike, news.succeeded)
        self.worked = self.worked or news.worked

    def _held_for(self, name: str) -> str:
        """Why a holder is to hold the lane while another one probes it; "" where it does itself, or nobody holds it."""
        first = next(iter(self.held), name)
        return "" if first == name else self.held[first]

    def _shut_for(self, name: str) -> bool:
        return next(iter(self.shut), name) != name

    def _in_doubt(self, name: str) -> bool:
        return not self.alike.are_enough or any(used.in_flight for each, used in self.slots.holders.items() if each != name)

    def _share_of(self, name: str) -> float:
        """A holder's part of what is announced: as much as each of the others who send as much as they may."""
        busy = {each for each, holder in self.permits.holders.items() if holder.bound or self.slots.is_busy(each)}
        return 1.0 / len(busy | {name})

    def _forget(self, name: str) -> None:
        self.slots.forget(name)
        self.alike.forget(name)
        self.held.pop(name, None)
        self.shut.pop(name, None)
        self.heard.pop(name, None)
        self.found.pop(name, None)
        self.shared.discard(name)
        self._share_anew()

    def _add_up(self) -> None:
        """What the provider allows, if every holder has found its part; a part that is not known is as large as the others on average."""
        known = [found.requests_per_minute for found in self.found.values() if found.requests_per_minute is not None]
        caps = [found.in_flight for found in self.found.values() if found.in_flight is not None]
        count, newest = len(self.permits.holders), next(reversed(self.found.values()))
        self.all_found = msgspec.structs.replace(
            newest,
            requests_per_minute=sum(known) / len(known) * count if known else None,
            in_flight=round(sum(caps) / len(caps) * count) if caps else None,
        )

    def _share_anew(self) -> None:
        self.shared = set(self.permits.holders) if self.all_found is not None else set()

    def _part_of(self, name: str) -> Learned | None:
        if name not in self.shared or self.all_found is None:
            return None
        self.shared.discard(name)
        found, count = self.all_found, len(self.permits.holders)
        part = msgspec.structs.replace(
            found,
            requests_per_minute=None if found.requests_per_minute is None else found.requests_per_minute / count,
            in_flight=None if found.in_flight is None else max(1, found.in_flight // count),
        )
        self.found[name] = part
        return part
