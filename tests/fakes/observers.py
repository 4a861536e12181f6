"""An observer that keeps all that it is told, and a gate that tells what records say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.events import AttemptResult
from pipeline.messages import Report, Ticket
from pipeline.records import Arrival, Job, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.events import AttemptRecord, RunEvent
    from pipeline.ports import GroupObserver


@define(eq=False)
class Book:
    """groups: how many there were in each group of records."""

    records: list[AttemptRecord] = field(factory=list)
    told: list[RunEvent] = field(factory=list)
    groups: list[int] = field(factory=list)

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        self.records += records
        self.groups.append(len(records))

    def events(self, events: Sequence[RunEvent]) -> None:
        assert events
        self.told += events


def tell(observer: GroupObserver, records: Sequence[AttemptRecord]) -> None:
    """What the gate tells of these attempts while they happen, answers three at once."""
    for record in sorted(records, key=lambda each: each.left):
        observer.left(record.lane, 1, record.left, record.held_by, record.estimated_tokens)
    ended = sorted(records, key=lambda each: each.ended)
    for at in range(0, len(ended), 3):
        answered = [each for each in ended[at : at + 3] if each.result is AttemptResult.ANSWERED]
        others = [each for each in ended[at : at + 3] if each.result is not AttemptResult.ANSWERED]
        if answered:
            observer.answered([_report(each) for each in answered], [each.cost for each in answered])
        if others:
            observer.attempts(others)


def _report(record: AttemptRecord) -> Report:
    job = Job(record.index, record.custom_id, "POST", "/v1", b"{}", 1, record.index + 1)
    ticket = Ticket(job, record.attempt, None, lane_name=record.lane, number=record.number, turn=record.turn, left=record.left)
    usage, arrival = Usage(record.prompt_tokens, record.output_tokens), Arrival(record.first_token)
    return Report(ticket, answered=True, usage=usage, arrival=arrival, ended=record.ended)
