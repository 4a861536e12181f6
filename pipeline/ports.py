"""What the stages ask of the world: small protocols, each with its contract.

A new source, store, provider or observer implements one of these and changes no stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.core.bookkeeping.reorder import Indexed

if TYPE_CHECKING:
    from pipeline.records import Answer, Fault, Job, Outcome


class Sender(Protocol):
    """Makes attempts over a connection of its own, one at a time."""

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt: everything that may go wrong on the way is a Fault, and no attempt outlives its deadlines.

        Cancellation: the attempt is lost and its connection dropped; the provider may have seen the request.
        """

    def close(self) -> None:
        """Close the connection. Calling it again does no harm."""


OpenSender = Callable[[], Sender]


class ClientRequestIds(Protocol):
    """Names an attempt, so that one of unknown outcome can be traced at the provider."""

    def __call__(self, index: int, attempt: int) -> str:
        """ASCII, at most 512 characters, different for every attempt."""


class Recorder(Protocol):
    """Where outcomes become durable before they are ordered, and wait behind a slow row. What it gives back is written."""

    @property
    def held(self) -> Intervals:
        """Rows recorded and not yet written, when the flow starts."""

    @property
    def first_index(self) -> int:
        """The first row not yet written, when the flow starts; `take_rows` begins with it."""

    @property
    def linger_seconds(self) -> float:
        """How long outcomes are gathered before they are recorded: what recording costs is paid once for them."""

    async def record(self, outcomes: list[Outcome]) -> list[Any]:
        """Make outcomes durable; gives for each what is to be written."""

    def record_now(self, outcomes: list[Outcome]) -> None:
        """The same without waiting, for the moment of a cancellation."""

    async def read_back(self, first: int, count: int) -> list[Any]:
        """What is to be written of the rows `[first, first + count)`, all of which are recorded."""

    def size_of(self, item: Any) -> int:
        """The bytes of what is to be written of a row."""


class NoRecorder:
    """Stands in where nothing is to survive the process: outcomes pass as they are."""

    held = Intervals()
    first_index = 0
    linger_seconds = 0.01

    async def record(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Outcomes, as they came."""
        return outcomes

    def record_now(self, outcomes: list[Outcome]) -> None:
        """Nothing: they are lost."""

    async def read_back(self, first: int, count: int) -> list[Outcome]:
        """Nothing was ever left here."""
        raise LookupError(f"rows {first} to {first + count} were not recorded")

    def size_of(self, item: Outcome) -> int:
        """The bytes of an outcome, which nobody asks for."""
        return len(item.body or b"")


T = TypeVar("T", bound=Indexed)


class Emitter(Protocol[T]):
    """Where finished rows go."""

    async def emit(self, items: list[T]) -> None:
        """Hand over a group; it is out of the run when this returns."""
