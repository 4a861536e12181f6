"""Makes the parts of a flow out of a config: what `run` and `stream` have in common."""

from __future__ import annotations

import random
import time
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import trio
from attrs import define, evolve, field

from pipeline.config.answers import Feedback, Length
from pipeline.core.answers.secrets import Secrets
from pipeline.core.bookkeeping.ledger import Priced
from pipeline.core.pacing.account import Account
from pipeline.core.pacing.budget import Budget, BudgetLimits
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.templates import Template
from pipeline.edges.sources.opening import is_pattern, open_source
from pipeline.edges.store.journal_schema import State
from pipeline.edges.store.seen import SeenOnDisk
from pipeline.errors import CacheError, InputError, RunAborted, RunInterrupted, UsageError
from pipeline.messages import Spending
from pipeline.records import LaneSummary, Summary
from pipeline.runs.pricing import Pricing, as_money, pricing_of
from pipeline.runs.providers import lanes_of, retry_policy
from pipeline.stages.fetch import FetchSettings
from pipeline.stages.flow import FlowSettings, Tallies, run_flow
from pipeline.stages.gate import INTERRUPTED, GateTally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pipeline.config import Config
    from pipeline.core.answers.fitting import AnswerRules
    from pipeline.core.pacing.lanes import LaneState
    from pipeline.core.rows.lines import RawRow
    from pipeline.durability.reuse import AnswerReuse
    from pipeline.ports import Observer, OpenSender, OpenSource, Reuse, Source, Store
    from pipeline.records import Failure, Job, Progress

    MakeJobs = Callable[[list[RawRow], int], Sequence[Job | Failure]]

PROGRESS_SECONDS = 0.5  # between two looks at a run; what is due in a log is up to whoever is told
MIN_WINDOW = 1024  # rows: some 4 MB with 2 kB prompts and their answers
LONG_ENOUGH_SECONDS = 2.0  # of sending, to tell what share of the limits was used
WINDOW_PER_WORKER = 4  # a row may take four times as long as its neighbours before they wait for it


def job_maker(config: Config) -> JobMaker:
    """What makes jobs of the configured input's rows."""
    request = config.request
    template = None if request is None or request.body is None else Template.compile(request.body)
    return JobMaker(
        template,
        None if request is None else request.url,
        seen=SeenOnDisk(),
        id_field=config.source.id,
        body_field=None if request is None else request.body_field,
        one_file=isinstance(config.source.path, str) and not is_pattern(config.source.path),
    )


def source_opener(config: Config) -> OpenSource:
    """What opens the configured input, as often as it can be read. What it raises, the opener raises: InputError."""
    return partial(
        open_source, config.source.path, encoding=config.source.encoding, delimiter=config.source.delimiter, used=_used_of(config)
    )


def _used_of(config: Config) -> set[str]:
    """The fields of a row that the config asks for."""
    request = config.request
    fields = () if request is None or request.body is None else Template.compile(request.body).fields
    names = {"custom_id", config.source.id, None if request is None else request.body_field, *fields, *config.sink.keep}
    return {part for name in names if name for part in (name, name.partition(".")[0])}


def reuse_of(config: Config, dedupe_path: Path | None) -> AnswerReuse:
    """The answers that need not be bought, for a config with `cache` or `dedupe`. Blocks.

    dedupe_path: where a run keeps its own answers for equal rows; None is a temporary file. Raises UsageError.
    """
    from pipeline.durability.reuse import AnswerReuse  # noqa: PLC0415  few runs reuse answers
    from pipeline.edges.store.cache import AnswerCache, OccurrencesOnDisk  # noqa: PLC0415

    cache = config.cache
    path = dedupe_path if cache is None else Path(cache.path)
    try:
        answers = AnswerCache(path, max_age_seconds=None if cache is None else cache.max_age_seconds)
    except CacheError as error:
        raise UsageError(str(error)) from error
    identity = identity_of(config)
    scope = " ".join(identity[key] for key in ("provider.base_url", "provider.model") if key in identity).encode()
    return AnswerReuse(answers, scope, None if config.dedupe else OccurrencesOnDisk(), time.time, rules=rules_of(config))


