"""Counts what became of the rows. One owner adds; everybody may read a total."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.bookkeeping.quantiles import Quantiles
from pipeline.records import NO_USAGE, Failure, Success
from pipeline.summaries import FailedRow, FailureGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pipeline.records import Outcome, Usage


def usage_of(outcome: Outcome) -> Usage:
    """The tokens that a row cost, those of rejected answers included; none for an answer that was there already."""
    if not outcome.attempts:
        return NO_USAGE
    if not isinstance(outcome, Success):
        return outcome.wasted
    return outcome.usage if outcome.wasted is NO_USAGE else outcome.usage + outcome.wasted


# What a row adds to the counters: whether it succeeded, its tokens in and out, why its answer ended, answers that were rejected before.
Counted = tuple[bool, int, int, str | None, int]


def counted(outcomes: Iterable[Outcome]) -> list[Counted]:
    """What rows add to the counters."""
    rows: list[Counted] = []
    for outcome in outcomes:
        if type(outcome) is Success and outcome.attempts and outcome.wasted is NO_USAGE:  # nearly every row
            usage = outcome.usage
            rows.append((True, usage.prompt_tokens, usage.output_tokens, outcome.finish_reason, outcome.rejected))
        else:
            usage = usage_of(outcome)
            reason = outcome.finish_reason if isinstance(outcome, Success) else None
            rows.append((outcome.ok, usage.prompt_tokens, usage.output_tokens, reason, outcome.rejected if outcome.attempts else 0))
    return rows


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

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes, each once."""
        failed = self.failed
        self.count(counted(outcomes))
        if self.failed != failed:
            for outcome in outcomes:
                if isinstance(outcome, Failure):
                    code = outcome.error_code
                    self._failures[code] = (self._failures[code][0] + 1 if code in self._failures else 1, outcome)
        self._time([outcome for outcome in outcomes if type(outcome) is Success])
        if self.price is not None:
            self.cost += sum([self.price(outcome, usage_of(outcome)) or 0 for outcome in outcomes])

    def _time(self, successes: list[Success]) -> None:
        asked = [success for success in successes if success.attempts]
        self.from_cache += len(successes) - len(asked)
        self.latency.add([success.latency_seconds for success in asked])
        for success in [success for success in asked if success.first_token_seconds is not None]:
            first = success.first_token_seconds or 0.0
            after = success.latency_seconds - first
            self.first_token.add([first])
            self.longest_gap.add([success.longest_gap_seconds or 0.0])
            if success.usage.output_tokens > 1 and after > 0:
                self.pace.add([(success.usage.output_tokens - 1) / after])

    def count(self, rows: Sequence[Counted]) -> None:
        """Count rows."""
        if not rows:
            return
        succeeded, prompts, outputs, reasons, rejected = zip(*rows, strict=True)
        good = sum(succeeded)
        self.succeeded += good
        self.failed += len(rows) - good
        self.prompt_tokens += sum(prompts)
        self.output_tokens += sum(outputs)
        self.rejected += sum(rejected)
        for reason in dict.fromkeys(reasons):  # few, and in the order in which they came
            if reason is not None:
                self.finish_reasons[reason] += reasons.count(reason)
