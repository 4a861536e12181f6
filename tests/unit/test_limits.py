import pytest

from pipeline.core.pacing.lane import TICK_SECONDS, UNBOUNDED, Bound, Lane, Limit, Wait
from pipeline.core.pacing.sliding_log import MARGIN, SlidingLog
from pipeline.messages import Grant
from tests.fakes.limited import release, saturate

START = 54_321.25  # a loop's clock begins anywhere


def waited(answer: Grant | Wait) -> Wait:
    assert isinstance(answer, Wait)
    return answer


def granted(answer: Grant | Wait) -> Grant:
    assert isinstance(answer, Grant)
    return answer


def test_lane_without_limits_lets_everything_leave() -> None:
    lane = Lane.from_limits()

    assert len(release(lane, START, tokens=10**9, most=1000)) == 1000
    assert lane.refuses(10**12) is None


@pytest.mark.parametrize(
    "rate,burst,at_once",
    [(3000.0, None, 30), (300.0, None, 3), (250.0, None, 2), (100.0, None, 1), (5.0, None, 1), (300.0, 1, 1), (300.0, 7, 7), (5.0, 50, 5)],
)
def test_lane_at_rest_lets_a_burst_leave_at_once_and_no_more(rate: float, burst: int | None, at_once: int) -> None:
    lane = Lane.from_limits(requests_per_second=rate, burst=burst)

    assert len(release(lane, START)) == at_once


def test_limit_of_ten_a_minute_lets_one_leave_every_six_seconds() -> None:
    lane = Lane.from_limits(requests_per_minute=10)

    times = [at - START for at, _ in saturate(lane, START, 30.0, lambda: 0.0)]

    assert times[:5] == pytest.approx([6 * (1 + MARGIN) * place for place in range(5)], abs=1e-4)


def test_limit_below_one_request_a_period_is_kept_as_one_in_a_longer_period() -> None:
    lane = Lane.from_limits(requests_per_second=0.25)

    granted(lane.admit(START, 0))

    assert waited(lane.admit(START, 0)).until == pytest.approx(START + 4 * (1 + MARGIN), abs=0.01)


def test_late_wake_releases_what_was_due_meanwhile_if_somebody_waited() -> None:
    lane = Lane.from_limits(requests_per_second=300)
    release(lane, START)

    late = release(lane, START + 0.040)

    assert len(late) == 11  # 14 with the burst of 3: 40 ms of 3.34 ms each, and the burst less one ahead


def test_catch_up_is_bounded() -> None:
    second, minute = Lane.from_limits(requests_per_second=300), Lane.from_limits(requests_per_minute=18_000)
    for lane in (second, minute):
        release(lane, START)

    assert len(release(second, START + 0.9)) <= 3 + 0.05 * 300
    assert len(release(minute, START + 0.9)) <= 3 + 0.25 * 300


def test_time_at_rest_earns_no_more_than_the_burst() -> None:
    lane = Lane.from_limits(requests_per_second=300)
    release(lane, START, most=2)  # it never said Wait: nobody waited

    assert len(release(lane, START + 0.5)) == 3


def test_pause_holds_and_the_longest_of_several_counts() -> None:
    lane = Lane.from_limits(requests_per_second=300)
    lane.pause(START + 2)
    lane.pause(START + 1)

    wait = waited(lane.admit(START + 1.999, 0))

    assert (wait.until, wait.wake, wait.bound) == (START + 2, START + 2, Bound.PAUSE)
    granted(lane.admit(START + 2, 0))


def test_pause_holds_without_limits() -> None:
    lane = Lane.from_limits()
    lane.pause(START + 2)

    assert waited(lane.admit(START, 0)).until == START + 2
    granted(lane.admit(START + 2, 0))


def test_pause_is_followed_by_no_more_than_a_burst() -> None:
    lane = Lane.from_limits(requests_per_second=300, burst=2)
    release(lane, START)
    lane.pause(START + 1)
    release(lane, START + 0.5)

    assert len(release(lane, START + 1.010)) == 2


def test_request_over_the_token_budget_is_refused_and_says_why() -> None:
    lane = Lane.from_limits(requests_per_minute=10, tokens_per_minute=1000)

    assert lane.refuses(1000) is None
    assert lane.refuses(1001) == "needs about 1001 tokens, more than a whole period allows (tokens_per_minute: 1000)"
    with pytest.raises(ValueError, match="needs about 1001 tokens"):
        lane.admit(START, 1001)


