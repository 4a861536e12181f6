"""Keeps a lane within its budget and the run's: what an attempt may cost at most, and what it did cost.

The worst case of an attempt is bounded by what can be known before it is sent. No token is shorter than a byte, so a prompt has
at most as many tokens as its request has bytes; media counts by its estimate. An answer has at most `max_tokens`. A request that
does not bound its answer is reserved twice the longest answer so far, and at least UNBOUNDED tokens: that bound can be
exceeded, and the documentation says so.
"""

from __future__ import annotations

from functools import reduce
from math import inf
from typing import TYPE_CHECKING

from pipeline.core.pacing.budget import PICO, Budget, BudgetBound, Refusal
from pipeline.core.rows.asked import counted
from pipeline.messages import NOTHING, Spending, Spent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.pacing.prices import Rates
    from pipeline.messages import Report, Ticket
    from pipeline.records import Job

UNBOUNDED = 1024  # output tokens that a request without a bound is taken to allow, before any answer was seen


class Account:
    """What a lane asks before an attempt leaves, and is told when it has ended.

    run: the budget of the whole run, which all lanes share. own: of this lane. rates_of: what a request's model costs here, None for
    a model whose price is not known; None where only tokens, requests and seconds count. setting: where the lane stands in the
    config, for messages. unreserved: attempts in flight that left before there was a budget; nothing leaves until they have ended.
    """

    __slots__ = ("_job", "_longest", "_worst", "asked_at", "largest", "own", "rates_of", "run", "setting", "unreserved")

    def __init__(
        self, run: Budget, own: Budget, rates_of: Callable[[Job], Rates | None] | None = None, *, setting: str = "", unreserved: int = 0
    ) -> None:
        self.run = run
        self.own = own
        self.rates_of = rates_of
        self.setting = setting
        self.unreserved = unreserved
        self.largest = NOTHING  # worst case of one attempt
        self.asked_at = -inf  # clock of the last time that somebody asked
        self._longest = 0  # output tokens of one answer
        self._job: Job | None = None  # the one that was asked for last: while it waits it is asked for again and again
        self._worst: Spending | None = None

    def reserve(self, ticket: Ticket, now: float) -> Refusal | None:
        """Reserve an attempt's worst case in both budgets, or say what does not allow it; then nothing is reserved."""
        self.asked_at = now
        if self.unreserved:
            return Refusal(BudgetBound.REQUESTS, final=False)
        worst = self._worst_of(ticket.job)
        if worst is None:
            return Refusal(BudgetBound.COST, final=True)
        refusal = self.run.refuses(worst, now) or self.own.admit(worst, now)
        if refusal is None:
            self.run.admit(worst, now)
            ticket.reserved = worst
        return refusal

    def release(self, ticket: Ticket) -> None:
        """Give back what was reserved: the attempt does not leave now."""
        if ticket.reserved is not None:
            self._settle(ticket.reserved, NOTHING)
            ticket.reserved = None

    def settle(self, report: Report) -> None:
        """Count what an attempt cost."""
        worst = report.ticket.reserved
        if worst is None:
            self.unreserved = max(0, self.unreserved - 1)
        self._longest = max(self._longest, report.usage.output_tokens)
        self._settle(worst or NOTHING, self._real(report, worst))

    def exhausted(self, refusal: Refusal, job: Job, now: float) -> tuple[str, bool]:
        """Why nothing more leaves here, and whether it is this lane's own budget that does not allow it."""
        worst = self._worst_of(job)
        if worst is None:
            return (
                f"budget.cost cannot be kept: no price is known for the model {job.model or '(none named)'}; "
                "write prices.prompt_per_million and prices.output_per_million"
            ), False
        budget, place = self.run, ""
        if budget.refuses(worst, now) is None:
            budget, place = self.own, f"{self.setting}."
        spent = budget.spent
        amount = {
            BudgetBound.COST: f"{spent.cost / PICO:,.4f} is spent, and the next row may cost {worst.cost / PICO:,.4f} more",
            BudgetBound.TOKENS: f"{spent.tokens:,} tokens are spent, and the next row may need {worst.tokens:,} more",
            BudgetBound.REQUESTS: f"{spent.requests:,} requests are spent",
            BudgetBound.SECONDS: "the time is up",
        }[refusal.bound]
        return f"{place}{refusal.bound} is used up: {amount}; raise it, and run the same command to go on", budget is self.own

    def _settle(self, worst: Spending, real: Spending) -> None:
        self.own.settle(worst, real)
        self.run.settle(worst, real)

    def _worst_of(self, job: Job) -> Spending | None:
        """The most that one attempt may cost; None if its price is not known."""
        if job is self._job and (job.output_tokens or self._worst is None):
            return self._worst
        estimate = counted(job).tokens - job.output_tokens
        output = job.output_tokens or max(UNBOUNDED, 2 * self._longest)
        prompt = max(estimate, min(len(job.body), 4 * estimate))
        self._job = job
        self._worst = None
        cost = 0
        if self.rates_of is not None:
            rates = self.rates_of(job)
            if rates is None:
                return None
            cost = rates.most(prompt, output)
        self._worst = worst = Spending(cost, prompt + output, 1)
        if worst.cost > self.largest.cost or worst.tokens > self.largest.tokens:
            self.largest = most_of(worst, self.largest)
        return worst

    def _real(self, report: Report, worst: Spending | None) -> Spending:
        usage = report.usage
        if usage.total_tokens or usage.prompt_tokens or usage.output_tokens:
            rates = None if self.rates_of is None else self.rates_of(report.ticket.job)
            tokens = max(usage.total_tokens, usage.prompt_tokens + usage.output_tokens)
            return Spending(0 if rates is None else rates.cost(usage), tokens, 1)
        if worst is None:
            worst = self._worst_of(report.ticket.job) or Spending(requests=1)
        if report.answered or report.maybe_sent:  # it may have been billed, and nobody says how much
            return worst
        return Spending(requests=1)


class Accounts:
    """All accounts of a run, by the names of their lanes.

    run: the budget of the whole run. started: clock at which the run would have begun, had it never been interrupted.
    """

    __slots__ = ("lanes", "run", "started")

    def __init__(self, run: Budget, lanes: dict[str, Account], *, started: float) -> None:
        self.run = run
        self.lanes = lanes
        self.started = started

    def snapshot(self) -> Spent:
        """What a later process must take as spent, what is in flight at its worst. May be called in another thread."""
        now = max(account.asked_at for account in self.lanes.values())
        lanes = {name: _gone(account.own) for name, account in self.lanes.items()}
        largest = reduce(most_of, (account.largest for account in self.lanes.values()))
        return Spent(_gone(self.run), max(0.0, now - self.started), lanes, largest)


def most_of(one: Spending, other: Spending) -> Spending:
    """The larger of two in everything that is counted."""
    return Spending(max(one.cost, other.cost), max(one.tokens, other.tokens), max(one.requests, other.requests))


def _gone(budget: Budget) -> Spending:
    reserved = budget.reserved  # read first: what is settled meanwhile counts twice rather than not at all
    return budget.spent + reserved
