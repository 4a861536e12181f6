"""SIGINT and SIGTERM become two requests: the first to stop in good order, the second to stop at once."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

STOPPING = "stopping: nothing more is sent, what is in flight may finish; once more to cancel it"
CANCELLING = "cancelling what is in flight"


async def stop_on_signals(
    stop: trio.Event,
    cancel: Callable[[], None],
    say: Callable[[str], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Set `stop` at the first signal and call `cancel` at every later one, until cancelled.

    say: told what happens. Started once signals are watched for; must run in the main thread.
    Cancellation: the signals' former handlers are back.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        first = True
        async for _ in signals:
            say(STOPPING if first else CANCELLING)
            if first:
                stop.set()
            else:
                cancel()
            first = False
