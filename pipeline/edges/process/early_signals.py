"""Until a run can end in good order, SIGINT, SIGTERM and SIGHUP end the process at once and quietly: nothing was sent yet.

Python's own way, an exception out of whatever runs at that moment, is a traceback when that is an import; and when it is a callback
of an import's lock it is swallowed, and a run that was told to stop goes on to its end.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager

TYPE_CHECKING = False  # importing typing takes 4 ms, in which a Ctrl-C would be a traceback
if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_at_once() -> None:
    """Let a signal end the process from now on, unless it is ignored. Must be called in the main thread."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """The same for the length of a block."""
    former = [signal.getsignal(number) for number in SIGNALS]
    end_at_once()
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, former, strict=True):
            signal.signal(number, handler)


def change_nothing() -> None:
    """Let no signal end the process any more. For one whose command has ended: its exit code stands, however long Python takes to go.

    Python itself would give the signals back to the system meanwhile, where they kill; an ignored one it leaves alone.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: object) -> None:
    del number, frame
    try:
        if select.select([], [2], [], 0)[1]:  # a terminal that nobody reads must not hold the process
            os.write(2, b"interrupted\n")
    except (OSError, ValueError):
        pass
    os._exit(INTERRUPTED)