def identity_of(config: Config) -> dict[str, str]:
    """The parts of a config that change answers or how they are written: a run goes on only where they are the same."""
    request, provider = config.request, config.provider
    where = "(several)" if config.providers else provider.base_url or "(simulated)"  # which lanes there are changes no answer
    return {
        "provider.base_url": where,
        **({} if config.providers or provider.model is None else {"provider.model": provider.model}),
        "request.url": "" if request is None else request.url,
        "request.body": "" if request is None else msgspec.json.encode(request.body, order="sorted").decode(),
        **({} if request is None or request.body_field is None else {"request.body_field": request.body_field}),
        **({} if config.source.id is None else {"source.id": config.source.id}),
        **_expected(config),
        "sink.order": config.sink.order.value,
        "sink.shape": config.sink.shape.value,
        **({"sink.keep": msgspec.json.encode(config.sink.keep).decode()} if config.sink.keep else {}),
    }


def _expected(config: Config) -> dict[str, str]:
    """What is expected of answers, as far as it decides which ones count. A schema in a file counts by what is in it."""
    expect = config.answers.expect
    if expect is None:
        return {}
    from pipeline.config.expectations import load_schema  # noqa: PLC0415  few runs expect anything

    told = {**attrs.asdict(expect), "schema": load_schema(expect.schema), "length": config.answers.length.value}
    return {"answers.expect": msgspec.json.encode(told, order="sorted").decode()}


def account_of(config: Config, spent: tuple[int, int, int, float], now: float) -> Account | None:
    """The config's budget, with what earlier processes have spent of it; None if there is none. now: clock."""
    budget = config.budget
    limits = BudgetLimits(budget.cost, budget.tokens, budget.requests, budget.seconds)
    if limits.unlimited:
        return None
    pricing = None if budget.cost is None else pricing_of(config)
    *amounts, seconds = spent
    kept = Budget(limits, started=now, spent=Spending(*amounts), seconds_spent=seconds)
    return Account(kept, None if pricing is None else lambda job: pricing.rates_of(job.body), started=now - seconds)


def rules_of(config: Config) -> AnswerRules | None:
    """What the config expects of answers; None if it takes every one. Its schema and check were found usable when it was made."""
    answers = config.answers
    expect = answers.expect
    if expect is None:
        return None
    from pipeline.config.expectations import load_check, load_schema  # noqa: PLC0415  few runs expect anything
    from pipeline.core.answers.expect import Expectation  # noqa: PLC0415
    from pipeline.core.answers.fitting import AnswerRules  # noqa: PLC0415
    from pipeline.core.answers.schemas import pattern_check, schema_check  # noqa: PLC0415

    expectation = Expectation(
        json=expect.json,
        schema=None if expect.schema is None else schema_check(load_schema(expect.schema)),
        pattern=None if expect.regex is None else pattern_check(expect.regex),
        check=None if expect.check is None else load_check(expect.check),
        finish=frozenset(expect.finish),
        cut_fits=answers.length is Length.ACCEPT,
        empty_fits=expect.empty,
    )
    grow_to = answers.max_tokens if answers.length is Length.GROW else None
    return AnswerRules(expectation, answers.asks, answers.feedback is Feedback.REASON, grow_to)


def flow_settings(
    config: Config,
    take_rows: Callable[[int], Awaitable[list[RawRow]]],
    make_jobs: MakeJobs,
    open_senders: tuple[OpenSender, ...],
    store: Store[Any],
    *,
    limit: int | None = None,
    secrets: Sequence[str] = (),
    observers: Sequence[Observer] = (),
    pricing: Pricing | None = None,
    reuse: Reuse | None = None,
    account: Account | None = None,
) -> FlowSettings:
    """The flow that a config describes, between the given ends.

    secrets: texts that no failure may show. pricing: for the observers' records.
    """
    lanes = lanes_of(config)
    tag = uuid.uuid4().hex[:12]
    return FlowSettings(
        take_rows=take_rows,
        make_jobs=make_jobs,
        lanes=lanes,
        fetch=FetchSettings(
            open_senders,
            retry_policy(config),
            draw=random.random,
            utc=time.time,
            name_attempt=lambda index, attempt: f"headrace-{tag}-{index}-{attempt}",
            secrets=Secrets(secrets),
            rules=rules_of(config),
        ),
        store=store,
        observers=tuple(observers),
        cost_of=None if pricing is None else pricing.cost_of_attempt,
        window=config.limits.window or max(MIN_WINDOW, WINDOW_PER_WORKER * lanes.most_in_flight),
        window_bytes=config.limits.window_bytes,
        in_order=config.sink.order.value == "input",
        limit=limit,
        reuse=reuse,
        account=account,
    )


