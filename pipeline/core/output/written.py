"""What a line that was written says of its row, and which failed rows are sent again on demand.

Whether a failure may pass was decided when it happened (`core/answers/classify.py`, by its scope), and its line keeps that
decision: what was retried in vain has an `error.code` of ours (`retries_exhausted`, `timeout` …). A response that was final at
once has none; then its status and codes are judged by the same table of scopes, and only what concerns a key, an account or a
setup may have been mended since. So a 500 that said `x-should-retry: false` stays final.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw, Struct

from pipeline.core.answers.parts import NULL
from pipeline.records import FailureKind, Scope, Usage

if TYPE_CHECKING:
    from pipeline.core.answers.error_bodies import ErrorBody
    from pipeline.core.bookkeeping.ledger import Counted

TRANSIENT, ALL = "transient", "all"
PASSING_KINDS = frozenset(
    kind.value
    for kind in (
        FailureKind.TIMEOUT,
        FailureKind.CONNECTION,
        FailureKind.MALFORMED_RESPONSE,
        FailureKind.RETRIES_EXHAUSTED,
        FailureKind.REFUSED,
        FailureKind.QUOTA,
    )
)
NEVER_SENT_KINDS = frozenset(
    kind.value for kind in (FailureKind.INVALID_ROW, FailureKind.TOO_LARGE, FailureKind.CANCELLED, FailureKind.EXPIRED)
)
# No wait of a run helps against these, so they are final within it; between two runs somebody may have mended them.
MENDED_BETWEEN_RUNS = frozenset({Scope.KEY, Scope.QUOTA, Scope.SETUP})


class Written(Struct, frozen=True):
    """What a line of the output says of its row.

    content, reason: of a flat line, why its answer ended; reply: of a batch line, where both must be looked for. code, message: why
    the row failed.

    For a failure: transient: what it failed of may have passed. never_sent: no attempt was made. codes: the names that it can be
    chosen by, in lower case: `error.code`, the status, and the codes in the provider's answer.
    """

    index: int
    custom_id: str
    succeeded: bool
    usage: Usage
    status_code: int | None = None
    transient: bool = False
    never_sent: bool = False
    codes: frozenset[str] = frozenset()
    code: str | None = None
    message: str | None = None
    content: Raw = NULL
    reply: Raw = NULL
    reason: str | None = None

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended; None for a failure."""
        if not self.succeeded:
            return None
        if self.reply is NULL:
            return self.reason
        from pipeline.core.answers.shapes import read_written  # noqa: PLC0415  2 ms that only a reader of lines pays

        return read_written(bytes(self.reply)).finish_reason

    @property
    def counted(self) -> Counted:
        """What the row adds to the counters."""
        return self.succeeded, self.usage.prompt_tokens, self.usage.output_tokens, self.finish_reason, 0

    @property
    def is_invalid(self) -> bool:
        """Whether the row itself was found bad."""
        return self.never_sent and FailureKind.INVALID_ROW.value in self.codes


def may_have_passed(own_code: str | None, status: int | None, error: ErrorBody) -> bool:
    """Whether what made a row fail may be over. own_code: `error.code` of its line. error: what the response says."""
    if own_code in PASSING_KINDS:
        return True
    if status is None:
        return False
    from pipeline.core.answers.scopes import scope_of  # noqa: PLC0415  only failures need it

    return scope_of(status, error, wait_told=False) in MENDED_BETWEEN_RUNS


class FailureChoice(Struct, frozen=True):
    """Failed rows that are to be sent again. A row that was never sent always is; see `rebuild`.

    codes: an `error.code` of ours or of the provider, or a status; None takes all.
    """

    transient: bool = False
    codes: frozenset[str] | None = frozenset()

    @classmethod
    def parse(cls, text: str) -> FailureChoice:
        """Read `transient`, `all`, or codes and statuses with commas between. Raises ValueError."""
        names = [name.strip().lower() for name in text.split(",")]
        if not all(names):
            raise ValueError(f'must be "{TRANSIENT}", "{ALL}", or codes like timeout,429,context_length_exceeded; got {text!r}')
        if ALL in names:
            return cls(codes=None)
        return cls(TRANSIENT in names, frozenset(names) - {TRANSIENT})

    def takes(self, line: Written) -> bool:
        """Whether the row of this line is to be sent again."""
        if line.succeeded:
            return False
        return self.codes is None or (self.transient and line.transient) or bool(self.codes & line.codes)


NO_FAILURES = FailureChoice()
EVERY_FAILURE = FailureChoice(codes=None)
