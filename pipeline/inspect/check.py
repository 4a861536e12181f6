"""What a run would take, found by reading config and input alone: nothing is sent and nothing is written.

The time is the least that the limits allow; if answers are slow, `max_in_flight` makes it longer.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.config.environment import sends_no_key
from pipeline.core.rows.attached import shown
from pipeline.core.rows.templates import lookalikes
from pipeline.core.rows.urls import split_base
from pipeline.inspect.answer_notes import answer_notes
from pipeline.inspect.forecast import Demand, LaneForecast, budget_notes, forecast_lanes, seconds_of
from pipeline.records import Failure
from pipeline.runs.inputs import job_maker, source_opener
from pipeline.runs.lanes import lanes_of, limits_in
from pipeline.runs.pricing import prices_of
from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.config import Config, LimitsConfig, ProviderConfig
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.records import Job

SLICE_ROWS = 256
SHOWN = 5  # bad rows that are shown with their messages


class CheckReport(Record, frozen=True):
    """What `check` found; the same keys as `--json` prints.

    too_large: rows over the token budget, which would fail unsent. estimated_tokens: prompts and the longest answers that
    they allow. seconds_by_limit: the least time under each limit that all lanes have. lanes: what each lane allows. limited_by: the limit
    that will probably hold the run back (on its fastest lane, where they differ), None without limits. duration_seconds: the least time.
    cost: the most that the answers may cost, None without prices. first_request_url, first_request_body: the first row's
    request exactly as it would be sent; None if no row can be sent.
    """

    rows: int
    bad_rows: int
    bad_row_examples: tuple[str, ...]
    requests: int
    too_large: int
    estimated_prompt_tokens: int
    estimated_tokens: int
    seconds_by_limit: Mapping[str, float]
    limited_by: str | None
    duration_seconds: float | None
    in_flight_binds_above_seconds: float | None
    cost: float | None
    first_request_url: str | None
    first_request_body: str | None
    notes: tuple[str, ...]
    lanes: tuple[LaneForecast, ...] = ()


class _Count(Struct):
    """What is added up over the rows."""

    rows: int = 0
    bad: int = 0
    examples: list[str] = field(default_factory=list)
    requests: int = 0
    too_large: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    output_tokens: int = 0
    first: Job | None = None

    def add(self, item: Job | Failure, lanes: Lanes) -> None:
        self.rows += 1
        if isinstance(item, Failure):
            self.bad += 1
            if len(self.examples) < SHOWN:
                self.examples.append(f"{item.custom_id}: {item.message}")
        elif lanes.refuses(item.tokens, item.output_tokens) is not None:
            self.too_large += 1
        else:
            self.requests += 1
            self.first = self.first or item
            self.prompt_tokens += item.tokens - item.output_tokens
            self.tokens += item.tokens
            self.output_tokens += item.output_tokens


def check(config: Config) -> CheckReport:
    """Read the whole input.

    Raises: InputError, where it cannot be read.
    """
    count, lanes = _Count(), lanes_of(config)
    with ExitStack() as opened:
        jobs = opened.enter_context(closing(job_maker(config)))
        source = opened.enter_context(closing(source_opener(config)()))
        while rows := source.take(SLICE_ROWS):
            for item in jobs.make_jobs(rows, count.rows):
                count.add(item, lanes)
    return _report(config, count)


def _report(config: Config, count: _Count) -> CheckReport:
    lanes = [limits_in(config, provider) for provider in config.lanes]
    seconds = _seconds(lanes, count)
    demand = Demand(count.requests, count.tokens, count.output_tokens)
    forecast = forecast_lanes(config, demand)
    duration, limited_by = seconds_of(forecast, demand)
    prices = prices_of(config)  # the cost is the most, if all rows use the model that the config names
    cost = None if prices is None else prices.most_for_tokens(count.prompt_tokens, count.tokens - count.prompt_tokens)
    rate = count.requests / duration if duration else None
    return CheckReport(
        rows=count.rows,
        bad_rows=count.bad,
        bad_row_examples=tuple(count.examples),
        requests=count.requests,
        too_large=count.too_large,
        estimated_prompt_tokens=count.prompt_tokens,
        estimated_tokens=count.tokens,
        seconds_by_limit=seconds,
        limited_by=limited_by,
        duration_seconds=duration,
        in_flight_binds_above_seconds=None if rate is None else round(sum(limits.max_in_flight for limits in lanes) / rate, 3),
        cost=cost,
        first_request_url=None if count.first is None else _address(config.lanes[0], count.first.url),
        first_request_body=None if count.first is None else shown(count.first).decode(),
        notes=(*_notes(config, count), *answer_notes(config, count.first, prices), *budget_notes(config, demand, cost, duration)),
        lanes=forecast,
    )


def _address(provider: ProviderConfig, url: str) -> str:
    """Where a row's request goes. An embedded provider has no address before it is served."""
    return url if provider.base_url is None else split_base(provider.base_url).join(url)


def _seconds(lanes: list[LimitsConfig], count: _Count) -> dict[str, float]:
    """The least time under each limit that every lane has; their limits add up."""
    demands = {
        "requests_per_second": (count.requests, [limits.requests_per_second for limits in lanes], 1.0),
        "requests_per_minute": (count.requests, [limits.requests_per_minute for limits in lanes], 60.0),
        "tokens_per_minute": (count.tokens, [limits.tokens_per_minute for limits in lanes], 60.0),
        "input_tokens_per_minute": (count.tokens - count.output_tokens, [limits.input_tokens_per_minute for limits in lanes], 60.0),
        "output_tokens_per_minute": (count.output_tokens, [limits.output_tokens_per_minute for limits in lanes], 60.0),
    }
    found = {}
    for name, (demand, limits, period) in demands.items():
        known = [limit for limit in limits if limit is not None]
        if len(known) == len(lanes):
            found[name] = round(demand / sum(known) * period, 3)
    return found


def _notes(config: Config, count: _Count) -> list[str]:
    notes = []
    if not count.rows:
        notes.append("the input has no rows")
    if count.rows and not count.requests:
        notes.append("no row can be sent")
    if config.request is not None and config.request.body is not None and not config.request.same_for_all:
        notes += [str(found) for found in lookalikes(config.request.body)]
    for index, provider in enumerate(config.lanes):
        place = "provider" if not config.providers else f"providers[{index}]"
        base = None if provider.base_url is None else split_base(provider.base_url)
        if base is not None and base.endpoint:
            notes.append(f"{place}.base_url ends in {base.endpoint}, which is one endpoint; it is taken as {base.origin}{base.path}")
        if base is not None and base.scheme == "https" and sends_no_key(provider):
            notes.append(f"no key is sent, because {place}.api_key_env is not set")
    if os.path.lexists(config.sink.path):
        notes.append(f"{config.sink.path} exists: a run goes on with it if it is its own; --fresh starts over")
    return notes
