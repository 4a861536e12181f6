"""Counts what became of the rows. One owner adds; everybody may read a total."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.bookkeeping.quantiles import Quantiles
from pipeline.records import NO_USAGE, Success
from pipeline.summaries import FailedRow, FailureGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline.records import Failure, Outcome, Usage


def usage_of(outcome: Outcome) -> Usage:
    """The tokens that a row cost, those of rejected answers included; none for an answer that was there already."""
    if not outcome.attempts:
        return NO_USAGE
    if not isinstance(outcome, Success):
        return outcome.wasted
    return outcome.usage if outcome.wasted is NO_USAGE else outcome.usage + outcome.wasted


class Priced(Struct, frozen=True, gc=False):
    """What answers cost, at one moment.

    cost: in PICO. prompt_tokens, output_tokens: those that it covers. unpriced: models without a price.
    """

    cost: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    unpriced: tuple[str, ...] = ()


class Ledger:
    """Rows by their end, why their answers ended, and all tokens that the provider says it counted.

    price: what a row cost, from the tokens that were spent on it; None for a model whose price is not known. cost: the sum, in
    PICO. from_cache: successes that cost no attempt. rejected: answers under a success status that were none. failures: rows that
    failed, by code; of rows that were counted before, only how many. latency: seconds of the answered attempts. first_token,
    longest_gap (seconds) and pace (tokens a second): of those that came as a stream.
    """

    def __init__(
        self,
        succeeded: int = 0,
        failed: int = 0,
        prompt_tokens: int = 0,
        output_tokens: int = 0,
        finish_reasons: Mapping[str, int] | None = None,
        rejected: int = 0,
    ) -> None:
        self.from_cache = 0
        self.price: Callable[[Outcome, Usage], int | None] | None = None
        self.cost = 0
        self.succeeded = succeeded
        self.failed = failed
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.finish_reasons: Counter[str] = Counter(finish_reasons)
        self.rejected = rejected
        self.latency, self.first_token, self.longest_gap, self.pace = Quantiles(), Quantiles(), Quantiles(), Quantiles()
        self._failures: dict[str, tuple[int, Failure]] = {}

    @property
    def total(self) -> int:
        """Rows that have an outcome."""
        return self.succeeded + self.failed

    @property
    def failures(self) -> dict[str, FailureGroup]:
        """Failed rows by code, each with the one that failed last."""
        return {
            code: FailureGroup(count, FailedRow(last.index, last.custom_id, last.message)) for code, (count, last) in self._failures.items()
        }

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count outcomes, each once."""
        for outcome in outcomes:
            usage = usage_of(outcome)
            rejected = outcome.rejected if outcome.attempts else 0
            if isinstance(outcome, Success):
                self.count(usage, succeeded=True, finish_reason=outcome.finish_reason, rejected=rejected)
                if outcome.attempts:
                    self._time(outcome)
                else:
                    self.from_cache += 1
            else:
                self.count(usage, succeeded=False, rejected=rejected)
                code = outcome.error_code
                self._failures[code] = (self._failures[code][0] + 1 if code in self._failures else 1, outcome)
            if self.price is not None:
                self.cost += self.price(outcome, usage) or 0

    def _time(self, success: Success) -> None:
        seconds, first = success.latency_seconds, success.first_token_seconds
        self.latency.add(seconds)
        if first is not None:
            self.first_token.add(first)
            self.longest_gap.add(success.longest_gap_seconds or 0.0)
            if success.usage.output_tokens > 1 and seconds > first:
                self.pace.add((success.usage.output_tokens - 1) / (seconds - first))

    def count(self, usage: Usage, *, succeeded: bool, finish_reason: str | None = None, rejected: int = 0) -> None:
        """Count one row."""
        if finish_reason is not None:
            self.finish_reasons[finish_reason] += 1
        self.rejected += rejected
        if succeeded:
            self.succeeded += 1
        else:
            self.failed += 1
        self.prompt_tokens += usage.prompt_tokens
        self.output_tokens += usage.output_tokens
