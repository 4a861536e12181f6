"""The ledger's counts."""

from __future__ import annotations

from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.records import Failure, FailureKind, Success, Usage


def test_a_ledger_counts_rows_by_their_end_and_tokens() -> None:
    ledger = Ledger()

    ledger.add([Success(0, "a", 200, None, b"{}", Usage(3, 4, 7), 1, 0.1), Failure(1, "b", FailureKind.TIMEOUT, "")])
    ledger.add([Success(2, "c", 200, None, b"{}", Usage(1, 1, 2), 2, 0.1)])

    assert (ledger.succeeded, ledger.failed, ledger.total) == (2, 1, 3)
    assert (ledger.prompt_tokens, ledger.output_tokens) == (4, 5)
