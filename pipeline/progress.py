"""How a run tells people where it stands: lines for a log, two live lines for a terminal, and the last words.

Pure text out of `Progress` and `Summary` records; no clock of its own, and rich is imported only by the live display. Writing is
left to the caller's `say`, which must bear a reader that has gone.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.live import Live

    from pipeline.records import Progress, Summary

LINE_SECONDS = 5.0  # between two lines of a log: an hour's run is 720 lines
PACE_SECONDS = 15.0  # the rate is taken over so long: it follows a limit's change within the minute and hides single rows
NO_LIMIT = frozenset({"input", "retry"})  # what a gate waits for when no limit holds it


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


def progress_text(progress: Progress, rate: float) -> str:
    """One line: rows, rate, what went wrong, what is under way, and when it will end if that can be known."""
    total = "" if progress.rows_total is None else f"/{progress.rows_total:,}"
    parts = [f"{progress.rows_done:,}{total} rows", f"{rate:,.1f}/s"]
    parts += [f"{count:,} {name}" for count, name in ((progress.rows_failed, "failed"), (progress.retries, "retries")) if count]
    parts.append(f"{progress.in_flight:,} in flight")
    if progress.waiting:
        parts.append(f"{progress.waiting:,} waiting to retry")
    if progress.bound and progress.bound not in NO_LIMIT:
        parts.append(f"held by {progress.bound}")
    left = None if progress.rows_total is None else progress.rows_total - progress.rows_done
    if left and rate > 0:
        parts.append(f"ETA {duration_text(left / rate)}")
    return " · ".join(parts)


def duration_text(seconds: float) -> str:
    """Seconds as people say them: 4.2 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def summary_text(summary: Summary, output: str) -> str:
    """The last words on a run: what came of it, what it took, what held it back, and where the results are."""
    rate = f"{summary.requests_per_second:,.1f}/s"
    lines = [
        f"{summary.total:,} rows in {duration_text(summary.duration_seconds)}: {summary.succeeded:,} succeeded, {summary.failed:,} failed",
        f"{summary.attempts:,} attempts at {rate}, {summary.retries:,} retries, {summary.throttled:,} throttled",
        f"{summary.prompt_tokens:,} prompt tokens, {summary.output_tokens:,} output tokens" + _cost(summary.cost),
    ]
    if summary.skipped_resumed:
        lines.append(f"{summary.skipped_resumed:,} rows were finished before")
    if summary.unknown_outcome:
        lines.append(f"{summary.unknown_outcome:,} attempts got no answer and may have been billed")
    if summary.limited_by:
        shares = sorted(summary.limited_by.items(), key=lambda item: -item[1])
        lines.append("held back by " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    lines.append(f"results: {output}")
    if summary.failed:
        lines.append("each failed row has its error in its place in the results")
    return "\n".join(lines)


def _cost(cost: float | None) -> str:
    return "" if cost is None else f", cost {cost:,.4f}"


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
        from rich.text import Text  # noqa: PLC0415

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
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
        return self._live
