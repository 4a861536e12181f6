"""How the progress of a run is shown: live lines on a terminal, sentences in a log, JSON lines for programs.

These screens are drawn by the terminal's own thread (see `terminal`), so they may block. They have no clock: a record of progress
says how much time has passed. Only the live screen imports rich, when it is first drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO, cast

import msgspec

from pipeline.cli.announcer import as_event
from pipeline.cli.terminal import Output, Screen
from pipeline.cli.view import Facts, LaneView, View, Watcher
from pipeline.core.output.words import duration, many, money, share, title

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

    from pipeline.cli.drawing import Line
    from pipeline.summaries import FailedRow, Progress, WorkersProgress

FIRST_SECONDS = 0.5  # before the first live lines
# A log gets a line every ten seconds at first, when people look whether a run does well, and then one a minute.
SOON_SECONDS, OFTEN_SECONDS, LATER_SECONDS = 60.0, 10.0, 60.0
BUDGET_TOLD = 0.8  # of the budget for costs; from there on a log is told

STYLES = {"": "", "dim": "dim", "bold": "bold", "bar": "green", "gauge": "cyan", "bad": "bold red"}
STYLES_WITHOUT_COLOUR = {name: " ".join(word for word in style.split() if word in {"bold", "dim"}) for name, style in STYLES.items()}


class LoggedScreen(Screen["Progress"]):
    """What plain and JSON lines have in common: one now and then, and one at once for the first failure of a kind."""

    is_log = True

    def __init__(self, facts: Facts) -> None:
        self._watcher = Watcher(facts)
        self._next = OFTEN_SECONDS
        self._known: set[str] = set()

    def draw(self, output: Output, state: Progress) -> None:
        """Write what is due."""
        view = self._watcher.look(state)
        budget = view.facts.budget
        if budget and view.cost is not None and view.cost >= BUDGET_TOLD * budget and "budget" not in self._known:
            self._known.add("budget")
            output.write(self.budget(view.cost, budget) + "\n")
        for code, group in view.failures:
            if code not in self._known:
                self._known.add(code)
                output.write(self.failure(code, group.example) + "\n")
        if view.elapsed >= self._next:
            self._next = view.elapsed + (OFTEN_SECONDS if view.elapsed < SOON_SECONDS else LATER_SECONDS)
            output.write(self.progress(view) + "\n")

    def failure(self, code: str, row: FailedRow) -> str:
        """The line for the first failure of a kind."""
        raise NotImplementedError

    def budget(self, cost: float, budget: float) -> str:
        """The line for a budget that is nearly used up."""
        raise NotImplementedError

    def progress(self, view: View) -> str:
        """The line for a moment of the run."""
        raise NotImplementedError


class PlainScreen(LoggedScreen):
    """Sentences without a glyph, for logs and screen readers. A run that is short and well gets none."""

    def failure(self, code: str, row: FailedRow) -> str:
        """Which row it was, and what was said."""
        return f"first {title(code)}, row {row.index + 1:,} ({row.custom_id}): {' '.join(row.message.split())}"

    def budget(self, cost: float, budget: float) -> str:
        """How much of it is spent."""
        return f"budget: {share(cost / budget)} spent, {money(cost)} of {money(budget)}"

    def progress(self, view: View) -> str:
        """Rows, rate, what went wrong, what is under way, and when it will end if that can be known."""
        return ", ".join(sentences(view))


class JsonScreen(LoggedScreen):
    """An object on each line, whatever is said."""

    takes_objects = True

    def lines(self, output: Output, text: str) -> None:
        """Write each line as an object; what is an object already passes as it is."""
        for line in text.splitlines():
            output.write(line + "\n" if line.startswith('{"event":') else as_event("message", {"text": line}) + "\n")

    def failure(self, code: str, row: FailedRow) -> str:
        """The row and its message."""
        return as_event("failure", {"code": code, "index": row.index, "custom_id": row.custom_id, "message": row.message})

    def budget(self, cost: float, budget: float) -> str:
        """Both amounts."""
        return as_event("budget", {"cost": cost, "budget": budget})

    def progress(self, view: View) -> str:
        """All figures of the view."""
        return as_event("progress", _figures(view))


class LiveScreen(Screen["Progress"]):
    """Keeps its lines up to date at the foot of a terminal; other lines go above them. They are gone when it is cleared."""

    def __init__(self, facts: Facts, *, colour: bool = True) -> None:
        self._watcher = Watcher(facts)
        self._styles = STYLES if colour else STYLES_WITHOUT_COLOUR
        self._live: Live | None = None

    def lines(self, output: Output, text: str) -> None:
        """Write whole lines above the live ones."""
        if self._live is None:
            output.write(text)
        else:
            self._live.console.print(text, markup=False, highlight=False, end="", soft_wrap=True)

    def draw(self, output: Output, state: Progress) -> None:
        """Draw the newest state in place of the one before."""
        if self._live is None and state.elapsed_seconds < FIRST_SECONDS:
            return  # a short run flickers nothing
        from pipeline.cli.drawing import ASCII, UNICODE, draw

        live = self._live or self._start(output)
        signs = UNICODE if output.encoding.lower().replace("-", "") == "utf8" else ASCII
        size = live.console.size
        lines = draw(self._watcher.look(state), size.width, size.height, signs)
        live.update(_Lines(lines, self._styles), refresh=True)

    def clear(self) -> None:
        """Take the lines away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _start(self, output: Output) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=cast("TextIO", output), force_terminal=True, highlight=False)
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
        return self._live


