"""Law 9 for real: a signal at any moment drains, a second one cancels, and both leave a run that goes on."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.fakes.processes import campaign, ended, wait_until

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 300
IN_FLIGHT = 20
SIGNALS = 4
MOST_BETWEEN = 40  # attempts that a run makes before its signal; all four together leave rows for a last run
LIMITS = {"max_in_flight": IN_FLIGHT, "requests_per_second": 300}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_drained_again_and_again_no_row_is_sent_twice(tmp_path: Path, number: signal.Signals) -> None:
    chance = random.Random(int(number))
    codes: list[int] = []
    with campaign(tmp_path, ROWS, {"latency.median_seconds": 0.05}, limits=LIMITS) as runs:
        while True:
            enough = runs.sent() + chance.randint(1, MOST_BETWEEN)
            process = runs.start()
            if len(codes) < SIGNALS:
                wait_until(lambda enough=enough: runs.sent() >= enough, process)  # type: ignore[misc]
                process.send_signal(number)
            end = ended(process)
            if end.code == 0:
                break
            codes.append(end.code)
            assert "Traceback" not in end.said
            assert runs.lines() == runs.names()[: len(runs.lines())]
            assert end.summary is None or (end.summary["total"], end.summary["unknown_outcome"]) == (len(runs.lines()), 0)
        sent = runs.sent()
        written = runs.output.read_bytes()
        undisturbed = runs.undisturbed()

    assert set(codes) <= {130, -number}  # the latter where Python itself was starting or ending
    assert 130 in codes
    assert sent == ROWS
    assert written == undisturbed


def test_second_signal_cancels_with_a_summary_and_the_run_goes_on(tmp_path: Path) -> None:
    script = {str(row): "20s" for row in range(40, 50)}
    with campaign(tmp_path, 60, {"latency.median_seconds": 0.01, "script": script}, limits={"max_in_flight": 30}) as runs:
        process = runs.start()
        wait_until(lambda: runs.sent() == 60, process)  # all is sent, and ten rows hang
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        end = ended(process)
        assert end.summary is not None
        unknown = end.summary["unknown_outcome"]
        lines = runs.lines()
        again = runs.start()
        wait_until(lambda: runs.sent() >= 60 + unknown, again)
        again.kill()
        ended(again)
        sent = runs.sent()

    assert "once more" in said
    assert end.code == 130
    assert 10 <= unknown <= 30
    assert end.summary["total"] == 60 - unknown
    assert lines == runs.names()[: len(lines)]
    assert "go on with the rows that are left" in end.said
    assert sent == 60 + unknown  # those that were cut off, and none of those that wait behind them
