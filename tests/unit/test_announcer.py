"""What logs and programs are told at once, without `-v`: lanes that are out of reach or back, a budget, why a run stops."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pipeline.cli.announcer import Announcer, objects, sentences
from pipeline.cli.display import JsonScreen, PlainScreen
from pipeline.cli.terminal import Output, Terminal
from pipeline.events import LaneBack, LaneOut, PaceChanged, RunEvent, RunStopping
from tests.fakes.views import BUSY, FACTS

if TYPE_CHECKING:
    from pipeline.summaries import Progress

ELSEWHERE = "its rows go to others; next try in 2.0 s"


@pytest.mark.parametrize(
    "event, lines",
    [
        (LaneOut(0.0, "connection\nrefused", 2.0, "eu"), [f"lane eu: out of reach (connection refused); {ELSEWHERE}"]),
        (LaneOut(0.0, "HTTP 401", None, "eu"), ["lane eu: not used any more (HTTP 401)"]),
        (LaneOut(0.0, "connection refused", 2.0), []),
        (LaneBack(9.0, 25.0, "eu"), ["lane eu: back after 25 s"]),
        (LaneBack(9.0, 25.0), ["the provider: back after 25 s"]),
        (LaneBack(9.0, 0.2, "eu"), []),
        (RunStopping(9.0, "interrupted", 3), []),
        (PaceChanged(9.0, 3.0, "slow"), []),
    ],
)
def test_a_log_is_told_what_becomes_of_lanes_and_nothing_twice(event: RunEvent, lines: list[str]) -> None:
    assert list(sentences(event)) == lines


def test_a_program_gets_lanes_and_stops_as_objects_only() -> None:
    events: list[RunEvent] = [LaneOut(0.0, "refused", 2.0), LaneBack(9.0, 2.5, "eu"), RunStopping(9.0, "interrupted", 3)]
    events.append(PaceChanged(9.0, 3.0, "slow"))
    assert [json.loads(line) for event in events for line in objects(event)] == [
        {"event": "lane", "lane": "", "state": "out", "reason": "refused", "next_try_seconds": 2.0},
        {"event": "lane", "lane": "eu", "state": "ok", "out_seconds": 2.5},
        {"event": "stopping", "reason": "interrupted", "in_flight": 3},
    ]


@pytest.mark.parametrize(
    "screen, said", [(PlainScreen(FACTS), "lane eu: back after 25 s"), (JsonScreen(FACTS), '{"event":"lane","lane":"eu"')]
)
def test_announcer_speaks_as_the_screen_does(screen: PlainScreen | JsonScreen, said: str) -> None:
    stream = io.StringIO()
    terminal: Terminal[Progress] = Terminal(stream)
    with terminal:
        terminal.use(screen)
        Announcer(terminal).events([LaneBack(9.0, 25.0, "eu")])
    assert stream.getvalue().startswith(said)


def test_a_budget_that_is_nearly_spent_is_told_once() -> None:
    facts, stream = type(FACTS)(**{**{name: getattr(FACTS, name) for name in FACTS.__struct_fields__}, "budget": 8.0}), io.StringIO()
    screen = JsonScreen(facts)
    for cost in (6.39, 6.4, 7.9):
        screen.draw(Output(stream), replace(BUSY, failures={}, elapsed_seconds=1.0, cost=cost))
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [{"event": "budget", "cost": 6.4, "budget": 8.0}]
    stream = io.StringIO()
    PlainScreen(facts).draw(Output(stream), replace(BUSY, failures={}, elapsed_seconds=1.0, cost=6.4))
    assert stream.getvalue() == "budget: 80% spent, 6.40 of 8.00\n"