@define(eq=False)
class Course:
    """One run from its start to its conclusion.

    stop: set by whoever wants it to end early. source, limit: what is read, and how many rows of it.
    """

    config: Config
    stop: trio.Event
    progress: Callable[[Progress], None] | None = None
    tallies: Tallies = field(factory=Tallies)
    started: float = field(factory=trio.current_time)
    resumed: State = field(factory=State)  # what earlier processes did
    unknown: int = 0  # attempts that were cut off, with a process or with a run
    source: Source | None = None
    limit: int | None = None
    pricing: Pricing | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pricing = pricing_of(self.config)
        if self.pricing is not None:
            self.tallies.ledger.price = self.pricing.cost

    async def follow(self, settings: FlowSettings, give_up: trio.Event | None = None) -> None:
        """Run the flow, telling of its progress meanwhile. give_up: set it to cut off what is in flight."""
        async with trio.open_nursery() as nursery:
            if give_up is not None:
                nursery.start_soon(cancel_at, give_up, nursery.cancel_scope)
            if self.progress is not None:
                nursery.start_soon(self._tell, self.progress)
            await run_flow(settings, self.tallies, self.stop)
            nursery.cancel_scope.cancel()
        if self.progress is not None:
            self.progress(self._snapshot())

    async def _tell(self, progress: Callable[[Progress], None]) -> None:
        while True:
            await trio.sleep(PROGRESS_SECONDS)
            progress(self._snapshot())

    def _snapshot(self) -> Progress:
        now = self.tallies.progress(elapsed_seconds=trio.current_time() - self.started, rows_expected=self._rows_expected())
        before = self.resumed
        return evolve(
            now,
            rows_resumed=before.recorded,
            tokens_resumed=before.prompt_tokens + before.output_tokens,
            cost=self._cost(),
        )

    def _cost(self) -> float | None:
        """What the answers cost, those of earlier processes included; None where that is not known."""
        if self.pricing is None or self.pricing.unknown:
            return None
        was = self.resumed
        prompt, output = was.prompt_tokens - was.priced.prompt_tokens, was.output_tokens - was.priced.output_tokens
        before = self.pricing.cost_of_tokens(max(0, prompt), max(0, output)) if prompt > 0 or output > 0 else 0.0
        return None if before is None else round(as_money(self.tallies.ledger.cost) + before, 6)

    def priced(self) -> Priced:
        """What the answers cost, as far as that was counted answer by answer."""
        ledger, pricing, was = self.tallies.ledger, self.pricing, self.resumed
        if pricing is None:
            return was.priced
        more = ledger.prompt_tokens - was.prompt_tokens, ledger.output_tokens - was.output_tokens
        return Priced(
            ledger.cost,
            was.priced.prompt_tokens + more[0],
            was.priced.output_tokens + more[1],
            tuple(pricing.unknown),
        )

    def _rows_expected(self) -> int | None:
        """About how many rows this run goes through, by what was read of the input."""
        source, rows = self.source, self.tallies.read.rows
        expected = None if source is None else source.length
        if source is not None and source.size and source.bytes_read and rows:
            expected = max(rows, round(rows * source.size / source.bytes_read)) if expected is None else expected
        return expected if expected is None or self.limit is None else min(expected, self.limit)

    def going(self) -> tuple[int | None, int, int]:
        """Rows expected, attempts in flight, and rows that wait for another one."""
        read, gate = self.tallies.read, self.tallies.gate
        return read.rows if read.ended else self._rows_expected(), gate.in_flight, gate.waiting

    def summary(self, digest: str = "") -> Summary:
        """What was done up to now."""
        now = summarize(self.tallies, trio.current_time() - self.started, digest)
        unpriced = () if self.pricing is None else tuple(self.pricing.unknown)
        now = evolve(now, cost=self._cost(), unpriced=unpriced)
        return evolve(now, skipped_resumed=self.resumed.recorded, unknown_outcome=now.unknown_outcome + self.unknown)

    def stopped(self, reason: str, digest: str = "") -> Summary:
        """What was done when the run ended before its input."""
        return evolve(self.summary(digest), stopped=reason)

    def rows_seen(self, limit: int | None) -> int | None:
        """How many rows the input has, if its end was seen."""
        read = self.tallies.read
        return read.rows if read.ended and read.problem is None and (limit is None or read.rows < limit) else None

    def go_on_from(self, state: State) -> None:
        """Count what earlier processes did as done."""
        self.resumed, self.unknown = state, state.unknown
        ledger = self.tallies.ledger
        ledger.succeeded, ledger.failed = state.succeeded, state.failed
        ledger.prompt_tokens, ledger.output_tokens = state.prompt_tokens, state.output_tokens
        ledger.finish_reasons.update(state.finish_reasons)
        ledger.cost = state.priced.cost
        if self.pricing is not None:
            self.pricing.unknown.update(dict.fromkeys(state.priced.unpriced))
        ledger.rejected += state.rejected

    def has_nothing_to_keep(self) -> bool:
        """Whether the input gave no row at all, because it is not what it should be, and no earlier run has left anything."""
        read = self.tallies.read
        return read.problem is not None and not read.rows and not self.resumed.recorded and not self.unknown

    def conclude(self, digest: str = "") -> Summary:
        """The summary of a run that came to its end.

        Raises RunInterrupted or RunAborted, with the summary, when it ended before its input did; InputError when that
        gave no row at all.
        """
        summary, tallies = self.summary(digest), self.tallies
        if tallies.read.problem is not None:
            if not tallies.read.rows:
                raise InputError(tallies.read.problem)
            raise RunAborted(tallies.read.problem, self.stopped(tallies.read.problem, digest))
        if tallies.read.ended and tallies.ledger.total - self.resumed.recorded >= tallies.read.entered:
            return summary
        if self.stop.is_set() and tallies.gate.stopped in (None, INTERRUPTED):
            raise RunInterrupted(INTERRUPTED, self.stopped(INTERRUPTED, digest))
        reason = tallies.gate.stopped or "the run ended before its input did"
        raise RunAborted(reason, self.stopped(reason, digest))


