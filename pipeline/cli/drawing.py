"""Draws a view as lines for a terminal: pieces of text with the name of a style. It uses neither rich nor a terminal.

Rules: no line wraps, so everything is cut to the width; nothing moves unless its value has; a colour only repeats what a
figure says. On a low terminal the least important lines are left out first, by the number in front of each line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.core.output.words import amount, columns, cut, duration, money, share, title

if TYPE_CHECKING:
    from pipeline.cli.view import View
    from pipeline.summaries import WorkersProgress

Piece = tuple[str, str]  # text, style: "", dim, bold, bar, gauge or bad
Line = list[Piece]

LABEL = 11  # columns of the labels on the left
WIDEST = 120  # columns: a longer line is hard to read
TALLEST = 20  # lines: what scrolled off a terminal cannot be taken back when it is resized
GAUGES_FROM = 70  # columns; below it figures alone
WIDE_FROM = 100  # columns; from here on latency, and the lanes as a table
FULL_FROM = 50  # columns; below it two lines
GAUGE_OF_BOUND = {
    "requests_per_second": "requests",
    "requests_per_minute": "requests",
    "learned": "requests",
    "pause": "requests",
    "tokens_per_minute": "tokens",
    "in_flight": "in flight",
}


class Signs(Struct, frozen=True):
    """The characters to draw with."""

    full: str
    half: str
    rest: str
    mark: str
    dot: str
    arrow: str
    times: str
    cut: str
    about: str


UNICODE = Signs(full="━", half="╸", rest="─", mark="╂", dot=" · ", arrow="→", times="×", cut="…", about="≈")
ASCII = Signs(full="#", half="#", rest="-", mark="|", dot=", ", arrow="->", times="x", cut="...", about="~")


def draw(view: View, width: int, height: int, signs: Signs = UNICODE) -> list[Line]:
    """The lines that fit into a terminal of this many columns and rows."""
    canvas = _Canvas(view, min(width, WIDEST), signs)
    if width < FULL_FROM:
        canvas.draw_small()
    else:
        canvas.draw_all()
    room = max(3, min(height - 4, TALLEST))
    lines = canvas.lines
    for level in range(9, 0, -1):
        if len(lines) <= room:
            break
        lines = [each for each in lines if each[0] != level]
    return [line for _, line in lines]


class _Canvas(Struct, eq=False):
    view: View
    width: int
    signs: Signs
    lines: list[tuple[int, Line]] = field(default_factory=list)

    def draw_small(self) -> None:
        """Two lines are all that there is room for."""
        view = self.view
        first = [_percent(view) or f"{view.done:,} rows", f"{amount(view.rate)}/s", self._left()]
        second = [f"{view.failed:,} failed" if view.failed else "", "" if view.cost is None else money(view.cost)]
        self._add(0, [(self._fit(self._joined(first), self.width), "bold")])
        self._add(1, [(self._fit(self._joined(second), self.width), "bad" if view.failed else "")])

    def draw_all(self) -> None:
        """The title, how far it is, what it uses of its limits, and what went wrong."""
        view, signs = self.view, self.signs
        title = self._fit(f"{view.facts.source} {signs.arrow} {view.facts.sink}", self.width - 16)
        self._add(2, self._spread([(title, "bold")], [(duration(view.elapsed), "dim")]))
        self._draw_bar()
        self._add(6, [])
        self._draw_gauges()
        self._draw_cost()
        if self.width >= WIDE_FROM:
            self._draw_times()
        self._add(6, [])
        held = self._fit(view.held, self.width - LABEL)
        self._add(1, [*_label("held by"), (held, "bold"), (self._fit(f"  {view.why}", self.width - LABEL - columns(held)), "")])
        if len(view.lanes) > 1:
            (self._draw_lane_table if self.width >= WIDE_FROM else self._draw_lane_line)()
        if view.workers is not None:
            self._draw_workers(view.workers)
        self._draw_troubles()

    def _draw_workers(self, workers: WorkersProgress) -> None:
        again = f"; {workers.again:,} begun again" if workers.again else ""
        text = f"{workers.alive:,}/{workers.wanted:,}{self.signs.dot}shards {workers.done:,}/{workers.shards:,}{again}"
        self._add(2, [*_label("workers"), (self._fit(text, self.width - LABEL), "")])

    def _draw_bar(self) -> None:
        view = self.view
        percent = _percent(view)
        room = self.width - (5 if percent else 0)
        self._add(0, [*self._bar(view.fraction, room), *([(f" {percent:>4}", "bold")] if percent else [])])
        about = "" if view.exact else self.signs.about
        rows = f"{view.done:,} of {about}{view.total:,} rows" if view.total is not None else f"{view.done:,} rows"
        counts: Line = [(rows, "bold"), (f"{self.signs.dot}{amount(view.rate)}/s", "")]
        if view.failed:
            counts += [(self.signs.dot, "dim"), (f"{view.failed:,} failed", "bad")]
        self._add(0, self._spread(counts, [(self._left(), "")]))

    def _draw_gauges(self) -> None:
        view, facts = self.view, self.view.facts
        kept = view.pace if view.pace is not None and facts.requests is not None and view.pace < 0.98 * facts.requests else None
        note = "" if kept is None else f"; {amount(kept)}/s allowed"
        self._gauge(3, "requests", view.sent, facts.requests, f"{amount(view.sent)}/s", "/s", note, mark=kept)
        if facts.tokens_per_minute is not None:
            self._gauge(5, "tokens", view.tokens, facts.tokens_per_minute, f"{amount(view.tokens)}/min", "/min")
        waiting = f"; {view.waiting:,} wait to retry" if view.waiting else ""
        self._gauge(4, "in flight", view.in_flight, facts.max_in_flight, f"{view.in_flight:,}", "", waiting)

    def _gauge(
        self,
        level: int,
        label: str,
        value: float,
        limit: float | None,
        figure: str,
        unit: str,
        note: str = "",
        *,
        mark: float | None = None,
    ) -> None:
        """A bar of which the whole length is what the config allows. mark: a value on it that is drawn as a stroke."""
        binds = not self.view.ending and GAUGE_OF_BOUND.get(self.view.bound) == label
        of = ("" if limit is None else f"of {amount(limit)}{unit}") + note
        head: Line = _label(label, "bold" if binds else "dim")
        if self.width < GAUGES_FROM or limit is None:
            self._add(level, [*head, (self._fit(f"{figure}  {of}".rstrip(), self.width - LABEL), "")])
            return
        room = self.width - LABEL - self._right
        bar = self._bar(min(1.0, value / limit), room, "gauge")
        bar = bar if mark is None else self._marked(bar, min(room - 1, int(mark / limit * room)))
        self._add(level, [*head, *bar, (f"  {figure:<10}", "bold"), (self._fit(f" {of}", self._right - 12), "")])

    def _draw_cost(self) -> None:
        view, budget = self.view, self.view.facts.budget
        if view.cost is not None and budget and self.width >= GAUGES_FROM:
            note = "" if view.forecast is None else f"; {money(view.forecast)} in all"
            head = _label("cost", "bold" if view.bound == "budget.cost" else "dim")
            bar = self._bar(min(1.0, view.cost / budget), self.width - LABEL - self._right, "gauge")
            if view.forecast is not None and view.forecast < budget:
                bar = self._marked(bar, int(view.forecast / budget * (self.width - LABEL - self._right)))
            self._add(
                3, [*head, *bar, (f"  {money(view.cost):<10}", "bold"), (self._fit(f" of {money(budget)}{note}", self._right - 12), "")]
            )
        elif view.cost is not None:
            forecast = "" if view.forecast is None else f"; about {money(view.forecast)} in all"
            self._add(3, [*_label("cost"), (money(view.cost), "bold"), (forecast, "")])

    @property
    def _right(self) -> int:
        """Columns for the figures behind a gauge."""
        return 36 if self.width < WIDE_FROM else 48

    def _draw_times(self) -> None:
        for label, times in (("latency", self.view.latency), ("1st token", self.view.first_token)):
            if times:
                text = "   ".join(f"{name} {duration(value)}" for name, value in times.items())
                self._add(7, [*_label(label), (self._fit(text, self.width - LABEL), "")])

    def _draw_lane_line(self) -> None:
        parts = []
        for each in self.view.lanes:
            limit = "" if each.lane.allowed is None else f" of {amount(each.lane.allowed)}/s"
            parts.append(f"{each.name} {amount(each.rate)}/s{limit}" if each.works else f"{each.name} {each.held}")
        self._add(5, [*_label("lanes"), (self._items(parts, self.width - LABEL), "")])

    def _draw_lane_table(self) -> None:
        heads = "".join(f"{name:>11}" for name in ("rate", "limit", "allowed", "in flight", "HTTP 429")) + "  held by"
        self._add(5, [*_label("lanes"), (f"{'':<12}{heads}", "dim")])
        for each in self.view.lanes:
            lane = each.lane
            limit, pace = (f"{amount(rate)}/s" if rate is not None else "" for rate in (lane.allowed, lane.pace))
            cells = (f"{amount(each.rate)}/s", limit, pace, f"{lane.in_flight:,}", f"{lane.throttled:,}")
            held = self._fit(each.held, self.width - LABEL - 12 - 5 * 11 - 2)
            out: Line = [(f"  {held}", "dim" if each.works else "bad")]
            name = self._fit(each.name, 11)
            name += " " * (12 - columns(name))
            self._add(4, [*_label(""), (name, "bold"), ("".join(f"{cell:>11}" for cell in cells), ""), *out])

    def _draw_troubles(self) -> None:
        view = self.view
        if view.retries or view.throttled:
            parts = [f"{view.retries:,} attempts", f"{view.throttled:,} {self.signs.times} throttled (HTTP 429)" if view.throttled else ""]
            self._add(4, [*_label("retried"), (self._fit(self._joined(parts), self.width - LABEL), "")])
        if not view.failures:
            return
        kinds = [f"{group.count:,} {self.signs.times} {title(code)}" for code, group in view.failures]
        self._add(2, [*_label("failed"), (self._items(kinds, self.width - LABEL), "bad")])
        newest = max((group.example for _, group in view.failures), key=lambda row: row.index)
        message = f"row {newest.index + 1:,}: {newest.message}"
        self._add(3, [*_label(""), (self._fit(message, self.width - LABEL), "")])

    def _left(self) -> str:
        view = self.view
        if view.ending:
            return "1 row left" if view.rows_left == 1 else f"{view.rows_left:,} rows left"
        return "" if view.left_seconds is None else f"{duration(view.left_seconds)} left"

    def _bar(self, fraction: float | None, width: int, style: str = "bar") -> Line:
        if fraction is None:
            return [(self.signs.rest * width, "dim")]
        cells = min(1.0, max(0.0, fraction)) * width
        whole = int(cells)
        half = cells - whole >= 0.5 and whole < width
        drawn = self.signs.full * whole + (self.signs.half if half else "")
        return [(drawn, style), (self.signs.rest * (width - len(drawn)), "dim")]

    def _marked(self, bar: Line, place: int) -> Line:
        """A bar with a stroke at a place of it."""
        text, first = "".join(part for part, _ in bar), len(bar[0][0])
        mark = self.signs.mark
        pieces = [(text[:first], bar[0][1]), (text[first:], "dim")]
        if place < first:
            return [(text[:place], bar[0][1]), (mark, "bold"), (text[place + 1 : first], bar[0][1]), pieces[1]]
        return [pieces[0], (text[first:place], "dim"), (mark, "bold"), (text[place + 1 :], "dim")]

    def _items(self, parts: list[str], width: int) -> str:
        """As many as fit, whole, and how many others there are."""
        for count in range(len(parts), 0, -1):
            rest = len(parts) - count
            text = self._joined([*parts[:count], f"{rest} other kinds" if rest > 1 else "1 other kind" if rest else ""])
            if columns(text) <= width:
                return self._fit(text, width)
        return self._fit(parts[0], width)

    def _spread(self, left: Line, right: Line) -> Line:
        gap = self.width - sum(columns(text) for text, _ in [*left, *right])
        return [*left, (" " * gap, ""), *right] if gap >= 1 else left

    def _fit(self, text: str, width: int) -> str:
        return cut(text, width, self.signs.cut)

    def _joined(self, parts: list[str]) -> str:
        return self.signs.dot.join(filter(None, parts))

    def _add(self, level: int, line: Line) -> None:
        """Keep a line, cut to the width should a figure be longer than its place. level: lines of the highest level go first."""
        left = self.width
        kept: Line = []
        for text, style in line:
            if columns(text) > left:
                kept.append((self._fit(text, left), style))
                break
            kept.append((text, style))
            left -= columns(text)
        self.lines.append((level, kept))


def _label(text: str, style: str = "dim") -> Line:
    return [(f"{text:<{LABEL}}", style)]


def _percent(view: View) -> str:
    return "" if view.fraction is None else share(view.fraction)
