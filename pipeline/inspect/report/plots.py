"""Makes the plots of a report: what is drawn, in which unit and colour, and the finding that stands above it. Pure.

The same colour means the same thing everywhere: blue is what happened, orange what the provider allows, grey and dashed what was
configured, red what is out of reach. A rate is drawn over the limit's own window, else it would look like a breach of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pipeline.core.bookkeeping.history import CELLS, quantile
from pipeline.core.output.words import amount, duration, many, money, title
from pipeline.inspect.report.timeline import GROUPS, NO_BOUNDS, WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.config import Config
    from pipeline.core.bookkeeping.history import BINS, Bucket
    from pipeline.inspect.report.timeline import Timeline

MEAN_SECONDS = 5.0
MINUTE = 60.0
LANES_SHOWN = 8
CODES_SHOWN = 6
CODE_COLOURS = ("red", "orange", "purple", "pink", "teal", "grey")
DIST_STEP = 4  # cells of a histogram that make one step of the plot

Values = "Sequence[float | None]"


class Plot(Struct):
    """One plot. unit: how values are written: rate, seconds, count, percent, money or tokens. xs: instead of the time, seconds."""

    key: str
    heading: str
    below: str
    unit: str
    series: list[dict[str, Any]]
    wide: bool = False
    height: int = 210
    stacked: bool = False
    logarithmic: bool = False
    highest: float | None = None
    xs: list[float] | None = None
    section: str = "limits"
    instead: Plot | None = None  # what a switch shows in its place

    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {
            "unit": self.unit,
            "series": self.series,
            "height": self.height,
            "stacked": self.stacked,
            "log": self.logarithmic,
            "highest": self.highest,
            "xs": self.xs,
        }


def plots_of(timeline: Timeline, config: Config, limits: dict[str, float | None]) -> list[Plot]:
    """The plots of a run, those left out that would show nothing. limits: requests a second that are configured, by lane."""
    plots = [_throughput(timeline, limits), _held(timeline), *_lanes(timeline, limits)]
    plots += _latencies(timeline)
    plots.append(_flight(timeline, config))
    plots += _spending(timeline, config)
    plots += _troubles(timeline)
    return [plot for plot in plots if any(value for series in plot.series for value in series["v"])]


def _line(label: str, values: Sequence[float | None], colour: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "c": colour, "v": [None if value is None else float(f"{value:.3g}") for value in values], **more}


def _flat(label: str, value: float, timeline: Timeline) -> dict[str, Any]:
    return _line(label, [value] * len(timeline.times), "grey", dash=1)


def _throughput(timeline: Timeline, limits: dict[str, float | None]) -> Plot:
    series = [
        _line("answered", timeline.rate(timeline.total(lambda lane: lane.answered), MEAN_SECONDS), "blue", fill=1),
        _line("sent", timeline.rate(timeline.total(lambda lane: lane.sent), MEAN_SECONDS), "teal"),
    ]
    configured = [limits.get(name) for name in timeline.lanes]
    if configured and all(limit is not None for limit in configured):
        series.append(_flat("your limit", sum(limit or 0.0 for limit in configured), timeline))
    if timeline.lanes and all(any(pace is not None for pace in timeline.pace[name]) for name in timeline.lanes):
        allowed = [_sum_of(values) for values in zip(*(timeline.pace[name] for name in timeline.lanes), strict=True)]
        series.append(_line("the pace that was kept", allowed, "orange", step=1))
    below = "Rows answered and requests sent a second, means of 5 s"
    return Plot("throughput", _throughput_finding(timeline), below, "rate", series, wide=True, height=260)


def _sum_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _throughput_finding(timeline: Timeline) -> str:
    shares = {name: share for name, share in timeline.shares().items() if name not in NO_BOUNDS}
    most = max(shares, key=lambda name: shares[name], default=None)
    out = next((text for _, _, text in timeline.marks if "out of reach" in text), None)
    except_while = f", except while {out.removesuffix(' out of reach')} was out of reach" if out else ""
    if most is None or shares[most] < 0.2:
        return f"It ran as fast as answers came{except_while}"
    return f"What held it back most was {WORDS[most]}{except_while}"


def _held(timeline: Timeline) -> Plot:
    present = timeline.shares()
    series = []
    for name, words, colour, _ in GROUPS:
        if present.get(name, 0.0) > 0.002:
            values = [100 * held[name] / held.total() if held.total() else 0.0 for held in timeline.held]
            series.append(_line(words, values, colour))
    below = "Share of the time, all providers together, by what the gate waited for"
    return Plot("held", "What held the next request back", below, "percent", series, wide=True, height=200, stacked=True, highest=100)


def _lanes(timeline: Timeline, limits: dict[str, float | None]) -> list[Plot]:
    found = []
    for number, name in enumerate(timeline.lanes[:LANES_SHOWN] if len(timeline.lanes) > 1 else ()):
        series = [_line("sent", timeline.rate(timeline.lane(name, lambda lane: lane.sent), MEAN_SECONDS), "blue", fill=1)]
        limit = limits.get(name)
        if limit is not None:
            series.append(_flat("your limit", limit, timeline))
        if any(pace is not None for pace in timeline.pace[name]):
            series.append(_line("the pace that was kept", timeline.pace[name], "orange", step=1))
        found.append(Plot(f"lane-{number}", f"Lane {name}", "Requests sent a second, means of 5 s", "rate", series, height=150))
    return found


def _latencies(timeline: Timeline) -> list[Plot]:
    attempt, row, first = _attempt_bins, _row_bins, _first_bins
    bins = timeline.bins(attempt)
    half, rare = quantile(bins, 0.5), quantile(bins, 0.99)
    finding = (
        "Latency over time" if half is None or rare is None else f"Half took {duration(half)} or less, 1 in 100 more than {duration(rare)}"
    )
    over = "Percentiles over 5 s, on a logarithmic scale"
    latency = Plot("latency", finding, f"One attempt. {over}", "seconds", _percentiles(timeline, attempt), logarithmic=True, section="time")
    latency.instead = Plot("latency-row", finding, "", "seconds", _percentiles(timeline, row), logarithmic=True)
    plots = [latency]
    if timeline.bins(first):
        series = _percentiles(timeline, first)
        plots.append(
            Plot("first-token", "Time to the first token", f"Streams. {over}", "seconds", series, logarithmic=True, section="time")
        )
    return [*plots, *_distribution(timeline)]


def _percentiles(timeline: Timeline, value: Callable[[Bucket], BINS]) -> list[dict[str, Any]]:
    kinds = ((0.99, "p99", "red"), (0.95, "p95", "orange"), (0.5, "p50", "blue"))
    return [_line(label, timeline.percentile(value, share, MEAN_SECONDS), colour) for share, label, colour in kinds]


def _distribution(timeline: Timeline) -> list[Plot]:
    kinds = [("first token", timeline.bins(_first_bins), "teal"), ("one attempt", timeline.bins(_attempt_bins), "blue"),
             ("row, waits included", timeline.bins(_row_bins), "orange")]  # fmt: skip
    kinds = [kind for kind in kinds if kind[1]]
    if not kinds:
        return []
    low = min(min(bins) for _, bins, _ in kinds) // DIST_STEP * DIST_STEP
    high = max(max(bins) for _, bins, _ in kinds) + DIST_STEP
    cells = range(low, high + DIST_STEP, DIST_STEP)
    series = []
    for label, bins, colour in kinds:
        whole = sum(bins.values())
        values = [100 * sum(bins.get(cell, 0) for cell in range(start, start + DIST_STEP)) / whole for start in cells]
        series.append(_line(label, values, colour, step=1, fill=int(colour != "orange")))
    xs = [float(f"{2 ** (cell / CELLS):.4g}") for cell in cells]
    below = "Share of the answers in each range of seconds, on a logarithmic scale"
    return [Plot("distribution", "How the times are distributed", below, "percent", series, xs=xs, section="time")]


def _flight(timeline: Timeline, config: Config) -> Plot:
    together = [sum(values) for values in zip(*timeline.flight.values(), strict=True)]
    most = max(together, default=0.0)
    series = [_line("in flight", together, "blue", fill=1, step=1)]
    allowed = sum((getattr(lane, "limits", None) or config.limits).max_in_flight for lane in config.lanes)
    if most > allowed / 4:
        series.append(_flat("max_in_flight", allowed, timeline))
    finding = f"At most {most:,.0f} in flight"
    return Plot("flight", finding, f"Requests under way, means of {duration(timeline.width)}", "count", series, section="time")


def _spending(timeline: Timeline, config: Config) -> list[Plot]:
    prompt, output = sum(bucket.prompt_tokens for bucket in timeline.buckets), sum(bucket.output_tokens for bucket in timeline.buckets)
    reserved = timeline.sums([bucket.reserved for bucket in timeline.buckets], MINUTE)
    used = timeline.sums([bucket.prompt_tokens + bucket.output_tokens for bucket in timeline.buckets], MINUTE)
    series = [_line("counted by the provider", used, "blue", fill=1)]
    if any(reserved):
        series.append(_line("reserved when it left", reserved, "teal"))
    limits = [(getattr(lane, "limits", None) or config.limits).tokens_per_minute for lane in config.lanes]
    if all(limit is not None for limit in limits):
        series.append(_flat("your limit", sum(limit or 0.0 for limit in limits), timeline))
    finding = f"{amount(prompt)} tokens in, {amount(output)} out"
    plots = [Plot("tokens", finding, "Tokens of the last 60 s", "tokens", series, section="cost")]
    spent, total = [], 0.0
    for bucket in timeline.buckets:
        total += bucket.cost
        spent.append(total)
    if total:
        series = [{**_line("spent", spent, "green", fill=1), "v": [round(value, 6) for value in spent]}]
        budget = config.budget.cost
        if budget:
            series.append(_flat("budget", budget, timeline))
        finding = money(total) + (f" of a budget of {money(budget)}" if budget else " spent")
        plots.append(Plot("cost", finding, "Since the start, in the currency of the prices", "money", series, section="cost"))
    return plots


def _troubles(timeline: Timeline) -> list[Plot]:
    codes: dict[str, int] = {}
    for bucket in timeline.buckets:
        for lane in bucket.lanes.values():
            for code, count in lane.codes.items():
                codes[code] = codes.get(code, 0) + count
    shown = sorted(codes, key=lambda code: -codes[code])[:CODES_SHOWN]
    if not shown:
        return []
    series = []
    for code, colour in zip(shown, CODE_COLOURS, strict=False):
        series.append(_line(title(code), timeline.total(lambda lane, code=code: lane.codes.get(code, 0)), colour))  # type: ignore[misc]
    finding = f"{many(sum(codes.values()), 'attempt')} brought no answer; most often {title(shown[0])}"
    below = f"Attempts in each {duration(timeline.width)}, by kind"
    return [Plot("trouble", finding, below, "count", series, wide=True, stacked=True, section="wrong")]


def _attempt_bins(bucket: Bucket) -> BINS:
    return bucket.attempt


def _row_bins(bucket: Bucket) -> BINS:
    return bucket.row


def _first_bins(bucket: Bucket) -> BINS:
    return bucket.first_token
