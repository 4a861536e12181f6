from math import inf

import pytest

from pipeline.core.answers.quotas import Quota
from pipeline.core.pacing.announced import Announced, Pace
from pipeline.core.pacing.departures import Departures

START = 5000.0


def announced(left: int = 0, every: float = 0.1) -> tuple[Announced, Departures]:
    """One that knows of so many departures of ours, the last of them just before START."""
    log = Departures()
    for place in range(left):
        log.add(START - every * (left - place))
    return Announced(own=log.count), log


def test_limit_is_one_of_a_minute_until_the_words_show_another() -> None:
    told, _ = announced()

    assert told.news(START, START, Quota(600.0), let_in=True)

    assert told.rate == pytest.approx(0.995 * 10)


def test_limit_that_has_not_changed_is_no_news() -> None:
    told, _ = announced()
    told.news(START, START, Quota(600.0), let_in=True)

    assert not told.news(START + 1, START + 1, Quota(600.0), let_in=True)
    assert told.news(START + 2, START + 2, Quota(300.0), let_in=True)


def test_answer_that_was_overtaken_does_not_bring_an_old_limit_back() -> None:
    """Answers are seconds old, and overtake one another: by when the request left, not by when the answer came."""
    told, _ = announced()
    told.news(START + 5, START + 6, Quota(300.0), let_in=True)

    assert not told.news(START, START + 7, Quota(600.0), let_in=True)

    assert told.limit == 300.0


def test_reset_that_is_used_over_rate_names_the_period() -> None:
    told, _ = announced()

    for used in range(1, 9):
        told.news(START + used, START + used, Quota(100.0, 100.0 - used, used / 10), let_in=True)

    assert told.period == 10.0
    assert told.rate == pytest.approx(10, rel=0.1)


def test_limit_that_is_used_up_says_nothing_of_its_period() -> None:
    """What remains is cut off at zero: used / rate would be too short for what was really asked for."""
    told, _ = announced()
    for used in range(1, 9):
        told.news(START + used, START + used, Quota(600.0, 600.0 - used, used / 10), let_in=True)
    assert told.period == 60.0

    for place in range(80):
        told.news(START + 10 + place, START + 10 + place, Quota(600.0, 0.0, 7.0), let_in=True)

    assert told.period == 60.0


def test_reset_that_counts_down_to_edges_names_their_distance() -> None:
    told, _ = announced()

    for place in range(40):
        at = START + 0.7 * place
        told.news(at, at, Quota(20.0, 15.0, 10.0 - at % 10.0), let_in=True)

    assert told.period == 10.0


def test_reset_in_whole_seconds_of_a_minute_is_one_of_a_minute() -> None:
    told, _ = announced()

    for place in range(60):
        at = START + 1.3 * place
        told.news(at, at, Quota(600.0, 300.0, float(60 - int(at % 60))), let_in=True)

    assert told.period == 60.0


def test_what_we_used_ourselves_is_nobody_elses() -> None:
    told, _ = announced(left=300)

    told.news(START, START, Quota(600.0, 300.0, 30.0), let_in=True)

    assert told.rate == pytest.approx(0.995 * 10)


def test_what_others_use_is_left_to_them() -> None:
    told, _ = announced()

    told.news(START, START, Quota(600.0, 400.0), let_in=True)

    assert told.rate == pytest.approx(0.995 * (600 - 200 + 6) / 60, rel=0.02)


def test_brake_never_stops_the_traffic_for_that_would_stop_the_news() -> None:
    told, _ = announced()

    told.news(START, START, Quota(600.0, 1.0), let_in=True)

    assert told.rate is not None
    assert told.rate > 0


def test_limit_of_a_day_is_no_pace() -> None:
    told, _ = announced()

    told.news(START, START, Quota(1000.0, 900.0, None, 86_400.0), let_in=True)

    assert told.rate == inf


def test_limit_of_one_is_not_taken_for_one_a_minute_at_once() -> None:
    told, _ = announced()

    told.news(START, START, Quota(1.0, 0.0, 0.9), let_in=True)
    assert told.rate is None
    for place in range(1, 6):
        told.news(START + 2 * place, START + 2 * place, Quota(1.0, 0.0, 0.9 - 0.1 * place), let_in=True)

    assert told.period == 1.0


def test_word_without_a_limit_is_none() -> None:
    told, _ = announced()

    assert not told.news(START, START, Quota(None, 5.0, 5.0), let_in=True)
    assert not told.news(START, START, Quota(0.0, 0.0, 5.0), let_in=True)
    assert told.rate is None


def test_pace_of_tokens_pays_for_each_and_gets_back_what_was_not_used() -> None:
    pace = Pace(1)
    pace.retune(1000.0, START)

    pace.take(START, 5000, 0.0)
    assert pace.tat == START + 5
    pace.give_back(4000)
    assert pace.tat == START + 1
    pace.retune(2000.0, START)
    assert pace.tat == START + 0.5
