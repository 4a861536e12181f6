"""SIGINT, SIGTERM and SIGHUP become two requests: the first to stop in good order, the second to stop at once.

SIGHUP has two meanings. A terminal that is closed sends it; what was sent by then is paid for, so the run drains as it does at
Ctrl-C. To a process without a terminal, and to one that `nohup` protects from its terminal, nobody sends it but on purpose:
there it means "read the config again", as daemons take it. A signal that the parent process ignores (nohup, a shell's
background job, `trap ''`) never stops a run.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPING = "stopping: nothing more is sent, what is in flight may finish; once more to cancel it"
CANCELLING = "cancelling what is in flight"


def handled() -> list[signal.Signals]:
    """The signals that stop a command: those that are not ignored."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def hangup_is_a_request() -> bool:
    """Whether SIGHUP asks to read the config again, because no terminal that is closed can have sent it, or none that counts."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or not has_terminal()


def has_terminal() -> bool:
    """Whether a terminal controls this process."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def reload_on_hangup(reload: Callable[[], Awaitable[None]], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Call `reload` at every SIGHUP, until cancelled. Started once the signal is watched for; must run in the main thread.

    Cancellation: the signal's former handler is back.
    """
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            await reload()


async def stop_on_signals(
    stop: trio.Event,
    cancel: Callable[[], None],
    say: Callable[[str], None],
    *,
    hangup_stops: bool = True,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Set `stop` at the first signal and call `cancel` at every later one, until cancelled.

    say: told what happens. hangup_stops: SIGHUP does so, too. Started once signals are watched for; must run in the main thread.
    Cancellation: the signals' former handlers are back.
    """
    numbers = [number for number in handled() if hangup_stops or number is not signal.SIGHUP]
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
