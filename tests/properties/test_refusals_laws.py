"""Whatever the provider answers in whatever order, every refused row ends once or the run stops, and nothing hangs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.pacing.refusals import IN_A_ROW, Refusals, Stop
from pipeline.messages import Report, Ticket
from pipeline.records import Failure, FailureKind, Job, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

answers = st.sampled_from(["success", "success", 401, 402, 403, "other"])
plans = st.lists(st.lists(answers, min_size=1, max_size=4), max_size=25) | st.lists(st.just([401, 401]), max_size=10)


class Gate:
    """The least of a gate: a queue, a bound on what is in flight, and each row's answers by plan (the last repeats)."""

    def __init__(self, plan: list[list[str | int]], max_in_flight: int) -> None:
        self.plan = plan
        self.max_in_flight = max_in_flight
        self.refusals = Refusals(max_in_flight)
        self.queue = deque(range(len(plan)))
        self.flying: list[tuple[int, int]] = []  # rows, and the numbers of their attempts
        self.tries = [0] * len(plan)
        self.given_back: list[int] = []
        self.ended: list[int] = []
        self.attempts = 0
        self.stop: Stop | None = None

    def run(self, order: Iterable[int]) -> None:
        turns = iter(order)
        for _ in range(20 * len(self.plan) + 20):
            if self.stop is not None:
                self.queue.clear()
            self.release()
            if self.flying:
                self.answer(*self.flying.pop(next(turns, 0) % len(self.flying)))
            elif not self.queue:
                verdict = self.refusals.idle()
                if isinstance(verdict, Stop):
                    self.stop = verdict
                    return
                if not verdict:
                    return
                self.give_back(verdict)
        raise AssertionError("hangs")

    def release(self) -> None:
        bound = 1 if self.refusals.probing else self.max_in_flight
        while self.queue and len(self.flying) < bound:
            self.flying.append((self.queue.popleft(), self.attempts))
            self.attempts += 1

    def answer(self, row: int, number: int) -> None:
        answer = self.plan[row][min(self.tries[row], len(self.plan[row]) - 1)]
        self.tries[row] += 1
        if answer == "success":
            self.ended.append(row)
            self.give_back(self.refusals.succeeded(number))
        elif answer == "other":
            self.ended.append(row)
        else:
            assert isinstance(answer, int)
            failure = Failure(row, str(row), FailureKind.REFUSED, f"HTTP {answer}", answer)
            ticket = Ticket(Job(row, str(row), "POST", "/", b"", 1, row), self.tries[row], None, number=number)
            self.stop = self.refusals.hold(Report(ticket, failure=failure, scope=Scope.KEY)) or self.stop

    def give_back(self, reports: list[Report]) -> None:
        for report in reports:
            row = report.ticket.job.index
            assert report.failure is not None
            if report.failure.status_code == 401 and row not in self.given_back:
                self.queue.appendleft(row)  # retries go first
            else:
                self.ended.append(row)
            self.given_back.append(row)


@given(plan=plans, max_in_flight=st.integers(1, 6), order=st.lists(st.integers(0, 10)))
def test_every_row_ends_once_or_the_run_stops(plan: list[list[str | int]], max_in_flight: int, order: list[int]) -> None:
    gate = Gate(plan, max_in_flight)

    gate.run(order)

    assert len(set(gate.ended)) == len(gate.ended)
    assert gate.stop is not None or sorted(gate.ended) == list(range(len(plan)))


@given(
    rows=st.integers(1, 40), status=st.sampled_from([401, 402, 403]), max_in_flight=st.integers(1, 12), order=st.lists(st.integers(0, 10))
)
def test_a_bad_key_costs_no_more_requests_than_were_in_flight(rows: int, status: int, max_in_flight: int, order: list[int]) -> None:
    gate = Gate([[status]] * rows, max_in_flight)

    gate.run(order)

    assert gate.stop is not None
    assert gate.ended == []
    assert gate.attempts <= max_in_flight


@given(
    refused=st.lists(st.sampled_from([[401], [402], [403], [401, "success"]]), max_size=10),
    max_in_flight=st.integers(1, IN_A_ROW),
)
def test_lone_refusals_among_successes_never_stop_the_run(refused: list[list[str | int]], max_in_flight: int) -> None:
    plan: list[list[str | int]] = [["success"]]
    for row in refused:
        plan += [row, ["success"], ["success"], ["success"]]
    gate = Gate(plan, max_in_flight)

    gate.run([])

    assert gate.stop is None
    assert sorted(gate.ended) == list(range(len(plan)))
