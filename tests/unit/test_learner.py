"""What a lane learns, in single steps: the laws over all kinds of servers are in `properties/test_learned_laws.py`."""

import pytest

from pipeline.core.answers.quotas import NOTHING, ProviderLimits, Quota
from pipeline.core.pacing.lane import Bound, Lane, Learned, Limit, Wait
from pipeline.messages import Grant
from tests.fakes.limited import release

START = 54_321.25


def granted(answer: Grant | Wait) -> Grant:
    assert isinstance(answer, Grant)
    return answer


def waited(answer: Grant | Wait) -> Wait:
    assert isinstance(answer, Wait)
    return answer


def paced(lane: Lane, start: float, seconds: float, most: int = 1 << 30) -> list[float]:
    """When attempts leave while more always waits and none is answered. most: so many at most."""
    times: list[float] = []
    now = start
    while now < start + seconds and len(times) < most:
        answer = lane.admit(now, 0)
        if isinstance(answer, Grant):
            times.append(now)
        else:
            now = answer.wake
    return times


def test_search_begins_at_a_share_of_the_slots_and_grows_slowly() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=200)

    times = paced(lane, START, 3.0)

    assert len([at for at in times if at < START + 1]) == pytest.approx(13, abs=3)
    assert len([at for at in times if at >= START + 2]) == pytest.approx(30, abs=8)


def test_thousands_of_slots_are_filled_by_a_short_wave_that_is_low_at_first() -> None:
    """Without it a run of 40,000 rows at 5,000 in flight took 12 s in place of 8."""
    lane = Lane.from_limits(learn=True, max_in_flight=2000)

    times = paced(lane, START, 0.6, most=2000)

    assert len(times) == 2000
    assert times[-1] - START == pytest.approx(0.3, abs=0.06)
    assert len([at for at in times if at < START + 0.075]) == pytest.approx(150, abs=40)


@pytest.mark.parametrize("trouble", ["refused", "lost", "busy"])
def test_first_wave_ends_with_the_first_failure_and_the_search_is_careful(trouble: str) -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=2000)
    first = granted(lane.admit(START, 0))
    paced(lane, START, 0.1, most=100)
    now = START + 0.1

    if trouble == "refused":
        lane.refused(first, now)
    else:
        lane.lost(first, now, busy=trouble == "busy")

    times = paced(lane, now, 3.0, most=1500)
    assert len([at for at in times if at < now + 1]) <= 160
    assert len([at for at in times if at >= now + 2]) == pytest.approx(300, abs=80)


def test_after_a_pause_departures_are_as_careful_as_without_a_wave() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=2000)
    lane.pause(START + 5.0)

    times = paced(lane, START + 5.0, 1.0, most=2000)

    assert len(times) <= 160


def test_search_is_as_fast_as_the_answers_come() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=64)
    now = START
    flying = release(lane, now, most=100)

    for _ in range(8):
        now += 0.02
        for grant in flying:
            lane.answered(grant, now)
        flying = release(lane, now, most=64)

    assert len(flying) == 64


def test_refusal_with_a_wait_keeps_it_and_what_follows_is_spread() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=200)
    lane.news(granted(lane.admit(START, 0)), START + 0.1, ProviderLimits(Quota(600.0, 599.0)))
    flying = [granted(lane.admit(START + 0.2 + 0.2 * place, 0)) for place in range(5)]

    lane.refused(flying[-1], START + 1.1, 7.0)

    wait = waited(lane.admit(START + 1.2, 0))
    assert (wait.until, wait.bound) == (START + 8.1, Bound.PAUSE)
    assert len(release(lane, START + 8.2, most=100)) <= 1


def test_refusal_that_brings_headers_is_the_fastest_news() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=200)
    grant = granted(lane.admit(START, 0))
    lane.news(grant, START + 0.1, ProviderLimits(Quota(6000.0, 5999.0)))

    lane.refused(granted(lane.admit(START + 0.2, 0)), START + 0.25, None, ProviderLimits(Quota(600.0, 300.0)))

    learned = lane.learned
    assert learned is not None
    assert (learned.requests_per_minute or 0) <= 600


def test_refusal_of_parallel_requests_lowers_the_bound_and_holds_nobody() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=200)
    lane.news(granted(lane.admit(START, 0)), START, ProviderLimits(Quota(60_000.0, 59_999.0)))
    flying = [granted(lane.admit(START + 0.1 * place, 0)) for place in range(1, 11)]

    lane.refused(flying[-1], START + 1.1, 5.0, parallel=True)

    assert lane.concurrency == 10
    assert isinstance(lane.admit(START + 1.2, 0), Grant)
    learned = lane.learned
    assert learned is not None
    assert (learned.kind, learned.in_flight) == ("in_flight", 10)


