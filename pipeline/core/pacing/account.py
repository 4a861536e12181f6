"""Keeps a run within its budget: what an attempt may cost at most, and what it did cost.

The worst case of an attempt is bounded by what can be known before it is sent. No token is shorter than a byte, so a prompt has
at most as many tokens as its request has bytes; media counts by its estimate. An answer has at most `max_tokens`. A request that
does not bound its answer is reserved twice the longest answer so far, and at least UNBOUNDED tokens: that bound can be
exceeded, and the documentation says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.pacing.budget import PICO, Budget, BudgetBound, Refusal
from pipeline.core.rows.estimate import estimate_tokens
from pipeline.messages import NOTHING, Spending

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.pacing.prices import Rates
    from pipeline.messages import Report, Ticket
    from pipeline.records import Job

UNBOUNDED = 1024  # output tokens that a request without a bound is taken to allow, before any answer was seen


class Account:
    """What the gate asks before an attempt leaves, and tells when it has ended.

    rates_of: what a request's model costs, None for a model whose price is not known; None where only tokens, requests and
    seconds count. started: clock at which the run would have begun, had it never been interrupted.
    """

    __slots__ = ("_longest", "_now", "_rates_of", "_started", "budget")

    def __init__(self, budget: Budget, rates_of: Callable[[Job], Rates | None] | None, *, started: float) -> None:
        self.budget = budget
        self._rates_of = rates_of
        self._started = started
        self._now = started
        self._longest = 0  # output tokens of one answer

    def reserve(self, ticket: Ticket, now: float) -> Refusal | None:
        """Reserve an attempt's worst case, or say what does not allow it."""
        self._now = now
        worst = self._worst_of(ticket.job)
        if worst is None:
            return Refusal(BudgetBound.COST, final=True)
        refusal = self.budget.admit(worst, now)
        ticket.reserved = None if refusal is not None else worst
        return refusal

    def release(self, ticket: Ticket) -> None:
        """Give back what was reserved: the attempt does not leave now."""
        if ticket.reserved is not None:
            self.budget.settle(ticket.reserved, NOTHING)
            ticket.reserved = None

    def settle(self, report: Report) -> None:
        """Count what an attempt cost."""
        worst = report.ticket.reserved
        if worst is not None:
            self._longest = max(self._longest, report.usage.output_tokens)
            self.budget.settle(worst, self._real(report, worst))

    def snapshot(self) -> tuple[int, int, int, float]:
        """What a later process must take as spent: cost, tokens and requests, what is in flight at its worst; seconds of running."""
        total = self.budget.spent + self.budget.reserved
        return total.cost, total.tokens, total.requests, self._now - self._started

    def told(self, refusal: Refusal, job: Job) -> str:
        """Why the run stops, and what to do."""
        spent, worst = self.budget.spent, self._worst_of(job)
        if worst is None:
            return "budget.cost cannot be kept: no price is known for the model of a row; write prices.prompt_per_million"
        amount = {
            BudgetBound.COST: f"{spent.cost / PICO:,.4f} is spent, and the next row may cost {worst.cost / PICO:,.4f} more",
            BudgetBound.TOKENS: f"{spent.tokens:,} tokens are spent, and the next row may need {worst.tokens:,} more",
            BudgetBound.REQUESTS: f"{spent.requests:,} requests are spent",
            BudgetBound.SECONDS: "the time is up",
        }[refusal.bound]
        return f"{refusal.bound} is used up: {amount}; raise it, and run the same command to go on"

    def _worst_of(self, job: Job) -> Spending | None:
        """The most that one attempt may cost; None if its price is not known."""
        estimate = estimate_tokens(job.body, None)
        output = job.tokens - estimate
        if output <= 0:
            output = max(UNBOUNDED, 2 * self._longest)
        prompt = max(estimate, min(len(job.body), 4 * estimate))
        cost = 0
        if self._rates_of is not None:
            rates = self._rates_of(job)
            if rates is None:
                return None
            cost = rates.most(prompt, output)
        return Spending(cost, prompt + output, 1)

    def _real(self, report: Report, worst: Spending) -> Spending:
        usage = report.usage
        if usage.total_tokens or usage.prompt_tokens or usage.output_tokens:
            rates = None if self._rates_of is None else self._rates_of(report.ticket.job)
            tokens = max(usage.total_tokens, usage.prompt_tokens + usage.output_tokens)
            return Spending(0 if rates is None else rates.cost(usage), tokens, 1)
        if report.answered or report.maybe_sent:  # it may have been billed, and nobody says how much
            return worst
        return Spending(requests=1)
