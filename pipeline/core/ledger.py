"""Counts what became of the rows. One owner adds; everybody may read a total."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.records import Success

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.records import Outcome


class Ledger:
    """Rows by their end, and the tokens that the provider says it counted."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.prompt_tokens = 0
        self.output_tokens = 0

    @property
    def total(self) -> int:
        """Rows that have an outcome."""
        return self.succeeded + self.failed

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count outcomes, each once."""
        for outcome in outcomes:
            if isinstance(outcome, Success):
                self.succeeded += 1
                self.prompt_tokens += outcome.usage.prompt_tokens
                self.output_tokens += outcome.usage.output_tokens
            else:
                self.failed += 1