def test_announced_tokens_hold_and_are_corrected_by_what_was_used() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=200)
    lane.news(granted(lane.admit(START, 10)), START + 0.1, ProviderLimits(NOTHING, Quota(60_000.0, 59_000.0)))
    lane.news(granted(lane.admit(START + 0.1, 10)), START + 0.1, ProviderLimits(Quota(60_000.0, 59_000.0)))
    grant = granted(lane.admit(START + 1, 10_000))
    assert waited(lane.admit(START + 2, 10)).until == pytest.approx(START + 11.05, abs=0.1)

    lane.settle(grant, START + 3, tokens=1000)

    granted(lane.admit(START + 3, 10))


def test_input_and_output_tokens_are_announced_apart() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=200)
    lane.news(granted(lane.admit(START, 10)), START, ProviderLimits(Quota(60_000.0), NOTHING, Quota(60_000.0), Quota(6_000.0)))

    granted(lane.admit(START + 1, 1100, 1000))

    assert waited(lane.admit(START + 5, 10, 10)).until == pytest.approx(START + 11.05, abs=0.1)
    learned = lane.learned
    assert learned is not None
    assert (learned.input_tokens_per_minute, learned.output_tokens_per_minute) == (59_700.0, 5_970.0)


def test_news_are_read_ten_times_a_second_and_less_where_there_are_none() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=200)
    grants = [granted(lane.admit(START + place, 0)) for place in range(4)]
    assert lane.answered(grants[0], START + 4)

    lane.news(grants[0], START + 4, None)

    assert not lane.answered(grants[1], START + 4.05)
    assert lane.answered(grants[2], START + 4.11)
    for place in range(30):
        lane.news(grants[0], START + 4 + place, None)
    assert not lane.answered(grants[3], START + 34.5)
    plain = Lane.from_limits()
    assert not plain.answered(granted(plain.admit(START, 0)), START)


def test_what_was_learned_is_plain_and_a_later_run_begins_there() -> None:
    before = Learned(540.0, "sliding", 60.0)
    lane = Lane.from_limits(learn=True, max_in_flight=200)

    lane.restore(before, START)

    times = paced(lane, START, 4.0)
    assert len(times) == pytest.approx(4 * 9 * 0.985, abs=2)
    assert lane.learned == before


def test_cap_that_was_learned_holds_from_the_start_of_a_later_run() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=200)

    lane.restore(Learned(None, "in_flight", None, 12), START)

    assert lane.concurrency == 12


def test_nothing_is_learned_where_it_is_switched_off() -> None:
    lane = Lane.from_limits(max_in_flight=200)
    grant = granted(lane.admit(START, 0))
    lane.restore(Learned(6.0, "bucket"), START)

    lane.refused(grant, START + 1, 3.0)

    assert lane.learned is None
    assert waited(lane.admit(START + 2, 0)).until == START + 4
    assert len(release(lane, START + 4, most=50)) == 50


def test_configured_limit_that_is_raised_lets_the_pace_rise() -> None:
    lane = Lane.from_limits(learn=True, requests_per_second=5.0, max_in_flight=200)
    assert len(paced(lane, START, 4.0)) == pytest.approx(20, abs=2)

    lane.retune([Limit(Bound.REQUESTS_PER_SECOND, 50.0, 1.0)], START + 4)

    assert len(paced(lane, START + 4, 4.0)) >= 190


def test_pause_is_followed_by_a_spread_start() -> None:
    """A pause that ends for fifty waiters at once must not let fifty leave at once."""
    lane = Lane.from_limits(learn=True, max_in_flight=50)
    now = START
    for _ in range(40):
        now += 0.05
        for grant in release(lane, now, most=50 - lane.in_flight):
            lane.answered(grant, now + 0.01)

    lane.pause(now + 10)

    assert len(release(lane, now + 10, most=50)) <= 5


def test_lost_probe_is_made_again() -> None:
    lane = Lane.from_limits(learn=True, max_in_flight=200)
    lane.news(granted(lane.admit(START, 0)), START, ProviderLimits(Quota(600.0, 300.0)))
    lane.refused(granted(lane.admit(START + 1, 0)), START + 1.05, None, ProviderLimits(Quota(600.0, 0.0)))
    first = waited(lane.admit(START + 1.1, 0)).until
    probe = granted(lane.admit(first, 0))
    waited(lane.admit(first, 0))

    lane.lost(probe, first + 0.05)

    again = waited(lane.admit(first + 0.06, 0)).until
    granted(lane.admit(again, 0))
