"""What a report says in words: the headline, four answers, and what to do. Every figure is computed from the run. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.output.words import amount, duration, many, money, title
from pipeline.core.pacing.findings import is_certain
from pipeline.inspect.report.timeline import NO_BOUNDS, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config import Config
    from pipeline.inspect.report.gathered import Gathered
    from pipeline.inspect.report.timeline import Timeline

LEAST = 0.005  # a smaller share of the time is left out
MUCH = 0.1  # of the time; a pace that held the run back for so long is worth to be written down


class Saying(Struct, frozen=True):
    """A question with its answer and what goes with it."""

    question: str
    answer: str
    more: str


class Todo(Struct, frozen=True):
    """Something to do. command: to be copied; "" where none helps."""

    text: str
    command: str = ""


class Findings(Struct, frozen=True):
    """The first screen of a report. lead: parts of one paragraph, and whether each is stressed."""

    headline: str
    lead: list[tuple[str, bool]]
    answers: list[Saying]
    todo: list[Todo]


def findings_of(gathered: Gathered, timeline: Timeline, config: Config, limits: dict[str, float | None], command: str) -> Findings:
    """The findings about a run. limits: requests a second that are configured, by lane. command: what runs it again."""
    state = gathered.state
    rows = state.recorded if state.rows is None else state.rows
    cost = _cost(timeline)
    headline = f"{state.succeeded:,} of {many(rows, 'row')} were answered"
    headline += f" in {duration(timeline.seconds)}" if timeline.seconds else ""  # the first seconds of a run are not in its journal yet
    headline += "" if cost is None else f" for {money(cost)}"
    headline += f"; {state.failed:,} failed." if state.failed else "; none failed."
    if gathered.running:
        headline = f"So far {headline}"
    elif state.recorded < rows or state.rows is None:
        headline += " It is not finished."
    shares = _bounds(timeline)
    answers = [*_limited(timeline, shares, state.succeeded, limits), _costs(gathered, config, cost), _failures(gathered, rows)]
    lead = list(_lead(timeline, shares, gathered, limits))
    return Findings(headline, lead, answers, list(_todo(gathered, timeline, shares, limits, command)))


def _bounds(timeline: Timeline) -> list[tuple[str, float]]:
    shares = [(name, share) for name, share in timeline.shares().items() if name not in NO_BOUNDS and share >= LEAST]
    return sorted(shares, key=lambda item: -item[1])


def _cost(timeline: Timeline) -> float | None:
    return sum(bucket.cost for bucket in timeline.buckets) or None


def _lead(
    timeline: Timeline, shares: list[tuple[str, float]], gathered: Gathered, limits: dict[str, float | None]
) -> Iterator[tuple[str, bool]]:
    if not timeline.buckets:
        yield "This run has kept no history (journal.history), so only its results are shown.", False
        return
    if not shares:
        yield "Nothing held it back: it ran as fast as answers came.", False
    else:
        yield "Something held it back ", False
        yield f"{sum(share for _, share in shares):.0%}", True
        yield " of the time: ", False
        yield f"{WORDS[shares[0][0]]} {shares[0][1]:.0%}", True
        yield "".join(f", {WORDS[name]} {share:.0%}" for name, share in shares[1:]) + ". ", False
    for name, learned in gathered.state.learned.items():
        found = learned.requests_per_minute
        limit = limits.get(name)
        sure = is_certain(learned.kind, gathered.state.recorded, timeline.seconds)
        if found is not None and sure and dict(shares).get("provider", 0.0) >= MUCH:
            yield f"{_lane(name)} allows about {amount(found / 60)} requests a second", False
            yield f" where you set {amount(limit)}. " if limit is not None else ". ", False
    for start, end, text in timeline.marks[:3]:
        if end > start:
            was = text.replace(" out of reach", " was out of reach")
            yield f"{was[0].upper()}{was[1:]} for {duration(end - start)}. ", False


def _limited(timeline: Timeline, shares: list[tuple[str, float]], succeeded: int, limits: dict[str, float | None]) -> Iterator[Saying]:
    rate = succeeded / timeline.seconds if timeline.seconds else 0.0
    known = [limit for limit in limits.values() if limit is not None]
    allowed = f"; your limits allow {amount(sum(known))}" if known and len(known) == len(limits) else ""
    whole = min(1.0, sum(share for _, share in shares))
    yield Saying(
        "Was it limited?", f"Yes, {whole:.0%} of the time" if shares else "No", f"{amount(rate)} rows a second on average{allowed}"
    )
    if shares:
        name, share = shares[0]
        rest = ", ".join(f"{WORDS[other]} {part:.0%}" for other, part in shares[1:])
        words = WORDS[name]
        yield Saying("By what?", f"{words[0].upper()}{words[1:]}, {share:.0%}", f"then {rest}" if rest else "and by nothing else")
    else:
        yield Saying("By what?", "Nothing", "answers came as fast as the server gives them")


def _costs(gathered: Gathered, config: Config, cost: float | None) -> Saying:
    state = gathered.state
    tokens = f"{amount(state.prompt_tokens)} tokens in, {amount(state.output_tokens)} out"
    if cost is None:
        used = state.prompt_tokens + state.output_tokens
        why = "no answer said what it used" if not used else "no price is known"
        why = "the config has no prices" if config.prices is None else why
        return Saying("What did it cost?", f"{amount(used)} tokens", f"{tokens}; {why}")
    each = f"; {money(cost / state.succeeded * 1000)} for 1,000 rows" if state.succeeded else ""
    budget = "" if config.budget.cost is None else f"; budget {money(config.budget.cost)}"
    return Saying("What did it cost?", money(cost), f"{tokens}{each}{budget}")


def _failures(gathered: Gathered, rows: int) -> Saying:
    failed = sum(gathered.failures.values())
    kinds = ", ".join(f"{count:,} × {title(code)}" for code, count in gathered.failures.items())
    return Saying(
        "What failed?", f"{failed:,} of {many(rows, 'row')}" if failed else "Nothing", kinds or f"all {many(rows, 'row')} have an answer"
    )


def _todo(
    gathered: Gathered, timeline: Timeline, shares: list[tuple[str, float]], limits: dict[str, float | None], command: str
) -> Iterator[Todo]:
    state = gathered.state
    unfinished = state.rows is None or state.recorded < state.rows
    if unfinished and not gathered.running:
        yield Todo("The run is not finished; go on with the rows that are left", command)
    if gathered.passing and not gathered.running and not unfinished:
        yield Todo(f"{many(gathered.passing, 'row')} may pass on another try", f"{command} --retry-failed")
    if invalid := gathered.failures.get("invalid_row"):
        yield Todo(f"Correct {many(invalid, 'bad row')} in the input, then", f"{command} --retry-failed=invalid_row")
    if too_large := gathered.failures.get("too_large"):
        yield Todo(f"{many(too_large, 'row')} can never fit into a minute's tokens: raise limits.tokens_per_minute or shorten")
    if dict(shares).get("provider", 0.0) >= MUCH:
        for number, name in enumerate(limits):
            learned = state.learned.get(name)
            if (
                learned is not None
                and learned.requests_per_minute is not None
                and is_certain(learned.kind, state.recorded, timeline.seconds)
            ):
                section = f"providers[{number}].limits" if name else "limits"
                yield Todo(f"{_lane(name)}: write down what it allows", f"{section}.requests_per_minute: {learned.requests_per_minute:.0f}")
    bound = shares[0][0] if shares else ""
    if bound == "in_flight":
        yield Todo("More would leave if more could be under way: raise limits.max_in_flight, if the server can take it")
    if bound == "requests" and all(limit is not None for limit in limits.values()) and dict(shares).get("provider", 0.0) < LEAST:
        yield Todo("The provider never refused anything: if your account allows more, raise limits.requests_per_minute")


def _lane(name: str) -> str:
    return f"Lane {name}" if name else "The provider"