def test_request_of_the_whole_budget_passes_when_the_window_is_empty() -> None:
    lane = Lane.from_limits(tokens_per_minute=1000)
    granted(lane.admit(START, 1))

    wait = waited(lane.admit(START, 1000))

    assert wait.until == pytest.approx(START + 60 * (1 + MARGIN), abs=0.02)
    granted(lane.admit(wait.until, 1000))


def test_limit_that_holds_longest_is_named() -> None:
    lane = Lane.from_limits(requests_per_second=1, requests_per_minute=600, tokens_per_minute=600)
    granted(lane.admit(START, 100))

    assert waited(lane.admit(START, 100)).bound is Bound.TOKENS_PER_MINUTE
    assert waited(lane.admit(START, 100)).bound == "tokens_per_minute"

    lane = Lane.from_limits(requests_per_second=1, tokens_per_minute=6000)
    granted(lane.admit(START, 1))

    assert waited(lane.admit(START, 1)).bound is Bound.REQUESTS_PER_SECOND


def test_pace_alone_sets_the_time_while_the_window_has_room() -> None:
    lane = Lane.from_limits(requests_per_second=2, burst=1)
    granted(lane.admit(START, 0))

    assert waited(lane.admit(START, 0)).until == pytest.approx(START + (1 + MARGIN) / 2, abs=1e-5)


def test_refused_permit_leaves_no_trace_in_the_other_limit() -> None:
    lane = Lane.from_limits(requests_per_minute=60, tokens_per_minute=1000, burst=60)
    granted(lane.admit(START, 1000))
    for tick in range(100):
        waited(lane.admit(START + tick * 0.01, 1000))
    lane.settle(lane.admit(START + 61, 0), START + 61)  # type: ignore[arg-type]

    assert len(release(lane, START + 62)) == 59


def test_tokens_that_were_not_used_let_others_go_sooner() -> None:
    lane = Lane.from_limits(tokens_per_minute=1000)
    grant = granted(lane.admit(START, 1000))
    waited(lane.admit(START + 1, 100))

    lane.settle(grant, START + 1, tokens=10)

    granted(lane.admit(START + 1, 100))


def test_tokens_that_were_not_used_are_no_credit_once_nobody_waits() -> None:
    lane = Lane.from_limits(tokens_per_minute=60_000)
    grants = [granted(lane.admit(START + 2 * place, 1000)) for place in range(5)]
    waited(lane.admit(START + 8, 1000))
    for grant in grants:
        lane.settle(grant, START + 8.5, tokens=0)

    granted(lane.admit(START + 8.5, 1000))

    assert len(release(lane, START + 20, 1000)) == 1


def test_tokens_above_the_estimate_let_others_go_later() -> None:
    lane, plain = Lane.from_limits(tokens_per_minute=1000), Lane.from_limits(tokens_per_minute=1000)
    grant = granted(lane.admit(START, 100))
    granted(plain.admit(START, 100))

    lane.settle(grant, START + 1, tokens=600)

    assert waited(lane.admit(START + 1, 100)).until > waited(plain.admit(START + 1, 100)).until + 29


def test_departure_counts_from_when_the_request_was_really_sent() -> None:
    lane = Lane.from_limits(requests_per_second=2, burst=2)
    slow, _ = release(lane, START)
    lane.settle(slow, START + 0.5, sent_at=START + 0.4)

    assert len(release(lane, START + 1.01)) == 1
    assert len(release(lane, START + 1.41)) == 1


def test_departure_in_the_future_is_taken_for_one_now() -> None:
    lane = Lane.from_limits(requests_per_second=1)
    grant = granted(lane.admit(START, 0))

    lane.settle(grant, START + 0.5, sent_at=START + 1e6)
    lane.settle(grant, START + 0.6, tokens=7)

    assert grant.sent == START + 0.5
    assert waited(lane.admit(START + 1.4, 0)).until == pytest.approx(START + 1.5, abs=0.01)
    granted(lane.admit(START + 0.5 + 1 + MARGIN, 0))


def test_settling_again_corrects_what_was_settled_before() -> None:
    lane = Lane.from_limits(tokens_per_minute=1000)
    grant = granted(lane.admit(START, 900))

    lane.settle(grant, START + 1, sent_at=START + 1)
    lane.settle(grant, START + 5, tokens=1)

    assert (grant.left, grant.sent, grant.tokens) == (START, START + 1, 1)
    granted(lane.admit(START + 5, 900))


