"""Hands connections on from one shard to the next, so that a worker does not open all of them anew with every shard.

The workers of a flow close their senders when it ends. Here such a sender is put aside with its connection, and the next flow gets it
when it asks for one. A connection that was in the middle of an attempt is closed all the same: the sender itself has dropped it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.ports import OpenSender, Sender


class SpareSenders:
    """The senders of one lane. Opens another one where none is spare; whoever owns it closes it."""

    def __init__(self, open_sender: OpenSender) -> None:
        self._open = open_sender
        self._spare: list[Sender] = []
        self._closed = False

    def __call__(self) -> Sender:
        """A sender, which comes back here when it is closed. It is an `OpenSender`."""
        return _Lent(self._spare.pop() if self._spare else self._open(), self)

    def take_back(self, sender: Sender) -> None:
        """Keep a sender for the next one who asks."""
        if self._closed:
            sender.close()
        else:
            sender.release()
            self._spare.append(sender)

    def close(self) -> None:
        """Close those that are spare, and what comes back later."""
        self._closed = True
        while self._spare:
            self._spare.pop().close()


class _Lent:
    """A sender as a flow has it: all its methods are the sender's own, so that attempts cost no more, except for `close`."""

    def __init__(self, sender: Sender, owner: SpareSenders) -> None:
        self._sender: Sender | None = sender
        self._owner = owner
        self.send, self.release = sender.send, sender.release
        for name in ("attempt", "ask_before"):  # which not every sender has
            if hasattr(sender, name):
                setattr(self, name, getattr(sender, name))

    def close(self) -> None:
        """Give it back. Calling it again does no harm."""
        sender, self._sender = self._sender, None
        if sender is not None:
            self._owner.take_back(sender)
