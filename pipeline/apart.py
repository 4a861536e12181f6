"""Runs functions in a process of their own, for work that would hold up the event loop even from a thread.

Theory of operation. A call into C keeps Python's interpreter lock until it returns, and the event loop waits for it, in whatever thread
the call is made. One decode of 60 MB can take 300 ms. So what is done with such a text is done by a helper process: it has an interpreter
of its own, and the loop notices nothing of it.

There is one helper for each run of trio. It starts with the first call, does one call after the other, and ends with the run. It hears
nothing of Ctrl-C, and ends by itself when its pipe is closed, so also when this process is killed. Arguments and results go through the
pipes as pickles; large bytes are written from where they are and read into their place, with the lock free meanwhile.

Where no helper can be had (no memory, no process left, Python embedded in another program), or where it ends early, the function runs in a
thread of this process instead: slower for the others, and the same otherwise.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from trio.lowlevel import RunVar

from pipeline.apart_worker import READY, said_by

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")

# `-c` and not `-m`: `-m` would put the working directory into the path.
_START = "import sys; sys.path[:] = sys.argv[1:]; from pipeline.apart_worker import work; work()"
START_SECONDS = 60.0  # until a process that does not say that it is ready is taken to be something else


async def apart(function: Callable[..., R], *arguments: object) -> R:
    """The result of a pure function of the package, made in the helper process. Raises what it raises.

    function, arguments: can be pickled; else it runs in a thread. The arguments stay as they are, or are changed if it runs in a thread:
    use only the result. Cancellation: the helper is ended, and whatever it has done is lost.
    """
    helper = _HELPER.get()
    if helper is None:
        helper = _Helper()
        _HELPER.set(helper)
        trio.lowlevel.spawn_system_task(helper.until_the_end)
    result: R = await helper.call(function, arguments)
    return result


class _Helper:
    """The helper of one run of trio. Owns its process; `until_the_end` ends it."""

    def __init__(self) -> None:
        self._turn = trio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._cannot_start = False

    async def until_the_end(self) -> None:
        """Wait until the run ends, and end the process then."""
        try:
            await trio.sleep_forever()
        finally:
            self._end()

    async def call(self, function: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
        """As `apart`."""
        async with self._turn:
            try:
                process = self._process or await self._start()
                done, value = (False, None) if process is None else await _in_thread(_ask, process, function, arguments)
            except BaseException:  # cancelled, or not to be read: it may be in the middle of something
                self._end()
                raise
            if not done:
                self._end()
                value = await trio.to_thread.run_sync(said_by, function, arguments)
        if isinstance(value, BaseException):
            raise value
        return value

    async def _start(self) -> subprocess.Popen[bytes] | None:
        """Start the process; None if there can be none."""
        if self._cannot_start:
            return None
        try:
            self._process = process = await trio.to_thread.run_sync(_started)
            with trio.move_on_after(START_SECONDS):
                if await _in_thread(_is_ready, process):
                    return process
        except OSError:
            pass
        self._cannot_start = True
        return None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what was not written yet
                        pipe.close()


_in_thread = partial(trio.to_thread.run_sync, abandon_on_cancel=True)  # all that is done so ends when the process does


def _started() -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parent.parent)
    return subprocess.Popen(  # noqa: S603  our own interpreter
        [sys.executable, "-c", _START, root, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _is_ready(process: subprocess.Popen[bytes]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline(len(READY)) == READY


def _ask(process: subprocess.Popen[bytes], function: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[bool, Any]:
    """Have a call done, and give what came of it, a result or an exception. Blocks. False: it could not be done."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        pickle.dump((function, arguments), process.stdin, pickle.HIGHEST_PROTOCOL)
        process.stdin.flush()
        return True, pickle.load(process.stdout)  # noqa: S301  from our own process
    except (OSError, EOFError, pickle.PickleError, AttributeError, TypeError, ValueError):  # the last three: it cannot be pickled
        return False, None


_HELPER: RunVar[_Helper | None] = RunVar("pipeline.apart", None)
