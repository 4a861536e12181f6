"""Files and batches as they are kept, and as the API shows them. Every key is always there; what is not known is null.

Times are whole seconds since the epoch. A record never changes: code that moves a batch on makes a new one.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Status(Enum):
    """Where a batch stands. No other word may be used: clients raise on one, or wait for ever."""

    VALIDATING = "validating"
    FAILED = "failed"  # its file was not valid; nothing was sent. Rows that fail never fail a batch
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the batch has ended."""
        return self in _FINAL


_FINAL = frozenset({Status.FAILED, Status.COMPLETED, Status.EXPIRED, Status.CANCELLED})
SHOWN_TIMES = (
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


class StoredFile(msgspec.Struct, frozen=True):
    """A file. expires_at: when it is deleted by itself; None for never."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    expires_at: int | None = None

    def shown(self) -> dict[str, Any]:
        """The file object. `status` is deprecated, but clients wait until it is `processed`."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class LineError(msgspec.Struct, frozen=True):
    """What is wrong with a batch's file. line: 1-based, blank lines counted; None where it is the whole file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchUsage(msgspec.Struct, frozen=True):
    """Tokens that the answers of a batch used."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def shown(self) -> dict[str, Any]:
        """The object that batches show."""
        return {
            "input_tokens": self.input_tokens,
            "input_tokens_details": {"cached_tokens": self.cached_tokens},
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
            "total_tokens": self.input_tokens + self.output_tokens,
        }


class FailureExample(msgspec.Struct, frozen=True):
    """Rows that failed with the same code: how many, and one of them."""

    count: int
    custom_id: str
    message: str


class Batch(msgspec.Struct, frozen=True):
    """A batch.

    input_name: file name of its input. total, completed, failed: rows; failed leaves those out that were cancelled or expired.
    ends_as: what a batch that is being finalized becomes. output_seconds: how long its results are kept; None for ever.
    """

    id: str
    created_at: int
    endpoint: str
    input_file_id: str
    completion_window: str
    status: Status = Status.VALIDATING
    input_name: str = ""
    metadata: dict[str, str] | None = None
    model: str | None = None
    errors: tuple[LineError, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    expires_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: BatchUsage | None = None
    output_seconds: int | None = None
    ends_as: Status = Status.COMPLETED
    failures: dict[str, FailureExample] = {}
    cost: float | None = None

    def shown(self, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The batch object. extra: what is shown under `headrace`, a key that OpenAI does not have."""
        problems = [msgspec.structs.asdict(error) for error in self.errors]
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": {"object": "list", "data": problems} if problems else None,
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.status.value,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_at,
            **{name: getattr(self, name) for name in SHOWN_TIMES},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": None if self.usage is None else self.usage.shown(),
            "metadata": self.metadata,
            "headrace": dict(extra or {}),
        }


def page_of(items: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page of a list."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }
