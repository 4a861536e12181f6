"""Ends the process of a command, without freeing first what the system takes back as a whole.

Python frees every module, class and object before it ends. After a run that is 5 % of what a start costs, and nothing is gained: what
must be flushed, joined or called at the end is done here first.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

# What stands below the function that ends the process: the script that an installer writes, or Python's own `-m`.
OUTERMOST = (["<module>"], ["<module>", "_run_code", "_run_module_as_main"])


def end(code: int) -> NoReturn:
    """End as `sys.exit` does, at once. Must be the last call of a function that a script, or a module run by `-m`, calls.

    Functions registered with `atexit` are called, and the standard streams are flushed. It is `sys.exit` itself where more has to happen:
    where code of somebody else goes on afterwards, a debugger or profiler watches, a thread must be waited for, or a stream cannot be
    flushed.
    """
    if _somebody_goes_on() or sys.gettrace() is not None or sys.getprofile() is not None or _threads_to_wait_for():
        sys.exit(code)
    atexit._run_exitfuncs()  # noqa: SLF001  Python calls them itself only at an ordinary end, and has no public name for it
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # Python has a message and an exit code for it
        sys.exit(code)
    os._exit(code)


def _somebody_goes_on() -> bool:
    """Whether the function that called `end` was called by more than what starts a command."""
    names = []
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001  the way to see one's callers
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names not in OUTERMOST


def _threads_to_wait_for() -> bool:
    """Whether there are threads that Python waits for before it ends."""
    return any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
