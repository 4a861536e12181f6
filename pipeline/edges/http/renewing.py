"""Reads a lane's key again when the provider refuses it, since keys of some providers live for an hour (Entra, Vertex).

A refused request is not sent again here: that is for the gate to allow, as for every attempt. It becomes a fault of the connection, for
which no row is to blame, if there is another key now; else the refusal stands.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from pipeline.light import InTask, ask_before, attempts_of, in_task
from pipeline.records import Answer, FailureKind, Fault, FaultCause

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.edges.http.request import RequestHeads
    from pipeline.ports import Departure, Sender
    from pipeline.records import Job

REFUSED = 401
AGAIN_SECONDS = 5.0  # between two readings that give nothing new: a relay's whims must not start a program for each answer

KeyHeader = tuple[str, str]
_log = logging.getLogger(__name__)


class KeyRenewal:
    """The key of one lane, for all its senders. Holds it: never log, never print.

    read: gives name and value of its header, and blocks; raises ValueError that says why not. version: how often it has changed.
    """

    __slots__ = ("_again_at", "_header", "_lock", "_read", "version")

    def __init__(self, read: Callable[[], KeyHeader], header: KeyHeader | None) -> None:
        self._read = read
        self._header = header
        self._lock = trio.Lock()
        self._again_at = 0.0  # clock
        self.version = 0

    async def renew(self, heads: RequestHeads, used: int) -> bool:
        """Read the key that a request with this version of it was refused for; whether there is another one now.

        Cancellation: nothing has changed.
        """
        async with self._lock:  # all attempts in flight are refused together
            if self.version != used:
                return True
            if trio.current_time() < self._again_at:
                return False
            try:
                header = await trio.to_thread.run_sync(self._read)
            except ValueError as error:
                _log.warning("the key was refused and cannot be read again: %s", error)
                header = self._header  # type: ignore[assignment]  # whoever reads has a key
            if header == self._header:
                self._again_at = trio.current_time() + AGAIN_SECONDS
                return False
            heads.take_key(header)
            self._header = header
            self.version += 1
            return True


class RenewingSender:
    """A Sender that has the key read again when it is refused."""

    __slots__ = ("_attempt", "_heads", "_renewal", "_sender")

    def __init__(self, sender: Sender, heads: RequestHeads, renewal: KeyRenewal) -> None:
        self._sender = sender
        self._attempt = attempts_of(sender)
        self._heads = heads
        self._renewal = renewal

    def ask_before(self, departure: Departure) -> None:
        """See `AskingSender`."""
        ask_before(self._sender, departure)

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt. Cancellation: as of any sender."""
        return await in_task(self.attempt(job, client_request_id))

    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt, for a light task."""
        used = self._renewal.version
        reply = await self._attempt(job, client_request_id)
        if not isinstance(reply, Answer) or reply.status != REFUSED or not await InTask(self._renewal.renew, self._heads, used):
            return reply
        message = f"{self._heads.base.address} refused the key (HTTP 401), which has been read again since"
        return Fault(FailureKind.CONNECTION, message, maybe_sent=False, cause=FaultCause.CLOSED, sent_at=reply.sent_at)

    def release(self) -> None:
        """The last answer is no longer in memory."""
        self._sender.release()

    def close(self) -> None:
        """Close the connection."""
        self._sender.close()
