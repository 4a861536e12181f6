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
- a pace that was found: see `found`.

A holder is a flow. The flows of one worker learn the limits of a provider together, so what concerns those is asked of, and told to,
workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.core.cluster.alike import Alike
from pipeline.core.cluster.found import Found
from pipeline.core.cluster.slots import Slots
from pipeline.core.cluster.talk import LaneAnswer
from pipeline.core.pacing.permits import Coordinator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.cluster.talk import LaneNews, LaneReport, SharedLane
    from pipeline.core.pacing.permits import Permits

PAUSE_SECONDS = 0.05  # a pause that is longer than the known one by less is the same one, told twice
CHANGED = 0.1  # of a part of what is announced: less is not worth a message


def worker_of(name: str) -> str:
    """The worker of a holder (`Link`), or the holder itself where it names none."""
    return name.partition("/")[0]


class _Heard(Struct):
    """What a holder knows from an answer. pause: clock until which it does. shared: as in `Found`. The rest as in `LaneAnswer`."""

    pause: float = 0.0
    held: str = ""
    shut: bool = False
    out: str = ""
    share: float = 1.0
    in_doubt: bool = True
    key_in_doubt: bool = False
    key_refused: bool = False
    worked: bool = False
    shared: int = 0


class LaneDesk(Struct):
    """One lane.

    paused_until: clock. held: by holder, why it holds the lane, in the order in which they found that. shut: holders for whom a limit is
    shut, in the same order. out: why nobody uses it any more. worked: it has given a result at least once.

    found: of the provider's limits.
    """

    permits: Coordinator
    slots: Slots
    alike: Alike
    paused_until: float = 0.0
    held: dict[str, str] = field(default_factory=dict)
    shut: dict[str, None] = field(default_factory=dict)
    out: str = ""
    worked: bool = False
    found: Found = field(default_factory=Found)
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
            self.heard[name] = _Heard(shared=self.found.shared)  # its worker knows its part, or gets one now
            self.found.note(worker_of(name), now, sends=True)
        self._hear(name, report.news, now)

    def answer(self, name: str, now: float) -> LaneAnswer:
        """What a holder is told now."""
        held, shut, share, in_doubt = self._held_for(name), self._shut_for(name), self._share_of(name), self._in_doubt(name)
        key_in_doubt, key_refused = self.alike.is_key_in_doubt(name), self.alike.is_key_refused
        told, shared = self.heard[name].shared, self.found.shared
        self.heard[name] = _Heard(self.paused_until, held, shut, self.out, share, in_doubt, key_in_doubt, key_refused, self.worked, shared)
        return LaneAnswer(
            self.permits.answer(name, now),
            self.slots.answer(name),
            pause=max(0.0, self.paused_until - now),
            held=held,
            shut=shut,
            out=self.out,
            learned=None if told == shared else self.found.part_of(worker_of(name)),
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
        self.found.look(now)
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
            or (self.found.shared != heard.shared and self.found.part_of(worker_of(name)) is not None)
        )

    def leave(self, name: str, back: Sequence[Permits], now: float, last: LaneNews | None) -> None:
        """A holder has ended in good order, and gives all its permits back. last: as in `Poll`; None if it goes on under another name."""
        if last is not None and name in self.permits.holders:
            self._add_results(name, last)
            self.alike.end(name)
        self.permits.leave(name, back, now)
        self._forget(name, now)

    def give_up(self, name: str, now: float, hold: float) -> None:
        """A holder is dead, or was silent for too long. hold: seconds for which it may still send."""
        self.permits.give_up(name, now, hold)
        self._forget(name, now)

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
        self._note_sending(worker_of(name), now)
        if self.heard[name].shared == self.found.shared:
            self.found.hear(worker_of(name), news.learned)

    def _add_results(self, name: str, news: LaneNews) -> None:
        self.alike.hear(name, news.alike, news.succeeded)
        self.worked = self.worked or news.worked

    def _held_for(self, name: str) -> str:
        """Why a holder is to hold the lane while another one probes it; "" where it does itself, or nobody holds it."""
        first = next(iter(self.held), name)
        return "" if first == name else self.held[first]

    def _shut_for(self, name: str) -> bool:
        return worker_of(next(iter(self.shut), name)) != worker_of(name)

    def _in_doubt(self, name: str) -> bool:
        return not self.alike.are_enough or any(used.in_flight for each, used in self.slots.holders.items() if each != name)

    def _share_of(self, name: str) -> float:
        """A holder's part of what is announced: as much as each of the others who send as much as they may."""
        return 1.0 / len(self._busy() | {worker_of(name)})

    def _busy(self) -> set[str]:
        """Workers that send as much as they may."""
        return {worker_of(name) for name, holder in self.permits.holders.items() if holder.bound or self.slots.is_busy(name)}

    def _note_sending(self, worker: str, now: float) -> None:
        """Note whether a worker has something to send; while nothing may leave, that is not known, and stays as it was."""
        if worker in self._busy():
            self.found.note(worker, now, sends=True)
        elif not (self.held or self.shut or self.paused_until > now):
            self.found.note(worker, now, sends=False)

    def _forget(self, name: str, now: float) -> None:
        self.slots.forget(name)
        self.alike.forget(name)
        self.held.pop(name, None)
        self.shut.pop(name, None)
        self.heard.pop(name, None)
        if worker_of(name) not in map(worker_of, self.permits.holders):
            self.found.note(worker_of(name), now, sends=False)
