"""In which voice a run speaks, and what it says: live lines, sentences or JSON lines."""

from __future__ import annotations

import io
import json
import os
import pty
import re

import pytest
from msgspec.structs import replace

from pipeline.cli.display import JsonScreen, LiveScreen, PlainScreen, screen_for
from pipeline.cli.terminal import Output, Screen, Terminal
from pipeline.summaries import Progress, WorkersProgress
from tests.fakes.views import BUSY, FACTS, at

TERMINAL = {"TERM": "xterm-256color"}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def read_all(descriptor: int) -> str:
    """What waits to be read, until there is nothing."""
    found = b""
    try:
        while data := os.read(descriptor, 65536):
            found += data
    except BlockingIOError:
        pass
    return found.decode()


def written(screen: Screen[Progress], *records: Progress) -> list[str]:
    stream = io.StringIO()
    for record in records:
        screen.draw(Output(stream), record)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    "kind, environment, on_terminal, screen",
    [
        ("auto", TERMINAL, True, LiveScreen),
        ("auto", TERMINAL, False, PlainScreen),
        ("auto", {"TERM": "dumb"}, True, PlainScreen),
        ("auto", {}, True, PlainScreen),
        ("auto", {**TERMINAL, "CI": "true"}, True, PlainScreen),
        ("auto", {**TERMINAL, "FORCE_COLOR": "1"}, False, PlainScreen),
        ("auto", {**TERMINAL, "HEADRACE_PROGRESS": "plain"}, True, PlainScreen),
        ("auto", {"HEADRACE_PROGRESS": "json"}, False, JsonScreen),
        ("live", {**TERMINAL, "HEADRACE_PROGRESS": "plain"}, False, LiveScreen),
        ("json", TERMINAL, True, JsonScreen),
        ("none", TERMINAL, True, Screen),
    ],
)
def test_voice_follows_the_flag_then_the_environment(kind: str, environment: dict[str, str], on_terminal: bool, screen: type) -> None:  # noqa: FBT001
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        found = screen_for(kind, Output(terminal if on_terminal else io.StringIO()), FACTS, environment)
    os.close(master)

    assert type(found) is screen


def test_log_gets_a_line_every_ten_seconds_and_after_a_minute_one_a_minute() -> None:
    screen = PlainScreen(FACTS)

    lines = written(screen, *(at(second / 2, second) for second in range(600)))

    assert written(PlainScreen(FACTS), *(at(second, second) for second in range(10))) == []  # a short run gets none
    assert [line.partition(" ")[0] for line in lines] == ["20", "40", "60", "80", "100", "120", "240", "360", "480"]


def test_log_is_told_in_sentences_without_glyphs() -> None:
    (*_, line) = written(PlainScreen(FACTS), BUSY)

    assert line == (
        "5,038 of about 10,000 rows (50%), 38.8 a second, 30 failed, 180 in flight, 7 waiting to be tried again, cost 2.82,"
        " held by requests_per_minute, 2 min 08 s left"
    )


def test_workers_and_shards_are_told_where_there_are_several() -> None:
    busy = replace(BUSY, workers=WorkersProgress(3, 4, 17, 40, again=2))

    (*_, line) = written(PlainScreen(FACTS), busy)
    (*_, told) = written(JsonScreen(FACTS), busy)

    assert ", workers 3/4, shards 17/40 (2 begun again), " in line
    assert json.loads(told)["workers"] == {"alive": 3, "wanted": 4, "done": 17, "shards": 40, "again": 2, "each": {}, "missing": ""}


def test_first_failure_of_a_kind_is_told_at_once_and_once() -> None:
    failing = replace(BUSY, elapsed_seconds=1.0)

    lines = written(PlainScreen(FACTS), at(0.5, 1), failing, replace(failing, elapsed_seconds=1.5))

    assert lines == [
        "first HTTP 400, row 5,054 (row-5053): content_policy_violation: blocked by our content \x1b[31mpolicy",
        "first invalid_row, row 13 (row-12): line 13: field 'prompt' is missing",
        "first too_large, row 1,408 (row-1407): 9,812 tokens at once",
    ]


def test_json_lines_are_objects_whatever_is_said() -> None:
    stream = io.StringIO()
    with Terminal[Progress](stream) as terminal:
        terminal.use(JsonScreen(FACTS))
        terminal.show(BUSY)
        terminal.settle()
        terminal.say("stopping: two\nlines")
        terminal.say('{"event":"summary","total":3}')

    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each["event"] for each in objects] == ["failure", "failure", "failure", "progress", "message", "message", "summary"]
    assert objects[3]["rows_total"] == 10_000
    assert objects[3]["rows_total_exact"] is False
    assert objects[3]["eta_seconds"] == pytest.approx(128, abs=1)
    assert objects[3]["failures"] == {"http_400": 22, "invalid_row": 6, "too_large": 2}
    assert objects[5]["text"] == "lines"


def live(*, environment: dict[str, str], encoding: str = "utf-8") -> tuple[str, str]:
    """What a terminal of 24 x 80 has been sent for two states and a message, and what when the lines went away."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    with os.fdopen(slave, "w", encoding=encoding) as stream, Terminal[Progress](stream) as terminal:
        terminal.use(screen_for("live", terminal.output, FACTS, environment))
        for record in (replace(BUSY, rows_done=5000), BUSY):
            terminal.show(record)
            terminal.settle()
        terminal.say("stopping [now]")
        terminal.settle()
        drawn = read_all(master)
        terminal.use(Screen())
        terminal.settle()
        cleared = read_all(master)
    os.close(master)
    return drawn, cleared


def test_live_screen_draws_its_newest_state_below_what_is_said_and_leaves_nothing() -> None:
    drawn, cleared = live(environment=TERMINAL)

    assert "5,000 of ≈10,000 rows" in drawn
    assert drawn.rindex("5,038 of") > drawn.index("stopping [now]") > drawn.index("5,038 of")
    assert "requests   " in drawn
    assert "row 5,054: content_policy_violation" in drawn
    assert "\x1b[2K" in cleared.rpartition("rows")[2]  # the lines are erased, and none comes after


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {}])
def test_no_color_leaves_bold_and_dim(environment: dict[str, str]) -> None:
    drawn, _ = live(environment=environment)
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", drawn) for code in found.split(";")}

    assert ({"32", "36", "31"} & codes == set()) == ("NO_COLOR" in environment)
    assert {"1", "2"} <= codes


def test_terminal_without_unicode_gets_ascii() -> None:
    drawn, _ = live(environment=TERMINAL, encoding="ascii")

    assert ESCAPES.sub("", drawn).isascii()
    assert "-> results.jsonl" in drawn
