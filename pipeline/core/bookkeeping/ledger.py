"""Counts what became of the rows. One owner adds; everybody may read a total."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pipeline.records import NO_USAGE, Success

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.records import Outcome, Usage


def usage_of(outcome: Outcome) -> Usage:
    """The tokens that a row cost, those of rejected answers included; none for an answer that was there already."""
    if not outcome.attempts:
        return NO_USAGE
    return outcome.usage + outcome.wasted if isinstance(outcome, Success) else outcome.wasted


class Ledger:
    """Rows by their end, why their answers ended, and all tokens that the provider says it counted.

    from_cache: successes that cost no attempt. rejected: answers under a success status that were none.
    """

    def __init__(self, succeeded: int = 0, failed: int = 0, prompt_tokens: int = 0, output_tokens: int = 0) -> None:
        self.from_cache = 0
        self.succeeded = succeeded
        self.failed = failed
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.finish_reasons: Counter[str] = Counter()
        self.rejected = 0

    @property
    def total(self) -> int:
        """Rows that have an outcome."""
        return self.succeeded + self.failed

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count outcomes, each once."""
        for outcome in outcomes:
            success = isinstance(outcome, Success)
            self.count(usage_of(outcome), succeeded=success)
            if isinstance(outcome, Success) and outcome.finish_reason is not None:
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
