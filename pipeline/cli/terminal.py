"""Writes to stderr from a thread of its own, so that a terminal that nobody reads never stops a run.

Theory of operation. A write to a stopped terminal (Ctrl-S, a hung ssh session) or to a full pipe blocks until somebody
reads. Written from the event loop, it would stop the whole run. So while a command works, only this module writes to stderr,
and it does so in one daemon thread. Two things are handed to the thread, and handing over never waits:

- lines (`say`), which are kept in order. While nobody reads, at most `LINES_KEPT` of them are kept, the newest;
- the newest state of what is displayed (`show`). It replaces a state that was not drawn yet.

A `Screen` knows how lines and states look. It is used by the thread alone, so it needs no lock.

The thread writes to the descriptor and not through `sys.stderr`: a thread that is blocked inside Python's buffered stream holds
its lock, and the interpreter crashes at its exit when it cannot take that lock.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

S = TypeVar("S")

LINES_KEPT = 1000  # as many as -vv logs in a second or so; more would be memory for what nobody reads
LAST_SECONDS = 10.0  # how long the end of a command waits for somebody to read its last words


class Output:
    """A text stream that writes straight to the descriptor behind another one, or to that stream where it has none.

    Error handling: a reader that has gone is not an error; the rest of the output is lost.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._descriptor = _descriptor_of(stream)
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write all of a text. Blocks while nobody reads."""
        try:
            if self._descriptor is not None:
                _write_all(self._descriptor, text.encode(self.encoding, "backslashreplace"))
            elif self._stream is not None:
                self._stream.write(text)
        except (OSError, ValueError):  # a broken pipe, a terminal that hung up, a full disk, a closed stream
            pass
        return len(text)

    def flush(self) -> None:
        """Nothing is buffered."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        try:
            return self._descriptor is not None and os.isatty(self._descriptor)
        except OSError:
            return False

    def fileno(self) -> int:
        """The descriptor. Raises OSError where there is none."""
        if self._descriptor is None:
            raise OSError("there is no descriptor behind this stream")
        return self._descriptor


class Screen(Generic[S]):
    """How lines and states look: lines one below the other, and no states. Used by the terminal's thread alone.

    takes_objects: it is read by a program, so that a summary is one object. Such a screen stays in use to the end. is_log: its lines
    stay, so what happens to lanes and budgets is told in lines too.
    """

    takes_objects = False
    is_log = False

    def lines(self, output: Output, text: str) -> None:
        """Write whole lines."""
        output.write(text)

    def draw(self, output: Output, state: S) -> None:
        """Show the newest state."""

    def clear(self) -> None:
        """Take away what must not stay."""


class Terminal(Generic[S]):
    """Where a command says things to people. Entered for the length of a command; nothing here blocks but leaving it.

    Resource handling: owns one daemon thread, started by the first thing that is said. Leaving waits until everything is
    written, or for `last_seconds` if nobody reads; a thread that is still blocked then ends with the process.
    """

    def __init__(self, stream: TextIO | None, *, last_seconds: float = LAST_SECONDS) -> None:
        self.output = Output(stream)
        self._last_seconds = last_seconds
        self._screen: Screen[S] = Screen()
        self.takes_objects = False
        self._changed = threading.Condition()
        self._waiting: deque[str | Screen[S]] = deque()
        self._states: list[S] = []  # none or one
        self._dropped = 0
        self._busy = False
        self._left = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Wait for what was said to be written."""
        if not self.takes_objects:
            self.use(Screen())
        with self._changed:
            self._left = True
            self._changed.notify_all()
        self.settle()

    def say(self, text: str) -> None:
        """Write a text as lines of their own."""
        self._put(text + "\n")

    def use(self, screen: Screen[S]) -> None:
        """Clear the screen in use after all that was said before, and go on with another one."""
        self.takes_objects = screen.takes_objects
        self._put(screen)

    def show(self, state: S) -> None:
        """Draw a state, unless a newer one comes before it is drawn."""
        with self._changed:
            self._states[:] = [state]
            self._start()

    def settle(self) -> bool:
        """Wait until everything that was handed over is written; False if nobody reads."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._busy or self._waiting or self._states), self._last_seconds)

    def _put(self, item: str | Screen[S]) -> None:
        with self._changed:
            if isinstance(item, str) and len(self._waiting) >= LINES_KEPT:
                self._drop_oldest()
            self._waiting.append(item)
            self._start()

    def _drop_oldest(self) -> None:
        for index, item in enumerate(self._waiting):
            if isinstance(item, str):
                del self._waiting[index]
                self._dropped += 1
                return

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="headrace-terminal", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        while (work := self._take()) is not None:
            items, states, dropped = work
            try:
                self._write(items, states, dropped)
            except Exception as error:  # noqa: BLE001  a display that fails must not end the thread that everything is said through
                self._screen = Screen()
                self.output.write(f"the display failed and is switched off: {type(error).__name__}: {error}\n")

    def _take(self) -> tuple[list[str | Screen[S]], list[S], int] | None:
        """What is to be written next; None when there will be nothing any more."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._states or self._left)
            if not (self._waiting or self._states):
                return None
            self._busy = True
            taken = list(self._waiting), list(self._states), self._dropped
            self._waiting.clear()
            self._states.clear()
            self._dropped = 0
            return taken

    def _write(self, items: list[str | Screen[S]], states: list[S], dropped: int) -> None:
        text = f"{dropped:,} lines are left out here: nobody read them in time\n" if dropped else ""
        for item in items:
            if isinstance(item, str):
                text += item
                continue
            if text:
                self._screen.lines(self.output, text)
            text = ""
            self._screen.clear()
            self._screen = item
        if text:
            self._screen.lines(self.output, text)
        for state in states:
            self._screen.draw(self.output, state)


def _descriptor_of(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError, AttributeError):  # a StringIO, a closed stream, something that only has `write`
        return None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # somebody who shares the terminal has made it non-blocking
            select.select([], [descriptor], [])
