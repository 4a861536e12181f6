"""Shows the progress of a run: a line every few seconds for a log, two live lines for a terminal.

No clock of its own; only the live display imports rich. Writing is left to the caller's `say`, which must cope with a reader
that has gone.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from pipeline.cli.texts import progress_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.live import Live

    from pipeline.records import Progress

LINE_SECONDS = 5.0  # between two lines of a log: an hour's run is 720 lines
PACE_SECONDS = 15.0  # the rate is taken over so long: it follows a limit's change within the minute and hides single rows


class Pace:
    """The rate of late, from the records that pass by."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque([(0.0, 0)])

    def rate(self, progress: Progress) -> float:
        """Rows a second, over the last `PACE_SECONDS`."""
        now = progress.elapsed_seconds
        self._seen.append((now, progress.rows_done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - PACE_SECONDS:
            self._seen.popleft()
        then, done = self._seen[0]
        return (progress.rows_done - done) / (now - then) if now > then else 0.0


class Display:
    """Shows nothing while it is entered, and passes on what is to be said."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._pace = Pace()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to put away."""

    def show(self, progress: Progress) -> None:
        """Show a run's new state."""

    def say(self, text: str) -> None:
        """Tell something besides."""
        self._say(text)


class PlainDisplay(Display):
    """Says a line every few seconds; a run that is shorter gets none."""

    _next = LINE_SECONDS

    def show(self, progress: Progress) -> None:
        """Say a line if one is due."""
        rate = self._pace.rate(progress)
        if progress.elapsed_seconds >= self._next:
            self._next = progress.elapsed_seconds + LINE_SECONDS
            self._say(progress_text(progress, rate))


class LiveDisplay(Display):
    """Keeps its lines up to date at the foot of a terminal; they are gone when the run ends. A terminal that hung up is borne."""

    _live: Live | None = None

    def show(self, progress: Progress) -> None:
        """Draw anew. The first call imports rich, so that the first request need not wait for it."""
        from rich.text import Text

        with suppress(OSError):
            live = self._live or self._start()
            live.update(Text(progress_text(progress, self._pace.rate(progress)), overflow="fold"), refresh=True)

    def say(self, text: str) -> None:
        """Tell something above the live lines."""
        if self._live is None:
            self._say(text)
            return
        with suppress(OSError):
            self._live.console.print(text, markup=False, highlight=False)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the lines away."""
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()

    def _start(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
        return self._live
