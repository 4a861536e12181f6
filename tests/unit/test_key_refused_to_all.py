"""Several processes together find that a key is refused: the lane rests, its rows go elsewhere, and without another lane the run stops."""

from __future__ import annotations

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.cluster.linked_lane import LinkedLane
from pipeline.core.cluster.talk import LaneAnswer
from pipeline.core.pacing.judge import Judge
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.pacing.permits import Reply
from pipeline.messages import Report, Ticket
from pipeline.records import Failure, FailureKind, Job, Scope

SLOTS = 5


def state(index: int, name: str) -> LaneState:
    return LaneState(LeasedLane([], slots=SLOTS), SLOTS, index=index, name=name, policy=RetryPolicy())


def answered(linked: LinkedLane, *, in_doubt: bool, refused: bool) -> None:
    """The lane has worked for others, and two of their rows were refused."""
    linked.report(1.0)
    reply = LaneAnswer(Reply([], []), SLOTS, alike={"key": 2}, key_in_doubt=in_doubt, key_refused=refused, worked=True)
    linked.hear(reply, 10.0, 1.0)


def refuse_one(judge: Judge, lane: LaneState) -> None:
    """A row of this process is refused as well."""
    ticket = Ticket(Job(0, "row-0", "POST", "/", b"{}", 1, 1), 1, None)
    assert lane.limits.admit(1.0, 0) is not None
    ticket.lane, ticket.number = lane.index, lane.health.departed(1.0)
    failure = Failure(0, "row-0", FailureKind.REFUSED, "HTTP 401: no", 401)
    judge.failed(Report(ticket, failure=failure, status=401, scope=Scope.KEY, message="HTTP 401: no"), 1.1)


def test_a_run_with_one_lane_stops_and_says_how_many_rows_all_of_them_met() -> None:
    only = state(0, "")
    judge, linked = Judge(Lanes([only]), RetryPolicy()), LinkedLane(only)
    answered(linked, in_doubt=False, refused=False)
    refuse_one(judge, only)
    answered(linked, in_doubt=True, refused=False)
    only.look(1.2)
    assert (only.free, judge.stop) == (0, None)  # nothing leaves until the others have said what they met

    answered(linked, in_doubt=False, refused=True)
    only.look(1.3)
    assert (only.free, only.unhandled) == (0, True)
    judge.went_out(only, 1.3)

    assert "refused 3 rows in a row" in (judge.stop or "")
    assert not judge.write


def test_a_lane_beside_others_rests_and_is_not_used_up() -> None:
    eu, us = state(0, "eu"), state(1, "us")
    judge, linked = Judge(Lanes([eu, us]), RetryPolicy()), LinkedLane(eu)
    answered(linked, in_doubt=False, refused=False)
    refuse_one(judge, eu)

    answered(linked, in_doubt=False, refused=True)
    judge.went_out(eu, 1.3)
    answered(linked, in_doubt=False, refused=True)

    assert (judge.stop, eu.out, eu.unhandled) == (None, None, False)
    assert "refused 3 rows in a row" in (eu.refused or "")
    assert [ticket.avoid for _, ticket in judge.again] == [0]


def test_an_answer_of_its_own_shows_that_the_key_works() -> None:
    only = state(0, "")
    judge, linked = Judge(Lanes([only]), RetryPolicy()), LinkedLane(only)
    answered(linked, in_doubt=False, refused=False)
    refuse_one(judge, only)
    linked.report(1.0)

    only.succeeded += 1
    only.refusals.succeeded()
    linked.hear(LaneAnswer(Reply([], []), SLOTS, alike={"key": 2}, key_refused=True), 10.0, 1.4)
    only.look(1.4)

    assert (only.unhandled, only.free) == (False, SLOTS)
