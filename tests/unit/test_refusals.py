import pytest

from pipeline.core.pacing.refusals import Refusals, Stop
from pipeline.messages import Report, Ticket
from pipeline.records import Failure, FailureKind, Job, Scope


def refusal(row: int, status: int = 401, number: int = 0) -> Report:
    failure = Failure(row, f"row-{row}", FailureKind.REFUSED, f"HTTP {status}: no", status)
    ticket = Ticket(Job(row, f"row-{row}", "POST", "/", b"{}", 1, row + 1), 1, None, number=number)
    return Report(ticket, failure=failure, scope=Scope.KEY)


@pytest.mark.parametrize("patience,requests", [(1, 1), (2, 2), (3, 3), (50, 3)])
def test_key_that_never_worked_stops_the_run_before_it_costs_more_than_was_in_flight(patience: int, requests: int) -> None:
    refusals = Refusals(patience)

    verdicts = [refusals.hold(refusal(row)) for row in range(requests)]

    assert verdicts[:-1] == [None] * (requests - 1)
    assert isinstance(verdicts[-1], Stop)
    assert verdicts[-1].rows == requests


@pytest.mark.parametrize("patience", [1, 50])
def test_key_that_worked_stops_the_run_after_three_rows_in_a_row(patience: int) -> None:
    refusals = Refusals(patience)
    refusals.succeeded()

    assert refusals.hold(refusal(0)) is None
    assert refusals.hold(refusal(1, 403)) is None
    assert refusals.hold(refusal(2, 402)) is not None


def test_refusals_with_a_success_between_are_the_rows_own() -> None:
    refusals = Refusals(50)
    reports = [refusal(row) for row in range(5)]

    assert refusals.hold(reports[0]) is None
    assert refusals.hold(reports[1]) is None
    assert refusals.succeeded() == reports[:2]
    assert refusals.succeeded() == []
    assert refusals.hold(reports[2]) is None
    assert refusals.hold(reports[3]) is None
    assert refusals.succeeded() == reports[2:4]


def test_refusal_before_any_success_lets_one_attempt_out_at_a_time() -> None:
    refusals = Refusals(50)
    states = [refusals.probing]

    refusals.hold(refusal(0))
    states.append(refusals.probing)
    refusals.succeeded()
    states.append(refusals.probing)
    refusals.hold(refusal(1))
    states.append(refusals.probing)

    assert states == [False, True, False, False]


def test_refusal_that_nothing_will_judge_is_the_rows_own_if_the_key_ever_worked() -> None:
    worked, never = Refusals(50), Refusals(50)
    worked.succeeded()
    report = refusal(0)

    worked.hold(report)
    never.hold(report)

    assert worked.idle() == [report]
    assert worked.idle() == []
    assert never.idle() == Stop(1, report)


def test_row_refused_twice_in_a_row_counts_once() -> None:
    refusals = Refusals(50)
    refusals.succeeded()

    for _ in range(5):
        assert refusals.hold(refusal(7)) is None
        assert len(refusals.idle()) == 1  # type: ignore[arg-type]

    assert refusals.hold(refusal(8)) is None
    assert isinstance(refusals.hold(refusal(9)), Stop)


def test_stop_is_final_and_what_was_held_is_never_handed_back() -> None:
    refusals = Refusals(1)
    stop = refusals.hold(refusal(0))

    assert refusals.succeeded() == []
    assert refusals.hold(refusal(1)) is stop
    assert refusals.idle() is stop


def test_nothing_refused_is_nothing_to_decide() -> None:
    assert Refusals(1).idle() == []


def test_an_answer_to_what_left_before_a_refusal_says_nothing_of_it() -> None:
    refusals = Refusals(50)
    early, late = refusal(5, number=5), refusal(7, number=7)

    refusals.hold(early)
    refusals.hold(late)

    assert refusals.succeeded(4) == []
    assert refusals.succeeded(6) == [early]
    assert refusals.succeeded(8) == [late]


def test_a_success_that_left_while_the_refusal_was_on_its_way_is_no_proof_against_the_lane() -> None:
    """Requests overtake one another: an account that ran dry refused the 49th and had answered the 50th. The 49th was written as failed."""
    refusals = Refusals(50)
    early = refusal(5, number=5)

    refusals.hold(early, departures=9)

    assert refusals.succeeded(8) == []
    assert refusals.succeeded(9) == [early]


def test_answers_to_what_left_before_say_nothing_about_refusals_of_what_left_later() -> None:
    refusals = Refusals(50)
    refusals.succeeded(0)

    verdicts = []
    for number in range(1, 20):  # refusals come at once, answers to what left before them between
        verdicts.append(refusals.hold(refusal(100 + number, number=100 + 2 * number)))
        assert refusals.succeeded(number) == []
    verdicts += [refusals.hold(refusal(200 + number, number=200 + 2 * number)) for number in range(3)]

    assert verdicts[:-1] == [None] * 21
    assert isinstance(verdicts[-1], Stop)


def test_a_key_that_refuses_all_that_leaves_stops_the_run_though_earlier_answers_still_come() -> None:
    refusals = Refusals(50)
    refusals.succeeded(0)

    verdicts = []
    for number in range(1, 6):
        verdicts.append(refusals.hold(refusal(100 + number, number=100 + number)))
        assert refusals.succeeded(number) == []

    assert verdicts[:-1] == [None] * 4
    assert isinstance(verdicts[-1], Stop)


def test_after_a_refused_key_nothing_leaves_until_the_other_processes_have_said_what_they_met() -> None:
    refusals = Refusals(50)
    refusals.add_others({}, in_doubt=True)
    refusals.succeeded()
    report = refusal(0)
    assert refusals.hold(report) is None
    states = [refusals.frozen(1.0, {})]

    refusals.note_key(0, refused=False)  # others have not said yet what they met
    states.append(refusals.frozen(1.0, {}))
    refusals.note_key(1, refused=False)
    states.append(refusals.frozen(1.0, {}))

    assert states == [True, True, False]
    assert refusals.idle() == [report]


def test_a_key_that_several_processes_together_found_refused_stops_the_lane() -> None:
    refusals = Refusals(50)
    refusals.succeeded()
    refusals.add_others({"key": 2}, in_doubt=True)
    report = refusal(0)
    refusals.hold(report)
    assert refusals.idle() == []
    assert refusals.in_doubt

    refusals.note_key(1, refused=True)

    assert refusals.told == Stop(3, report)
    assert refusals.frozen(1.0, {})


def test_a_key_that_others_found_refused_says_nothing_to_a_process_for_which_it_works() -> None:
    refusals = Refusals(50)
    refusals.add_others({"key": 5}, in_doubt=True)
    refusals.hold(refusal(0))
    refusals.succeeded()

    refusals.note_key(1, refused=True)

    assert refusals.told is None
    assert not refusals.frozen(1.0, {})
