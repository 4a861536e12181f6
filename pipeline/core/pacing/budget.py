"""What a run or a lane may spend: cost, tokens, requests and seconds. Spent plus reserved never exceeds a budget (law 14).

Theory of operation. An attempt may cost as much as its request allows, and nobody knows how much until it is answered. So its
worst case is *reserved* when it leaves, and *settled* when it ends: the reservation is replaced by what the attempt really cost.
An attempt that may have been billed and told nothing (a cut, a deadline) is settled at its worst case, because the money may be
gone. An attempt that was certainly not billed (refused, never connected) is settled at nothing.

A budget is exhausted when nothing that was asked for fits, and nothing is reserved any more that could come back. Until then the
answer is "wait": what is in flight may turn out cheaper than feared.

A provider may charge more than the worst case that was reserved: an estimate of a prompt can be too low, or a request may not
bound its answer. Then the budget is overdrawn by that much, it says so, and nothing more leaves.

Costs are whole numbers of PICO (10⁻¹² of the currency), so that a million small costs add up exactly. No clock: `now` is an argument.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf

from msgspec import Struct

from pipeline.messages import NOTHING, Spending

PICO = 1_000_000_000_000  # parts of one unit of the currency: a price of 0.15 per million tokens is 150,000 a token


class BudgetBound(StrEnum):
    """Which part of a budget holds an attempt back; the values are the config's keys."""

    COST = "budget.cost"
    TOKENS = "budget.tokens"
    REQUESTS = "budget.requests"
    SECONDS = "budget.seconds"


class BudgetLimits(Struct, frozen=True):
    """The most that may be spent; None: no limit. cost: in the currency of the prices. seconds: of the run, interruptions not counted."""

    cost: float | None = None
    tokens: int | None = None
    requests: int | None = None
    seconds: float | None = None

    @property
    def unlimited(self) -> bool:
        """Whether nothing is limited, so that no budget needs to be kept."""
        return self == BudgetLimits()


class Refusal(Struct, frozen=True):
    """An attempt that a budget does not allow now. final: it will not allow it later either."""

    bound: BudgetBound
    final: bool


class Budget:
    """Keeps one budget. Every reservation must be settled exactly once, whatever becomes of the attempt."""

    __slots__ = ("_limits", "_reserved", "_spent", "_unlimited", "_until")

    def __init__(self, limits: BudgetLimits, *, started: float, spent: Spending = NOTHING, seconds_spent: float = 0.0) -> None:
        """Begin, or go on from what earlier processes have spent. started: clock at which this process began."""
        self._spent = spent
        self._reserved = NOTHING
        self._until = inf
        self._limits = BudgetLimits()
        self.retune(limits, started=started, seconds_spent=seconds_spent)

    @property
    def spent(self) -> Spending:
        """What was settled, earlier processes included."""
        return self._spent

    @property
    def limits(self) -> BudgetLimits:
        """What may be spent at most."""
        return self._limits

    @property
    def reserved(self) -> Spending:
        """The worst case of what is in flight."""
        return self._reserved

    def retune(self, limits: BudgetLimits, *, started: float, seconds_spent: float = 0.0) -> None:
        """Take other limits while running. What was spent and reserved stays."""
        self._limits = limits
        self._unlimited = limits.unlimited
        self._until = inf if limits.seconds is None else started + max(0.0, limits.seconds - seconds_spent)

    def admit(self, worst: Spending, now: float) -> Refusal | None:
        """Reserve an attempt's worst case, or say what does not allow it; then nothing is reserved."""
        refusal = self.refuses(worst, now)
        if refusal is None:
            self._reserved += worst
        return refusal

    def refuses(self, worst: Spending, now: float) -> Refusal | None:
        """What does not allow an attempt now, or None. Reserves nothing."""
        if self._unlimited:
            return None
        if now >= self._until:
            return Refusal(BudgetBound.SECONDS, final=True)
        for bound, most, spent, reserved, wanted in self._parts(worst):
            if spent + reserved + wanted > most:
                return Refusal(bound, final=not reserved or spent + wanted > most)
        return None

    def settle(self, worst: Spending, real: Spending) -> None:
        """Replace a reservation by what the attempt really cost. worst: exactly what was reserved for it."""
        self._spent += real  # first, so that a reader in another thread never sees less than what is gone
        self._reserved -= worst

    def overdrawn(self) -> BudgetBound | None:
        """Which part was exceeded because a provider charged more than the worst case, or None."""
        return next((bound for bound, most, spent, _, _ in self._parts(NOTHING) if spent > most), None)

    def _parts(self, wanted: Spending) -> list[tuple[BudgetBound, int, int, int, int]]:
        limits, spent, reserved = self._limits, self._spent, self._reserved
        parts = []
        if limits.cost is not None:
            parts.append((BudgetBound.COST, round(limits.cost * PICO), spent.cost, reserved.cost, wanted.cost))
        if limits.tokens is not None:
            parts.append((BudgetBound.TOKENS, limits.tokens, spent.tokens, reserved.tokens, wanted.tokens))
        if limits.requests is not None:
            parts.append((BudgetBound.REQUESTS, limits.requests, spent.requests, reserved.requests, wanted.requests))
        return parts
