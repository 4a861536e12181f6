"""What people are told of a run."""

from __future__ import annotations

import pytest
from attrs import evolve

from pipeline.cli.display import LINE_SECONDS, Display, Pace, PlainDisplay
from pipeline.cli.texts import duration_text, progress_text, summary_text
from pipeline.records import Progress, Summary

START = Progress(
    rows_read=0,
    rows_done=0,
    rows_failed=0,
    rows_total=None,
    attempts=0,
    retries=0,
    throttled=0,
    in_flight=0,
    waiting=0,
    elapsed_seconds=0.0,
    bound="",
)


def at(seconds: float, done: int, total: int | None = None) -> Progress:
    return evolve(START, elapsed_seconds=seconds, rows_done=done, rows_total=total)


@pytest.mark.parametrize(
    "seconds, text",
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (185, "3 min 05 s"), (3599.6, "1 h 00 min"), (90_000, "25 h 00 min")],
)
def test_duration_is_told_as_people_say_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_progress_tells_only_what_there_is() -> None:
    assert progress_text(START, 0.0) == "0 rows · 0.0/s · 0 in flight"


def test_progress_tells_trouble_and_the_end_that_is_near() -> None:
    progress = evolve(at(10, 500, 1500), rows_failed=2, retries=3, in_flight=50, waiting=1, bound="requests_per_second")

    assert progress_text(progress, 100.0) == (
        "500/1,500 rows · 100.0/s · 2 failed · 3 retries · 50 in flight · 1 waiting to retry · held by requests_per_second · ETA 10.0 s"
    )


def test_rate_follows_the_last_seconds() -> None:
    pace = Pace()
    for second in range(100):
        pace.rate(at(second, second * 10))

    rates = [pace.rate(at(100 + second, 1000)) for second in range(20)]

    assert pace.rate(at(120, 1000)) == 0.0
    assert rates == sorted(rates, reverse=True)


def test_log_gets_a_line_every_few_seconds_and_a_short_run_none() -> None:
    said: list[str] = []
    with PlainDisplay(said.append) as display:
        for second in range(int(LINE_SECONDS)):
            display.show(at(second, 1))
        short = len(said)
        for second in range(int(LINE_SECONDS), int(LINE_SECONDS * 3) + 1):
            display.show(at(second, 1))

    assert short == 0
    assert len(said) == 3


def test_no_display_passes_on_what_is_said() -> None:
    said: list[str] = []
    with Display(said.append) as display:
        display.show(at(100, 1))
        display.say("stopping")

    assert said == ["stopping"]


def test_summary_tells_what_came_of_it() -> None:
    summary = Summary(
        total=1000,
        succeeded=997,
        failed=3,
        skipped_resumed=5,
        attempts=1010,
        retries=13,
        throttled=7,
        unknown_outcome=1,
        duration_seconds=100.0,
        requests_per_second=10.1,
        prompt_tokens=12345,
        output_tokens=678,
        cost=1.5,
        limited_by={"pause": 0.1, "requests_per_second": 0.9},
    )

    text = summary_text(summary, "out.jsonl")

    for said in (
        "1,000 rows in 1 min 40 s: 997 succeeded, 3 failed",
        "13 retries, 7 throttled",
        "12,345 prompt tokens, 678 output tokens, cost 1.5000",
        "5 rows were finished before",
        "1 attempts got no answer",
        "requests_per_second 90%, pause 10%",
        "results: out.jsonl",
        "its error in its place",
    ):
        assert said in text
