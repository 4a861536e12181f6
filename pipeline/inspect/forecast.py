"""How fast the limits of each lane let rows through, and which limit will probably hold a run back. Nothing is sent.

What an earlier run of the same config found out about its provider counts as well, because a run goes on from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.output.words import duration, money
from pipeline.durability.paths import Paths
from pipeline.edges.store.journal_reading import peek
from pipeline.errors import JournalError
from pipeline.runs.lanes import limits_in
from pipeline.runs.names import lane_name
from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.config import Config, LimitsConfig
    from pipeline.core.pacing.findings import Learned

LEARNED = "learned"


class Demand(Record, frozen=True):
    """What all rows together ask for. tokens: prompts and the longest answers; output_tokens: the answers' part."""

    requests: int
    tokens: int
    output_tokens: int


class LaneForecast(Record, frozen=True):
    """What one lane allows.

    allowed_per_second: rows that its limits let through, by the mean size of a row; None without limits. limited_by: the limit that allows
    fewest, "learned" for what an earlier run found. in_flight_binds_above_seconds: answers that take longer make `max_in_flight` bind
    instead. share: of the rows that go there if all lanes work; None if one of them has no limit.
    """

    name: str
    allowed_per_second: float | None
    limited_by: str | None
    in_flight_binds_above_seconds: float | None
    share: float | None = None


def forecast_lanes(config: Config, demand: Demand) -> tuple[LaneForecast, ...]:
    """What each lane of a config allows."""
    learned = _learned_before(config)
    found = []
    for index, provider in enumerate(config.lanes):
        name, limits = lane_name(config, index), limits_in(config, provider)
        rates = _rates(limits, demand, learned.get(name))
        bound = min(rates, key=lambda key: rates[key]) if rates else None
        rate = None if bound is None else rates[bound]
        binds_above = None if rate is None else round(limits.max_in_flight / rate, 3)
        found.append((name, rate, bound, binds_above))
    known = [rate for _, rate, _, _ in found if rate is not None]
    whole = sum(known) if len(known) == len(found) else None
    return tuple(
        LaneForecast(name, _rounded(rate), bound, above, None if whole is None or rate is None else round(rate / whole, 4))
        for name, rate, bound, above in found
    )


def seconds_of(lanes: tuple[LaneForecast, ...], demand: Demand) -> tuple[float | None, str | None]:
    """The least time that the limits allow, and the limit that binds on the fastest lane; None where a lane has no limit."""
    rates = [lane.allowed_per_second for lane in lanes]
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates) or not known:
        return None, None
    fastest = max(lanes, key=lambda lane: lane.allowed_per_second or 0.0)
    return round(demand.requests / sum(known), 3), fastest.limited_by


def budget_notes(config: Config, demand: Demand, cost: float | None, seconds: float | None) -> Iterator[str]:
    """Parts of the run's budget that will end it before its input, or may."""
    budget = config.budget
    if budget.requests is not None and budget.requests < demand.requests:
        yield f"budget.requests: {budget.requests:,} end the run before all {demand.requests:,} requests have left"
    if budget.tokens is not None and budget.tokens < demand.tokens:
        yield f"budget.tokens: {budget.tokens:,} may be used up before the end, for which up to {demand.tokens:,} are needed"
    if budget.cost is not None and cost is not None and budget.cost < cost:
        yield f"budget.cost: {money(budget.cost)} may be used up before the end, for which up to {money(cost)} is needed"
    if budget.seconds is not None and seconds is not None and budget.seconds < seconds:
        yield f"budget.seconds: {duration(budget.seconds)} end the run before its limits let all rows through, in {duration(seconds)}"


def _rates(limits: LimitsConfig, demand: Demand, learned: Learned | None) -> dict[str, float]:
    """Rows a second under each limit of a lane."""
    fed = demand.tokens - demand.output_tokens
    per_minute = {
        "tokens_per_minute": (limits.tokens_per_minute, demand.tokens),
        "input_tokens_per_minute": (limits.input_tokens_per_minute, fed),
        "output_tokens_per_minute": (limits.output_tokens_per_minute, demand.output_tokens),
    }
    rates = {} if limits.requests_per_second is None else {"requests_per_second": limits.requests_per_second}
    if limits.requests_per_minute is not None:
        rates["requests_per_minute"] = limits.requests_per_minute / 60
    for name, (limit, needed) in per_minute.items():
        if limit is not None and needed:
            rates[name] = limit / 60 * demand.requests / needed
    if limits.learn and learned is not None and learned.requests_per_minute:
        rates[LEARNED] = learned.requests_per_minute / 60
    return rates


def _learned_before(config: Config) -> Mapping[str, Learned]:
    """What an earlier run found out, by lane; a journal that cannot be read says nothing."""
    paths = Paths.of(config.sink.path, config.journal.path)
    if not paths.journal.exists():
        return {}
    try:
        return peek(paths.journal)[0].learned
    except JournalError:
        return {}


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else float(f"{rate:.9g}")
