"""SIGINT, SIGTERM and SIGHUP become two requests: the first to stop in good order, the second to stop at once.

A terminal that is closed sends SIGHUP; what was sent by then is paid for, so the run drains as it does at Ctrl-C. A signal
that the parent process ignores (nohup, a shell's background job, `trap ''`) stays ignored.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPING = "stopping: nothing more is sent, what is in flight may finish; once more to cancel it"
CANCELLING = "cancelling what is in flight"


def handled() -> list[signal.Signals]:
    """The signals that stop a command: those that are not ignored."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


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
    numbers = handled()
    if not numbers:
        task_status.started()
        await trio.sleep_forever()
    with trio.open_signal_receiver(*numbers) as signals:
        task_status.started()
        first = True
        async for _ in signals:
            say(STOPPING if first else CANCELLING)
            if first:
                stop.set()
            else:
                cancel()
            first = False
