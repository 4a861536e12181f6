"""What `-v` tells: the first failure of a kind at once, a storm of them in few lines, pauses and lanes in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.cli import main
from pipeline.cli.narrator import TOGETHER_SECONDS, Narrator
from pipeline.events import AttemptRecord, AttemptResult, LaneBack, LaneOut, PaceChanged, Paused, RunStopping

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def failed(at: float, index: int = 0, code: str = "http_429", retry_in: float | None = 2.3, lane: str = "") -> AttemptRecord:
    result = AttemptResult.FAILED if retry_in is None else AttemptResult.RETRIED
    message = "Rate limit\nreached"
    return AttemptRecord(
        index, f"row-{index}", 1, lane, index, "", at, at, at, None, at, result, code=code, message=message, retry_in=retry_in
    )


def told(*events: object) -> list[str]:
    said: list[str] = []
    narrator = Narrator(said.append)
    for event in events:
        if isinstance(event, AttemptRecord):
            narrator.attempts([event])
        else:
            narrator.events([event])  # type: ignore[list-item]  # as the tests write them
    narrator.close()
    return said


def test_first_failure_of_a_kind_is_told_at_once_with_its_cause() -> None:
    assert told(failed(0.0), failed(0.1, 7, "timeout", None)) == [
        "row 1 (row-0), attempt 1, tried again in 2.3 s: Rate limit reached",
        "row 8 (row-7), attempt 1, its last attempt: Rate limit reached",
    ]


def test_a_storm_is_told_in_a_line_every_ten_seconds_and_none_is_lost() -> None:
    lines = told(*(failed(number / 100, number) for number in range(2500)))

    assert len(lines) == 1 + 2 + 1
    assert lines[1].startswith(f"{TOGETHER_SECONDS * 100:,.0f} × HTTP 429; the newest: row 1,001 (row-1000)")
    counts = [int(line.partition(" ×")[0].replace(",", "")) for line in lines[1:]]
    assert sum(counts) == 2499


def test_many_short_pauses_are_told_together_and_a_long_one_at_once() -> None:
    short = [Paused(number / 10, 0.3, "HTTP 429: slow down") for number in range(150)]

    lines = told(*short, Paused(15.0, 30.0, "HTTP 429: wait"), Paused(15.1, 29.9, "HTTP 429: wait"))

    assert lines == [
        "pause: nothing leaves for 0.3 s, as the provider asked: HTTP 429: slow down",
        "100 more pauses that the provider asked for, of 0.3 s at most",
        "49 more pauses that the provider asked for, of 0.3 s at most",
        "pause: nothing leaves for 30 s, as the provider asked: HTTP 429: wait",
    ]


def test_a_pace_that_changes_slightly_is_told_now_and_then() -> None:
    paces = [PaceChanged(number / 10, 20.0 + number / 1000, "what the provider allows") for number in range(150)]

    lines = told(*paces, PaceChanged(15.1, 10.0, "what the provider allows"))

    assert lines == [f"pace: {pace} requests a second, what the provider allows" for pace in ("20", "20.1", "10")]


def test_one_request_is_told_as_one() -> None:
    lines = told(PaceChanged(0.0, 1.0, "the configured limit"), RunStopping(1.0, "interrupted", 1))

    assert lines == [
        "pace: 1 request a second, the configured limit",
        "stopping: interrupted; 1 request in flight may still finish",
    ]


def test_kinds_and_lanes_are_told_apart() -> None:
    lines = told(failed(0.0, lane="eu"), failed(0.1, lane="us"), failed(0.2, code="timeout", lane="eu"), failed(0.3, lane="eu"))

    assert [line.partition(": ")[0] for line in lines] == ["lane eu", "lane us", "lane eu", "lane eu"]
    assert lines[-1].startswith("lane eu: 1 more HTTP 429; the newest: row 1 ")


def test_what_was_counted_is_told_by_the_next_event_of_another_kind() -> None:
    lines = told(failed(0.0), failed(1.0, 1), PaceChanged(60.0, 19.0, "what the provider allows"))

    assert lines[1:] == [
        "pace: 19 requests a second, what the provider allows",
        "1 more HTTP 429; the newest: row 2 (row-1), attempt 1, tried again in 2.3 s: Rate limit reached",
    ]


def test_pauses_paces_and_lanes_are_told_in_words() -> None:
    assert told(
        Paused(0.0, 20.0, "HTTP 429: slow\ndown"),
        PaceChanged(1.0, None, "no refusal for a while"),
        LaneOut(2.0, "Connection refused: eu.example.com:443", 2.0, "eu"),
        LaneOut(3.0, "the key in EU_KEY is refused", None, "eu"),
        LaneBack(27.0, 25.0, "eu"),
        RunStopping(28.0, "interrupted", 1200),
    ) == [
        "pause: nothing leaves for 20 s, as the provider asked: HTTP 429: slow down",
        "pace: no bound, no refusal for a while",
        "lane eu: no rows are sent: Connection refused: eu.example.com:443; next try in 2.0 s",
        "lane eu: no rows are sent: the key in EU_KEY is refused",
        "lane eu: rows are sent again, after 25 s",
        "stopping: interrupted; 1,200 requests in flight may still finish",
    ]


def test_v_tells_why_a_run_tries_again_and_without_it_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"prompt": f"secret prompt {number}"}) + "\n" for number in range(3)))
    config = tmp_path / "c.yaml"
    config.write_text(
        "source: {path: in.jsonl}\n"
        'request: {url: /v1/chat/completions, body: {model: m, messages: [{role: user, content: "{prompt}"}]}}\n'
        'provider: {simulate: {script: {"1": "http_500, ok"}}}\n'
        "retry: {base_seconds: 0.01}\n"
        "sink: {path: out.jsonl}\n"
    )

    main(["run", str(config), "--progress", "none", "-v"])
    verbose = capsys.readouterr().err
    main(["run", str(config), "--progress", "none", "--fresh"])
    quiet = capsys.readouterr().err

    assert "row 2 (row-1), attempt 1, tried again in 0.0 s: HTTP 500" in verbose
    assert "secret prompt" not in verbose
    assert "tried again" not in quiet