async def cancel_at(event: trio.Event, scope: trio.CancelScope) -> None:
    """Cancel a scope when an event is set."""
    await event.wait()
    scope.cancel()


def summarize(tallies: Tallies, duration: float, digest: str = "") -> Summary:
    """What a run did, from what its stages counted."""
    gate, ledger = tallies.gate, tallies.ledger
    held = sum(gate.bound_seconds.values())
    return Summary(
        total=ledger.total,
        succeeded=ledger.succeeded,
        failed=ledger.failed,
        attempts=gate.attempts,
        retries=gate.retries,
        throttled=gate.throttled,
        unknown_outcome=gate.unknown_outcome,
        duration_seconds=round(duration, 3),
        requests_per_second=round(gate.attempts / duration, 3) if duration > 0 else 0.0,
        prompt_tokens=ledger.prompt_tokens,
        output_tokens=ledger.output_tokens,
        finish_reasons=dict(ledger.finish_reasons),
        rejected=ledger.rejected,
        latency_seconds=ledger.latency.shown(),
        first_token_seconds=ledger.first_token.shown(),
        longest_gap_seconds=ledger.longest_gap.shown(),
        tokens_per_second=ledger.pace.shown(),
        limited_by={name: round(seconds / held, 4) for name, seconds in sorted(gate.bound_seconds.items())} if held > 0 else {},
        digest=digest,
        from_cache=ledger.from_cache,
        failures=ledger.failures,
        lanes=tuple(map(_lane_summary, gate.lanes)),
        attained=_attained(gate),
    )


def _attained(gate: GateTally) -> float | None:
    """Attempts that left, of those that the limits on requests allowed meanwhile."""
    allowed = [_allowed(state) for state in gate.lanes]
    known = [rate for rate in allowed if rate is not None]
    seconds = gate.last_at - gate.first_at
    if len(known) < len(allowed) or not known or seconds < LONG_ENOUGH_SECONDS:
        return None
    return round((gate.attempts - 1) / (sum(known) * seconds), 4)


def _allowed(state: LaneState) -> float | None:
    """Requests a second that a lane's limits allow, those included that were found."""
    learned = state.limits.learned
    found = None if learned is None or learned.requests_per_minute is None else learned.requests_per_minute / 60
    rates = [rate for rate in (state.allowed, found) if rate is not None]
    return min(rates, default=None)


def _lane_summary(state: LaneState) -> LaneSummary:
    learned = state.limits.learned
    held = 0.0 if state.held_since is None else trio.current_time() - state.held_since
    return LaneSummary(
        state.name,
        state.attempts,
        state.succeeded,
        state.throttled,
        None if learned is None or learned.requests_per_minute is None else round(learned.requests_per_minute, 3),
        None if learned is None else learned.kind,
        round(state.out_seconds + held, 3),
    )
