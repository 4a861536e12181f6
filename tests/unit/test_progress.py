"""What people are told of a run."""

from __future__ import annotations

import io
import os
import pty

import pytest
from attrs import evolve

from pipeline.cli.display import LINE_SECONDS, LiveScreen, Pace, PlainScreen, screen_for
from pipeline.cli.terminal import Output, Screen, Terminal
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


def read_all(descriptor: int) -> str:
    """What waits to be read, until there is nothing."""
    found = b""
    try:
        while data := os.read(descriptor, 65536):
            found += data
    except BlockingIOError:
        pass
    return found.decode()


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


def test_an_input_whose_length_is_not_known_is_estimated_and_said_to_be() -> None:
    progress = evolve(at(10, 500), rows_expected=1500)

    assert progress_text(progress, 100.0) == "500/~1,500 rows · 100.0/s · 0 in flight · ETA 10.0 s"


def test_rate_follows_the_last_seconds() -> None:
    pace = Pace()
    for second in range(100):
        pace.rate(at(second, second * 10))

    rates = [pace.rate(at(100 + second, 1000)) for second in range(20)]

    assert pace.rate(at(120, 1000)) == 0.0
    assert rates == sorted(rates, reverse=True)


def test_log_gets_a_line_every_few_seconds_and_a_short_run_none() -> None:
    stream = io.StringIO()
    screen, output = PlainScreen(), Output(stream)
    for second in range(int(LINE_SECONDS)):
        screen.draw(output, at(second, 1))
    short = stream.getvalue()
    for second in range(int(LINE_SECONDS), int(LINE_SECONDS * 3) + 1):
        screen.draw(output, at(second, 1))

    assert short == ""
    assert stream.getvalue().count("1 rows") == stream.getvalue().count("\n") == 3


def test_no_screen_shows_no_progress_and_all_that_is_said() -> None:
    stream = io.StringIO()

    with Terminal[Progress](stream) as terminal:
        terminal.use(screen_for("none", terminal.output))
        terminal.show(at(100, 1))
        terminal.say("stopping")

    assert stream.getvalue() == "stopping\n"


def test_auto_is_live_on_a_terminal_alone() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        kinds = [type(screen_for("auto", Output(stream))) for stream in (terminal, io.StringIO(), None)]
    os.close(master)

    assert kinds == [LiveScreen, PlainScreen, PlainScreen]
    assert type(screen_for("none", Output(None))) is Screen


def test_live_screen_draws_its_newest_state_below_what_is_said_and_leaves_nothing() -> None:
    """What a terminal shows in the end, and what it has been sent on the way."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    with os.fdopen(slave, "w") as stream, Terminal[Progress](stream) as terminal:
        terminal.use(LiveScreen())
        for second in (1, 2):
            terminal.show(at(second, 1000 + second))
            terminal.settle()
        terminal.say("stopping [now]")
        terminal.settle()
        drawn = read_all(master)
        terminal.use(Screen())
        terminal.settle()
        cleared = read_all(master)
    os.close(master)

    assert "1,001 rows" in drawn
    assert drawn.rindex("1,002 rows") > drawn.index("stopping [now]") > drawn.index("1,002 rows")
    assert "\x1b[2K" in cleared.rpartition("rows")[2]  # the lines are erased, and none comes after


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
