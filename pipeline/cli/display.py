"""How the progress of a run looks: a line every few seconds for a log, live lines at the foot of a terminal.

These screens are drawn by the terminal's own thread (see `terminal`), so they may block. They have no clock: a record of progress
says how much time has passed. Only the live screen imports rich, when it is first drawn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TextIO, cast

from pipeline.cli.terminal import Output, Screen
from pipeline.cli.texts import progress_text

if TYPE_CHECKING:
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


class PlainScreen(Screen["Progress"]):
    """A line every few seconds; a run that is shorter gets none."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._next = LINE_SECONDS

    def draw(self, output: Output, state: Progress) -> None:
        """Write a line if one is due."""
        rate = self._pace.rate(state)
        if state.elapsed_seconds >= self._next:
            self._next = state.elapsed_seconds + LINE_SECONDS
            output.write(progress_text(state, rate) + "\n")


class LiveScreen(Screen["Progress"]):
    """Keeps its lines up to date at the foot of a terminal; other lines go above them. They are gone when it is cleared."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._live: Live | None = None

    def lines(self, output: Output, text: str) -> None:
        """Write whole lines above the live ones."""
        if self._live is None:
            output.write(text)
        else:
            self._live.console.print(text, markup=False, highlight=False, end="", soft_wrap=True)

    def draw(self, output: Output, state: Progress) -> None:
        """Draw the newest state in place of the one before."""
        from rich.text import Text

        live = self._live or self._start(output)
        live.update(Text(progress_text(state, self._pace.rate(state)), overflow="fold"), refresh=True)

    def clear(self) -> None:
        """Take the lines away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _start(self, output: Output) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=cast("TextIO", output), force_terminal=True)
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
        return self._live


def screen_for(kind: str, output: Output) -> Screen[Progress]:
    """How progress is shown; "auto" is live on a terminal and plain elsewhere."""
    if kind == "auto":
        kind = "live" if output.isatty() else "plain"
    return {"live": LiveScreen, "plain": PlainScreen}.get(kind, Screen)()