def test_settling_after_the_window_has_passed_changes_nothing() -> None:
    lane, plain = Lane.from_limits(requests_per_second=10), Lane.from_limits(requests_per_second=10)
    grants = [granted(each.admit(START, 1)) for each in (lane, plain)]

    lane.settle(grants[0], START + 100, tokens=5, sent_at=START + 0.3)

    assert lane.admit(START + 100, 1).left == plain.admit(START + 100, 1).left  # type: ignore[union-attr]
    assert waited(lane.admit(START + 100, 1)).until == waited(plain.admit(START + 100, 1)).until


def test_wake_gathers_what_is_due_within_a_tick() -> None:
    lane = Lane.from_limits(requests_per_second=3000)
    release(lane, START)

    wait = waited(lane.admit(START, 0))

    assert wait.until < START + 0.001
    assert wait.wake == START + TICK_SECONDS


def test_log_of_a_limit_needs_the_same_memory_at_any_rate() -> None:
    log = SlidingLog(1.0)

    for departure in range(50_000):
        log.advance(START + departure * 1e-4)
        log.take(1)

    assert log.total <= 10_000 * (1 + MARGIN) + 3
    assert len(log._ring) == 4096


def test_input_and_output_tokens_are_limited_apart() -> None:
    lane = Lane.from_limits(input_tokens_per_minute=1000, output_tokens_per_minute=200)

    granted(lane.admit(START, 300, 200))

    assert waited(lane.admit(START, 101, 1)).bound is Bound.OUTPUT_TOKENS_PER_MINUTE
    assert lane.refuses(300, 200) is None
    assert lane.refuses(300, 201) == "needs about 201 tokens, more than a whole period allows (output_tokens_per_minute: 200)"
    assert lane.refuses(1001, 0) == "needs about 1001 tokens, more than a whole period allows (input_tokens_per_minute: 1000)"


def test_output_that_was_not_used_comes_back_to_its_own_limit() -> None:
    lane = Lane.from_limits(input_tokens_per_minute=1000, output_tokens_per_minute=200)
    grant = granted(lane.admit(START, 300, 200))
    waited(lane.admit(START + 1, 110, 100))

    lane.settle(grant, START + 1, tokens=20, output_tokens=10)

    granted(lane.admit(START + 4, 110, 100))


def test_retuned_limit_counts_what_has_left_before() -> None:
    lane = Lane.from_limits(requests_per_minute=60, burst=60)
    assert len(release(lane, START)) == 60

    lane.retune([Limit(Bound.REQUESTS_PER_MINUTE, 100, 60.0, 100)], START + 1)

    assert len(release(lane, START + 59)) == 40


def test_limit_retuned_downwards_holds_until_the_window_has_room() -> None:
    lane = Lane.from_limits(requests_per_minute=60, burst=60)
    release(lane, START)

    lane.retune([Limit(Bound.REQUESTS_PER_MINUTE, 30, 60.0, 30)], START + 1)

    assert START + 60 * (1 + MARGIN) - 0.1 <= waited(lane.admit(START + 2, 0)).until <= START + 60 * (1 + MARGIN) + 2


def test_retuning_changes_the_pace_of_what_is_already_owed() -> None:
    lane = Lane.from_limits(tokens_per_minute=6000)
    granted(lane.admit(START, 3000))  # half a minute at this pace

    lane.retune([Limit(Bound.TOKENS_PER_MINUTE, 12_000, 60.0)], START)

    assert waited(lane.admit(START, 1)).until == pytest.approx(START + 15 * (1 + MARGIN), abs=0.01)


def test_limit_that_is_taken_away_holds_nothing_any_more() -> None:
    lane = Lane.from_limits(requests_per_minute=1)
    release(lane, START)

    lane.retune([], START, slots=7)

    assert len(release(lane, START, most=100)) == 100
    assert lane.concurrency == 7


def test_attempt_is_in_flight_until_one_word_ends_it() -> None:
    lane = Lane.from_limits(requests_per_second=300, burst=9)
    first, second, third, fourth = release(lane, START, most=4)

    lane.answered(first, START)
    lane.refused(second, START)
    lane.lost(third, START)

    assert lane.in_flight == 1
    assert lane.concurrency == UNBOUNDED
    lane.refused(fourth, START, 3.0)
    assert waited(lane.admit(START, 0)).until == START + 3


def test_refusal_that_speaks_of_parallel_requests_pauses_nobody() -> None:
    lane = Lane.from_limits()

    lane.refused(granted(lane.admit(START, 0)), START, 3.0, parallel=True)

    granted(lane.admit(START, 0))