class _Lines:
    """Drawn lines as rich's segments: a tenth of what a table or a text costs at each refresh."""

    def __init__(self, lines: list[Line], styles: Mapping[str, str]) -> None:
        self._lines = lines
        self._styles = styles

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment
        from rich.style import Style

        for number, line in enumerate(self._lines):
            if number:
                yield Segment.line()
            yield from (Segment(text, Style.parse(self._styles[style])) for text, style in line if text)


def screen_for(kind: str, output: Output, facts: Facts, environment: Mapping[str, str]) -> Screen[Progress]:
    """How progress is shown. kind: as the flag says; "auto" is what HEADRACE_PROGRESS says, or live on a terminal and plain elsewhere."""
    if kind == "auto":
        kind = environment.get("HEADRACE_PROGRESS", "auto")
    if kind == "auto":
        on_screen = output.isatty() and environment.get("TERM", "dumb") not in {"", "dumb"} and not environment.get("CI")
        kind = "live" if on_screen else "plain"
    if kind == "live":
        return LiveScreen(facts, colour=not environment.get("NO_COLOR"))
    return {"plain": PlainScreen, "json": JsonScreen}[kind](facts) if kind in {"plain", "json"} else Screen()


def sentences(view: View) -> Iterator[str]:
    """What a log says of a moment."""
    about = "" if view.exact else "about "
    rows = many(view.done, "row") if view.total is None else f"{view.done:,} of {about}{many(view.total, 'row')}"
    yield rows if view.fraction is None else f"{rows} ({share(view.fraction)})"
    yield f"{view.rate:,.1f} a second"
    if view.failed:
        yield f"{view.failed:,} failed"
    if view.workers is not None:
        yield workers_text(view.workers)
    yield f"{view.in_flight:,} in flight"
    if view.waiting:
        yield f"{view.waiting:,} waiting to be tried again"
    if view.cost is not None:
        yield f"cost {money(view.cost)}"
    lanes = "" if not view.lanes_differ else f" ({'; '.join(f'{each.name}: {each.held}' for each in view.lanes)})"
    yield f"held by {view.held}{lanes}"
    if view.ending and view.rows_left is not None:
        yield f"{many(view.rows_left, 'row')} left"
    elif view.left_seconds is not None:
        yield f"{duration(view.left_seconds)} left"


def workers_text(workers: WorkersProgress) -> str:
    """How many workers there are, and how far the shards are."""
    again = f" ({workers.again:,} begun again)" if workers.again else ""
    return f"workers {workers.alive:,}/{workers.wanted:,}, shards {workers.done:,}/{workers.shards:,}{again}"


def _figures(view: View) -> dict[str, object]:
    return {
        "elapsed_seconds": round(view.elapsed, 1),
        "rows_done": view.done,
        "rows_failed": view.failed,
        "rows_total": view.total,
        "rows_total_exact": view.exact,
        "fraction": None if view.fraction is None else round(min(1.0, view.fraction), 4),
        "eta_seconds": None if view.left_seconds is None else round(view.left_seconds, 1),
        "rows_per_second": round(view.rate, 2),
        "in_flight": view.in_flight,
        "waiting_to_retry": view.waiting,
        "retries": view.retries,
        "throttled": view.throttled,
        "cost": view.cost,
        "cost_forecast": None if view.forecast is None else round(view.forecast, 6),
        "held_by": view.held,
        "limited_by": dict(view.limited_by),
        "attained": view.attained,
        "failures": {code: group.count for code, group in view.failures},
        "latency_seconds": dict(view.latency),
        "lanes": {each.name: _lane(each) for each in view.lanes},
        **({} if view.workers is None else {"workers": msgspec.structs.asdict(view.workers)}),
    }


def _lane(each: LaneView) -> dict[str, object]:
    lane = each.lane
    return {
        "per_second": round(each.rate, 2),
        "limit": lane.allowed,
        "allowed": None if lane.pace is None else round(lane.pace, 3),
        "in_flight": lane.in_flight,
        "throttled": lane.throttled,
        "state": "ok" if each.works else "out",
        "held_by": each.held,
        "limited_by": dict(lane.limited_by),
        "attained": lane.attained,
    }
