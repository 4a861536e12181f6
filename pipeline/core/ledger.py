"""Counts what became of the rows. One owner adds; everybody may read a total."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from pipeline.records import Success

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.records import Outcome


@define(eq=False)
class Ledger:
    """Rows by their end, and the tokens that the provider says it counted."""

    succeeded: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

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
