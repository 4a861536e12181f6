"""What stands in a run directory: counts over the parts that are whole, and over what the others' journals say."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.core.output.read_lines import read_line
from pipeline.edges.store.journal_reading import peek
from pipeline.edges.store.marks import is_locked
from pipeline.errors import JournalError
from pipeline.runs.pricing import as_money

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.bookkeeping.going import Going
    from pipeline.core.cluster.plan import Plan
    from pipeline.edges.store.journal_schema import State
    from pipeline.engines.rundir import Done, RunDirectory


@define
class Totals:
    """Counts over all shards. rows: that have a result; written: those in a part. running: shards at which a process works.

    done: the parts that are whole, by number. waiting: results that are in a journal and not in a part. cost: None where one is not known.
    in_flight, to_retry, rate, going: of the shards at which somebody works. committed_at: of the last commit of all.
    """

    rows: int = 0
    written: int = 0
    waiting: int = 0
    succeeded: int = 0
    failed: int = 0
    unknown: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    output_bytes: int = 0
    rejected: int = 0
    cost: float | None = 0.0
    finish_reasons: Counter[str] = field(factory=Counter)
    done: dict[int, Done] = field(factory=dict)
    running: int = 0
    in_flight: int = 0
    to_retry: int = 0
    rate: float | None = None
    going: list[Going] = field(factory=list)
    committed_at: float = 0.0


def totals_of(directory: RunDirectory, plan: Plan) -> Totals:
    """Count what there is. Where a journal lies on another machine, the lines of its part count. Blocks."""
    totals = Totals()
    for shard in plan.shards:
        done = directory.done(shard.number)
        if done is not None:
            _add_part(totals, done)
        else:
            _add_journal(totals, directory, shard.number)
    return totals


def _add_part(totals: Totals, done: Done) -> None:
    totals.done[done.number] = done
    totals.written += done.rows
    _add_counts(totals, done, rows=done.rows, cost=done.cost, committed_at=done.ended_at)


def _add_counts(totals: Totals, counts: Done | State, *, rows: int, cost: float | None, committed_at: float) -> None:
    """What a part that is whole and a journal count under the same names, and what they do not."""
    totals.rows += rows
    totals.succeeded += counts.succeeded
    totals.failed += counts.failed
    totals.unknown += counts.unknown
    totals.prompt_tokens += counts.prompt_tokens
    totals.output_tokens += counts.output_tokens
    totals.output_bytes += counts.bytes
    totals.rejected += counts.rejected
    totals.cost = None if totals.cost is None or cost is None else totals.cost + cost
    totals.finish_reasons.update(counts.finish_reasons)
    totals.committed_at = max(totals.committed_at, committed_at)


def _add_lines(totals: Totals, part: Path) -> None:
    """A part whose journal is on another machine: what its lines say."""
    with suppress(FileNotFoundError), part.open("rb") as lines:
        for line in lines:
            told = read_line(line) if line.endswith(b"\n") else None
            if told is not None:
                totals.rows += 1
                totals.written += 1
                totals.succeeded += told.succeeded
                totals.failed += not told.succeeded
                totals.prompt_tokens += told.usage.prompt_tokens
                totals.output_tokens += told.usage.output_tokens
                totals.output_bytes += len(line)


def _add_journal(totals: Totals, directory: RunDirectory, number: int) -> None:
    journal = directory.journal(number)
    if not journal.exists():
        _add_lines(totals, directory.part(number))
        return
    try:
        state, _, held = peek(journal)
    except JournalError:
        return
    totals.written += state.written
    totals.waiting += held
    cost = None if state.priced.unpriced else as_money(state.priced.cost)
    _add_counts(totals, state, rows=state.recorded, cost=cost, committed_at=state.committed_at)
    if is_locked(journal.with_name(journal.name + ".sent")):
        totals.running += 1
        totals.going.append(state.going)
        totals.in_flight += state.going.in_flight
        totals.to_retry += state.going.waiting
        if state.going.rows_per_second is not None:
            totals.rate = (totals.rate or 0.0) + state.going.rows_per_second
