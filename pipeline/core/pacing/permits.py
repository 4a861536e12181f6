"""One limit for several processes: permits that change hands. No clock and no messages: `now` is an argument.

How it works. A limit of 300 a second is 300 permits, each of which may be used once in any second, whoever holds it. A
process sends with the permits that it holds; its sliding log remembers when each was used. A permit that changes hands takes
along in how many seconds it may be used again. So no clocks are compared, and a message that is late makes a permit later,
never earlier. A rate that changes hands would be spent twice: by the old holder just before and by the new one just after.

The coordinator owns the permits that nobody holds, counts who holds how many, and shares them out by what each holder
wants: all that it can get while it is held back, a quarter more than it uses otherwise. It alone counts, because a
holder's own figure is out of date while a grant is on its way.

A holder that died gives its permits back as it last reported them, and those that it did not report as used just now. Where
its process may still run, what it may use again until it must have stopped counts as used at that moment. A name that was given
up for dead is never answered again (`GivenUpError`): its process may still run and must notice.

The coordinator can be begun anew by another process (`kept`, `again`). Who holds which permit is not known then, but it need not
be: until when a permit is in use moves along with it, and only one that is free can be used again.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Permits = list[tuple[float, int]]  # (seconds until they may be used, how many); 0.0 is at once

SPARE = 1.25  # of what a holder uses while nothing holds it back: room to grow until its next report
AGES = 40  # steps of a period in which ages are reported
AGE_STEP = 1.01 / AGES  # of a period: an age that was reported may have ended so much earlier
DEAD_BAND = 0.02  # of a share: moving fewer permits than that is not worth a message


class GivenUpError(Exception):
    """This holder was given up for dead, and its permits were shared out again. It must send nothing more under this name."""


class Demand(Struct):
    """What a holder reports, with one element per limit in each list.

    back: permits that it gives back, as it was asked to. ages: what it holds and has used, rounded to later, for the case
    that it dies. bound: whether a limit holds it back. rates: what it uses, in the limit's unit per second.
    need: tokens of an attempt that waits and needs more than the whole share.
    """

    back: list[Permits] = field(default_factory=list)
    ages: list[Permits] = field(default_factory=list)
    bound: bool = True
    rates: list[float] = field(default_factory=list)
    need: int = 0


class Reply(Struct):
    """What the coordinator answers. grants: permits of each limit. release: how many of each are wanted back next time."""

    grants: list[Permits]
    release: list[int]


class Pool(Struct):
    """The permits of one limit that nobody holds. period: seconds for which a permit that was used cannot be used again."""

    amount: int
    period: float
    free: list[tuple[float, int]]  # (clock from which they may be used, how many)

    @property
    def size(self) -> int:
        """How many permits it holds."""
        return sum(count for _, count in self.free)

    def put(self, permits: Permits, now: float) -> None:
        """Take permits back."""
        self.free += [(now + max(0.0, wait), count) for wait, count in permits]

    def ready(self, now: float) -> bool:
        """Whether it has permits to give."""
        return any(at - now <= self.period for at, _ in self.free)

    def take(self, wanted: int, now: float) -> Permits:
        """Give at most so many, spread evenly over the times from which they may be used: a bunch would exceed any pace.

        Permits of a holder whose end is uncertain may be locked for longer than a period. They stay here until then.
        """
        self.free.sort()
        ready = [(at, count) for at, count in self.free if at - now <= self.period]
        total = sum(count for _, count in ready)
        wanted = max(0, min(wanted, total))
        taken: Permits = []
        kept = self.free[len(ready) :]
        passed = 0
        for at, count in ready:
            before = passed * wanted // total
            passed += count
            part = passed * wanted // total - before
            if part:
                taken.append((max(0.0, at - now), part))
            if count > part:
                kept.append((at, count - part))
        self.free = kept
        return taken


class Holder(Struct):
    """What the coordinator knows of one holder. held: permits of each limit. ages: (clock until which they are in use, how many).

    needs_since: clock since which a request that is larger than the share waits; the one that waits longest is served first.
    """

    held: list[int]
    seen: float
    ages: list[list[tuple[float, int]]]
    bound: bool = True
    rates: list[float] = field(default_factory=list)
    need: int = 0
    needs_since: float = 0.0


class Coordinator(Struct):
    """The permits of all limits of one key, and who holds how many. Plain data: it can be saved between two reports.

    by_tokens: whether each limit counts tokens, of which one attempt may need more than a share.
    """

    pools: list[Pool]
    by_tokens: list[bool]
    holders: dict[str, Holder] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, limits: Sequence[tuple[int, float, bool]]) -> Coordinator:
        """A coordinator to which all permits belong. limits: amount, seconds (with the margin of the log), by tokens."""
        return cls([Pool(amount, period, [(0.0, amount)]) for amount, period, _ in limits], [by_tokens for *_, by_tokens in limits])

    def report(self, name: str, demand: Demand, now: float) -> Reply:
        """Take a holder's report and answer it. A name that is new joins.

        Raises GivenUpError if the holder was given up for dead.
        """
        self.note(name, demand, now)
        return self.answer(name, now)

    def note(self, name: str, demand: Demand, now: float, *, overtaken: bool = False) -> None:
        """Take a holder's report; `answer` may follow later. Raises GivenUpError.

        overtaken: a later report has come before. Then only what it gives back counts: an age that it tells of may have been given back.
        """
        if name in self.given_up:
            raise GivenUpError(name)
        holder = self.holders.get(name)
        if holder is None:
            holder = self.holders[name] = Holder([0] * len(self.pools), now, [[] for _ in self.pools])
        for number, (pool, back) in enumerate(zip(self.pools, demand.back, strict=False)):
            pool.put(back, now)
            holder.held[number] -= sum(count for _, count in back)
        if overtaken:
            return
        holder.seen = now
        if demand.need and not holder.need:
            holder.needs_since = now
        holder.bound, holder.rates, holder.need = demand.bound, demand.rates, demand.need
        holder.ages = [[(now + wait, count) for wait, count in ages] for ages in demand.ages]

    def answer(self, name: str, now: float) -> Reply:
        """What a holder gets and is asked for, given what all of them want now."""
        holder = self.holders[name]
        grants: list[Permits] = []
        release: list[int] = []
        for number, (pool, share) in enumerate(zip(self.pools, self._shares_of(name), strict=True)):
            more = share - holder.held[number]
            grant = pool.take(more, now)
            holder.held[number] += sum(count for _, count in grant)
            if self.by_tokens[number] and 0 < holder.need <= holder.held[number]:
                holder.needs_since = now  # it is served, and others come first next time
            grants.append(grant)
            release.append(-more if more < -max(1, DEAD_BAND * share) else 0)
        return Reply(grants, release)

    def leave(self, name: str, back: Sequence[Permits], now: float) -> None:
        """Take all permits back from a holder that ends in good order. back: all that it held."""
        holder = self.holders.pop(name, None)
        if holder is None:
            return
        for pool, held, permits in zip(self.pools, holder.held, back, strict=True):
            pool.put(permits, now)
            unheard = held - sum(count for _, count in permits)  # given back in a report that did not arrive
            if unheard > 0:
                pool.put([(pool.period, unheard)], now)

    def give_up(self, name: str, now: float, hold: float = 0.0) -> None:
        """Take a dead holder's permits back and never answer its name again.

        hold: seconds for which its process may still run unseen. What it may use again until then counts as used at its end.
        """
        self.given_up.append(name)
        holder = self.holders.pop(name, None)
        if holder is None:
            return
        for number, pool in enumerate(self.pools):
            known = _known(holder, number, pool.period, now, hold)
            rest = holder.held[number] - sum(count for _, count in known)
            pool.put(known, now)
            if rest > 0:
                pool.put([(hold + pool.period, rest)], now)

    def has_news(self, name: str, now: float) -> bool:
        """Whether an answer would move permits to or from a holder, so that it is worth a message."""
        holder = self.holders[name]
        for number, (pool, share) in enumerate(zip(self.pools, self._shares_of(name), strict=True)):
            more = share - holder.held[number]
            if more < -max(1, DEAD_BAND * share) or (more > DEAD_BAND * share and pool.ready(now)):
                return True
        return False

    def kept(self, now: float) -> list[Permits]:
        """In how many seconds each permit may be used again, whoever holds it: what `again` takes."""
        found = []
        for number, pool in enumerate(self.pools):
            permits = [(max(0.0, at - now), count) for at, count in pool.free]
            for holder in self.holders.values():
                permits += _known(holder, number, pool.period, now, 0.0)
            found.append(permits)
        return found

    @classmethod
    def again(
        cls, limits: Sequence[tuple[int, float, bool]], kept: Sequence[Permits], now: float, *, passed: float, hold: float
    ) -> Coordinator:
        """A coordinator in the place of one that has ended, whose holders may still send.

        kept: as the former one gave it, `passed` seconds ago. hold: seconds from now after which its holders must have stopped; less
        than 0 where they did so before.
        """
        begun = cls.of(limits)
        for number, pool in enumerate(begun.pools):
            old = kept[number] if number < len(kept) else []
            known, left = [], pool.amount
            for wait, each in sorted(old, reverse=True):
                count = min(each, left)
                if count and hold + AGE_STEP * pool.period < wait - passed <= hold + pool.period:
                    known.append((now + wait - passed, count))
                    left -= count
            pool.free = [(now + hold + pool.period, left), *known] if left else known
        return begun

    def _shares_of(self, name: str) -> list[int]:
        return [self._shares(number)[name] for number in range(len(self.pools))]

    def _shares(self, number: int) -> dict[str, int]:
        pool = self.pools[number]
        wants = {
            name: inf if holder.bound else SPARE * (holder.rates[number] if holder.rates else 0.0) * pool.period + 1
            for name, holder in self.holders.items()
        }
        shares = share_out(pool.amount, wants)
        if not self.by_tokens[number]:
            return shares
        large = [(holder.needs_since, name) for name, holder in self.holders.items() if holder.need > shares[name]]
        if not large:
            return shares
        _, first = min(large)
        need = min(self.holders[first].need, pool.amount)
        return share_out(pool.amount - need, {name: want for name, want in wants.items() if name != first}) | {first: need}


def _known(holder: Holder, number: int, period: float, now: float, hold: float) -> Permits:
    """The permits of a holder that are certainly in use for longer than `hold`, so that they cannot be used again before.

    A holder may tell of more than it holds: of an attempt that left late it also counts the permit that others had by then.
    """
    ages = holder.ages[number] if number < len(holder.ages) else []
    known: Permits = []
    left = holder.held[number]
    for at, count in sorted(ages, reverse=True):
        if left > 0 and at - AGE_STEP * period > now + hold:
            known.append((at - now, min(count, left)))
            left -= count
    return known


def share_out(amount: int, wants: Mapping[str, float]) -> dict[str, int]:
    """Whole shares that add up to the amount: max-min fair, and what nobody wants shared equally, so that a surge finds it.

    Source: Bertsekas and Gallager, Data Networks, section 6.5.2 (max-min flow control).
    """
    left = float(amount)
    hungry = dict(wants)
    shares: dict[str, float] = {}
    while hungry:
        fair = left / len(hungry)
        content = {name: want for name, want in hungry.items() if want <= fair}
        if not content:
            shares.update(dict.fromkeys(hungry, fair))
            left = 0.0
            break
        for name, want in content.items():
            shares[name] = want
            left -= want
            del hungry[name]
    extra = max(0.0, left) / len(shares) if shares else 0.0
    whole = {name: int(share + extra) for name, share in shares.items()}
    rest = amount - sum(whole.values())
    by_loss = sorted(shares, key=lambda name: (whole[name] - shares[name] - extra, name))
    for name in by_loss[:rest]:
        whole[name] += 1
    return whole
