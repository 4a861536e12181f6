"""Counts what became of the rows. One owner adds; everybody may read a total."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, TypeGuard

from msgspec import Struct

from pipeline.core.bookkeeping.quantiles import Quantiles
from pipeline.records import NO_USAGE, Success
from pipeline.summaries import FailedRow, FailureGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pipeline.records import Failure, Outcome, Usage


def usage_of(outcome: Outcome) -> Usage:
    """The tokens that a row cost, those of rejected answers included; none for an answer that was there already."""
    if not outcome.attempts:
        return NO_USAGE
    if not isinstance(outcome, Success):
        return outcome.wasted
    return outcome.usage if outcome.wasted is NO_USAGE else outcome.usage + outcome.wasted


# What a row adds to the counters: whether it succeeded, its tokens in and out, why its answer ended, answers that were rejected before.
Counted = tuple[bool, int, int, str | None, int]


# Columns of a group are taken by functions in C: a line of Python for each row and figure would cost more than the figures do.
_counted = attrgetter("ok", "usage.prompt_tokens", "usage.output_tokens", "finish_reason", "rejected")
_attempts, _wasted, _latency, _first_token = map(attrgetter, ("attempts", "wasted", "latency_seconds", "first_token_seconds"))


def counted(outcomes: Sequence[Outcome]) -> list[Counted]:
    """What rows add to the counters."""
    if are_plain(outcomes):
        return list(map(_counted, outcomes))
    rows: list[Counted] = []
    for outcome in outcomes:
        usage = usage_of(outcome)
        reason = outcome.finish_reason if isinstance(outcome, Success) else None
        rows.append((outcome.ok, usage.prompt_tokens, usage.output_tokens, reason, outcome.rejected if outcome.attempts else 0))
    return rows


def are_plain(outcomes: Sequence[Outcome]) -> TypeGuard[Sequence[Success]]:
    """Whether all are successes that were sent, with no answer wasted before: so it is in nearly every group."""
    if {*map(type, outcomes)} != {Success} or not all(map(_attempts, outcomes)):
        return False
    return list(map(_wasted, outcomes)).count(NO_USAGE) == len(outcomes)


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
        self.count(counted(outcomes))
        if are_plain(outcomes):
            self._time(outcomes)
        else:
            self._time([outcome for outcome in outcomes if isinstance(outcome, Success) and outcome.attempts])
            self._note_others(outcomes)
        if self.price is not None:
            self.cost += sum([self.price(outcome, usage_of(outcome)) or 0 for outcome in outcomes])

    def _note_others(self, outcomes: Iterable[Outcome]) -> None:
        """Count failures by code, and answers that were there already."""
        for outcome in outcomes:
            if isinstance(outcome, Success):
                self.from_cache += not outcome.attempts
            else:
                code = outcome.error_code
                self._failures[code] = (self._failures[code][0] + 1 if code in self._failures else 1, outcome)

    def _time(self, asked: Sequence[Success]) -> None:
        self.latency.add(list(map(_latency, asked)))
        if list(map(_first_token, asked)).count(None) == len(asked):
            return
        for success in asked:
            first = success.first_token_seconds
            if first is not None:
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
