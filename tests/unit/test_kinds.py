import pytest

from pipeline.core.pacing.departures import CELLS, CELLS_PER_SECOND, Departures
from pipeline.core.pacing.kinds import Kind, WindowFinder
from pipeline.core.pacing.outage import GROWTH, LEAST_DELAY, Outage
from pipeline.messages import Grant

START = 1000.0


def finder(*, until: float, every: float = 0.1, since: float = START) -> WindowFinder:
    """One that knows of even departures."""
    log = Departures()
    for place in range(round((until - since) / every)):
        log.add(since + every * place)
    return WindowFinder(log)


def outage(since: float, *, refused_at: float | None = None, said: float = 0.0, tested: bool = False) -> Outage:
    shut = Outage(since, said, LEAST_DELAY, since + 1.0, tested=tested)
    shut.refused_at = since if refused_at is None else refused_at
    return shut


def test_outage_that_was_slept_through_proves_no_window() -> None:
    """Sixteen seconds of one's own back-off behind a bucket that was halved: taken for a window of a minute it cost 80 % of a run."""
    windows = finder(until=START + 60)

    assert windows.judge(outage(START + 60, refused_at=START + 60.1), START + 76, 10.0, 10.0) is None

    assert windows.kind is Kind.BUCKET


def test_window_of_a_minute_is_known_after_one_outage() -> None:
    windows = finder(until=START + 10)

    rate = windows.judge(outage(START + 10, said=50.0), START + 60.2, 10.0, None)

    assert windows.kind is Kind.SLIDING
    assert windows.period == 60.0
    assert rate == pytest.approx(100 / 60, rel=0.02)


def test_window_that_opens_before_a_sliding_one_would_is_fixed() -> None:
    windows = finder(until=START + 10)

    rate = windows.judge(outage(START + 10, said=20.0), START + 30, 10.0, None)

    assert windows.kind is Kind.FIXED
    assert rate == pytest.approx(100 / 60, rel=0.02)


def test_window_that_is_shut_longer_than_a_sliding_one_would_be_is_fixed() -> None:
    windows = finder(until=START + 10)

    windows.judge(outage(START + 10, refused_at=START + 14), START + 15, 10.0, None)

    assert windows.kind is Kind.FIXED
    assert windows.period == 10.0


def test_sliding_window_that_opens_a_period_after_the_last_outage_is_not_fixed() -> None:
    """What left first after an outage leaves the window exactly a period later."""
    windows = finder(until=START + 10)
    windows.judge(outage(START + 10, said=50.0), START + 60.0, 10.0, None)
    for place in range(300):
        windows.log.add(START + 60.1 + 0.1 * place)

    windows.judge(outage(START + 90, said=30.0), START + 120.1, 10.0, 1.7)

    assert windows.kind is Kind.SLIDING


def test_edge_of_a_fixed_window_is_known_better_with_every_outage() -> None:
    windows = finder(until=START + 10)
    windows.judge(outage(START + 10, refused_at=START + 14), START + 16, 10.0, None)  # the edge lies from 14 to 16
    for place in range(100):
        windows.log.add(START + 16 + 0.1 * place)

    windows.judge(outage(START + 23, refused_at=START + 24.8), START + 25.2, 10.0, 10.0)  # from 24.8 to 25.2, so from 14.8

    assert START + 34.8 <= windows.next_edge(START + 30) <= START + 35.4


def test_window_that_is_shut_early_twice_was_none() -> None:
    windows = finder(until=START + 10)
    windows.judge(outage(START + 10, said=50.0), START + 60.2, 10.0, None)
    for place in range(100):
        windows.log.add(START + 61 + place)

    for at in (START + 120, START + 150):
        windows.judge(outage(at), at + 0.3, 1.0, 1.6)

    assert windows.kind is Kind.BUCKET
    assert windows.forgot


def test_test_that_is_refused_lowers_no_estimate() -> None:
    windows = finder(until=START + 10)
    windows.judge(outage(START + 10, said=50.0), START + 60.2, 10.0, None)

    assert windows.judge(outage(START + 62, tested=True), START + 62.3, 1.7, 1.65) == 1.65


def test_exact_log_holds_a_sliding_window_that_is_known() -> None:
    windows = finder(until=START + 10)
    windows.judge(outage(START + 10, said=50.0), START + 60.2, 10.0, None)
    windows.held(100 / 60, START + 60.2)

    assert windows.free_at(START + 60.3) < START + 61
    windows.departed()
    windows.departed()
    windows.departed()
    windows.departed()

    assert windows.free_at(START + 60.31) > START + 60.31


def test_probes_come_at_growing_distances_and_keep_what_the_provider_says() -> None:
    shut = outage(START)
    waits = []
    now = START + 1
    for _ in range(5):
        shut.probe = Grant(now, now, 1)
        shut.refused(shut.probe, now, 0.0, now)
        waits.append(shut.due - now)
        now = shut.due

    assert waits == pytest.approx([LEAST_DELAY * GROWTH ** (place + 1) for place in range(5)])
    shut.probe = Grant(now, now, 1)
    shut.refused(shut.probe, now, 30.0, now)
    assert shut.due == now + 30.0


def test_refusals_of_earlier_attempts_do_not_put_off_a_probe_that_is_under_way() -> None:
    """A Retry-After that every late 429 extends would keep the limit shut for ever."""
    shut = outage(START)
    shut.probe = Grant(START + 1, START + 1, 1)

    shut.refused(Grant(START - 0.1, START - 0.1, 1), START + 1.1, 30.0, START + 1.1)

    assert shut.due == START + 1.0


def test_departures_are_forgotten_after_their_time_and_taken_out_when_refused() -> None:
    log = Departures()
    for place in range(50):
        log.add(START + place)
    assert log.count(START, START + 50) == 50
    assert log.count(START + 10, START + 20) == 10

    log.remove(START + 12)
    log.remove(START + 12)

    assert log.count(START + 10, START + 20) == 9
    assert log.oldest_since(START + 11.5, 0.0) == pytest.approx(START + 13)
    log.add(START + 50 + CELLS / CELLS_PER_SECOND)
    assert log.count(0.0, START + 1000) == 1
