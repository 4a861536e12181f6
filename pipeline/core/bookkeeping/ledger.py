"""Counts what became of the rows. One owner adds; everybody may read a total."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.records import NO_USAGE, Success

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.records import Outcome, Usage


def usage_of(outcome: Outcome) -> Usage:
    """The tokens that a row cost: none for a failure, and none for an answer that was there already."""
    return outcome.usage if isinstance(outcome, Success) and outcome.attempts else NO_USAGE


class Ledger:
    """Rows by their end, and the tokens that the provider says it counted. from_cache: successes that cost no attempt."""

    def __init__(self, succeeded: int = 0, failed: int = 0, prompt_tokens: int = 0, output_tokens: int = 0) -> None:
        self.from_cache = 0
        self.succeeded = succeeded
        self.failed = failed
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens

    @property
    def total(self) -> int:
        """Rows that have an outcome."""
        return self.succeeded + self.failed

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count outcomes, each once."""
        for outcome in outcomes:
            success = isinstance(outcome, Success)
            self.from_cache += success and not outcome.attempts
            self.count(usage_of(outcome), succeeded=success)

    def count(self, usage: Usage, *, succeeded: bool) -> None:
        """Count one row."""
        if succeeded:
            self.succeeded += 1
        else:
            self.failed += 1
        self.prompt_tokens += usage.prompt_tokens
        self.output_tokens += usage.output_tokens
