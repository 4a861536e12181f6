"""One run from its start to its conclusion: what it counts, what it reports meanwhile, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.core.bookkeeping.going import Going
from pipeline.core.bookkeeping.ledger import Priced
from pipeline.edges.store.journal_schema import State
from pipeline.errors import InputError, RunAborted, RunInterrupted
from pipeline.runs.lane_figures import LaneFigures
from pipeline.stages.flow import FlowSettings, Tallies, run_flow
from pipeline.stages.gate import INTERRUPTED
from pipeline.summaries import Summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config
    from pipeline.core.pacing.account import Accounts
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.durability.store import DurableStore
    from pipeline.ports import Source
    from pipeline.runs.pricing import LanePrices
    from pipeline.summaries import Progress

PROGRESS_SECONDS = 0.5  # between two looks at a run; the receiver decides what it logs


class Course(Struct, eq=False):
    """One run from its start to its conclusion.

    stop: set it to end the run early. source, limit: what is read, and how many rows of it. waits: what it waits for, as of a look of the
    gate at the clock.
    """

    config: Config
    stop: trio.Event
    progress: Callable[[Progress], None] | None = None
    tallies: Tallies = field(default_factory=Tallies)
    started: float = field(default_factory=trio.current_time)
    resumed: State = field(default_factory=State)  # what earlier processes did
    unknown: int = 0  # attempts that were cut off, with a process or with a run
    source: Source | None = None
    limit: int | None = None
    pricing: LanePrices | None = None
    waits: Going = field(default_factory=Going)
    waits_as_of: float = -1.0
    durable: DurableStore | None = None  # where the results are kept, once that is known

    def __post_init__(self) -> None:
        self.pricing = _prices_of(self.config)
        if self.pricing is not None:
            self.tallies.ledger.price = self.pricing.cost

    def keep_in(self, durable: DurableStore, lanes: Lanes, accounts: Accounts | None) -> None:
        """Store with each commit how the run goes on, what it has spent, and what was learned."""
        self.durable, figures = durable, durable.figures
        if accounts is not None:
            figures.spent = accounts.snapshot
        figures.going, figures.priced, figures.learned = self.going, self.priced, lanes.learned

    def use_prices(self, config: Config) -> None:
        """Count by the prices of another config from now on."""
        prices = _prices_of(config)
        if self.pricing is None or prices is None:
            self.pricing = prices
        else:
            self.pricing.become(prices)  # the same object, because observers were given it
        self.tallies.ledger.price = None if self.pricing is None else self.pricing.cost

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
        before, figures = self.resumed, LaneFigures(self.tallies.gate, trio.current_time())
        return replace(
            now,
            rows_resumed=before.recorded,
            tokens_resumed=before.prompt_tokens + before.output_tokens,
            cost=self._cost(),
            lanes=figures.progress(),
            limited_by=figures.limited_by,
            attained=figures.attained,
            latency_seconds=self.tallies.ledger.latency.shown(),
            first_token_seconds=self.tallies.ledger.first_token.shown(),
        )

    def _cost(self) -> float | None:
        """What the answers cost, those of earlier processes included; None where that is not known."""
        if self.pricing is None or self.pricing.unknown:
            return None
        from pipeline.runs.pricing import as_money  # noqa: PLC0415  imported already, because there are prices

        was = self.resumed
        prompt, output = was.prompt_tokens - was.priced.prompt_tokens, was.output_tokens - was.priced.output_tokens
        before = self.pricing.most_for_tokens(max(0, prompt), max(0, output)) if prompt > 0 or output > 0 else 0.0
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

    def going(self) -> Going:
        """How the run goes on, for its journal; called in any thread. What it waits for is counted together once a second."""
        read, gate = self.tallies.read, self.tallies.gate
        if gate.looked_at != self.waits_as_of:
            figures = LaneFigures(gate, gate.looked_at)
            self.waits = Going(bound=gate.bound, limited_by=figures.limited_by, attained=figures.attained, lanes=figures.waits())
            self.waits_as_of = gate.looked_at
        expected = read.rows if read.ended else self._rows_expected()
        return replace(self.waits, rows_expected=expected, in_flight=gate.in_flight, waiting=gate.waiting)

    def summary(self, digest: str = "") -> Summary:
        """What was done up to now."""
        now = summarize(self.tallies, trio.current_time() - self.started, digest)
        unpriced = () if self.pricing is None else tuple(self.pricing.unknown)
        now = replace(now, cost=self._cost(), unpriced=unpriced)
        waiting = 0 if self.durable is None else max(0, now.total - self.durable.commits.written)
        unknown = now.unknown_outcome + self.unknown
        return replace(now, skipped_resumed=self.resumed.recorded, unknown_outcome=unknown, waiting=waiting)

    def stopped(self, reason: str, digest: str = "") -> Summary:
        """What was done when the run ended before its input."""
        return replace(self.summary(digest), stopped=reason)

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

    def conclude(self, digest: str = "", *, cut_off: bool = False) -> Summary:
        """The summary of a run that came to its end. cut_off: results were left in the journal that could have been written.

        Raises RunInterrupted or RunAborted, with the summary, when it ended before its input did; InputError when that
        gave no row at all.
        """
        summary, tallies = self.summary(digest), self.tallies
        if tallies.read.problem is not None:
            if not tallies.read.rows:
                raise InputError(tallies.read.problem)
            raise RunAborted(tallies.read.problem, self.stopped(tallies.read.problem, digest))
        if not cut_off and tallies.read.ended and tallies.ledger.total - self.resumed.recorded >= tallies.read.entered:
            return summary
        if self.stop.is_set() and tallies.gate.stopped in (None, INTERRUPTED):
            raise RunInterrupted(INTERRUPTED, self.stopped(INTERRUPTED, digest))
        ended = "the results that wait in the journal were not written in time" if cut_off else "the run ended before its input did"
        reason = tallies.gate.stopped or ended
        raise RunAborted(reason, self.stopped(reason, digest))


async def cancel_at(event: trio.Event, scope: trio.CancelScope) -> None:
    """Cancel a scope when an event is set."""
    await event.wait()
    scope.cancel()


def summarize(tallies: Tallies, duration: float, digest: str = "") -> Summary:
    """What a run did, from what its stages counted."""
    gate, ledger = tallies.gate, tallies.ledger
    figures = LaneFigures(gate, trio.current_time())
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
        limited_by=figures.limited_by,
        digest=digest,
        from_cache=ledger.from_cache,
        failures=ledger.failures,
        lanes=figures.summary(),
        attained=figures.attained,
    )


def _prices_of(config: Config) -> LanePrices | None:
    if config.prices is None and all(lane.prices is None for lane in config.providers):
        return None
    from pipeline.runs.pricing import prices_of  # noqa: PLC0415  many configs have no prices

    return prices_of(config)
