"""Passes `GET /v1/models` on to the provider, over a connection of its own. Not limited: it runs no model."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from pipeline.core.batches.errors import ApiError
from pipeline.records import Answer, Job

if TYPE_CHECKING:
    from pipeline.ports import OpenSender

SECONDS = 30.0


@define(eq=False)
class Models:
    """Asks the first provider of the config."""

    open_sender: OpenSender
    _lock: trio.Lock = field(factory=trio.Lock, init=False)

    async def ask(self, path: str) -> tuple[int, bytes]:
        """Status and body of what the provider says. Raises ApiError if it is out of reach."""
        job = Job(0, "models", "GET", path, b"", 0, 0)
        sender = self.open_sender()
        try:
            async with self._lock:
                with trio.fail_after(SECONDS):
                    reply = await sender.send(job, f"headrace-models-{uuid.uuid4().hex[:12]}")
        except ValueError:
            raise ApiError(404, "No such model.", code="model_not_found") from None
        except trio.TooSlowError:
            raise ApiError(504, f"The provider did not answer within {SECONDS:.0f} s.", kind="server_error") from None
        finally:
            sender.close()
        if isinstance(reply, Answer):
            return (reply.status, reply.body) if reply.status < 500 and reply.status not in (401, 403) else (502, reply.body)
        raise ApiError(502, f"The provider cannot be asked: {reply.message}", kind="server_error")
