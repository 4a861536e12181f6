"""Counts what became of the rows. One owner adds; everybody may read a total."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pipeline.records import NO_USAGE, FailedRow, FailureGroup, FailureKind, Success

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pipeline.records import Failure, Outcome, Usage

OF_A_RESPONSE = frozenset({FailureKind.HTTP, FailureKind.REFUSED, FailureKind.QUOTA})


def usage_of(outcome: Outcome) -> Usage:
    """The tokens that a row cost, those of rejected answers included; none for an answer that was there already."""
    if not outcome.attempts:
        return NO_USAGE
    return outcome.usage + outcome.wasted if isinstance(outcome, Success) else outcome.wasted


def code_of(failure: Failure) -> str:
    """What failures are counted by: the kind, or `http_400` where the response says it all."""
    status = failure.status_code
    return f"http_{status}" if status is not None and failure.kind in OF_A_RESPONSE else failure.kind.value


class Ledger:
    """Rows by their end, why their answers ended, and all tokens that the provider says it counted.

    price: what a row cost, from the tokens that were spent on it; None for a model whose price is not known. cost: the sum, in
    PICO. from_cache: successes that cost no attempt. rejected: answers under a success status that were none. failures: rows that
    failed, by code; of rows that were counted before, only how many.
    """

    def __init__(self, succeeded: int = 0, failed: int = 0, prompt_tokens: int = 0, output_tokens: int = 0) -> None:
        self.from_cache = 0
        self.price: Callable[[Outcome, Usage], int | None] | None = None
        self.cost = 0
        self.succeeded = succeeded
        self.failed = failed
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.finish_reasons: Counter[str] = Counter()
        self.rejected = 0
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
            success = isinstance(outcome, Success)
            usage = usage_of(outcome)
            self.count(usage, succeeded=success)
            if self.price is not None:
                self.cost += self.price(outcome, usage) or 0
            if not isinstance(outcome, Success):
                code = code_of(outcome)
                self._failures[code] = (self._failures[code][0] + 1 if code in self._failures else 1, outcome)
            elif outcome.finish_reason is not None:
                self.finish_reasons[outcome.finish_reason] += 1
            if outcome.attempts:
                self.rejected += outcome.rejected
            else:
                self.from_cache += success

    def count(self, usage: Usage, *, succeeded: bool) -> None:
        """Count one row."""
        if succeeded:
            self.succeeded += 1
        else:
            self.failed += 1
        self.prompt_tokens += usage.prompt_tokens
        self.output_tokens += usage.output_tokens
