"""`--retry-failed`: what may have passed is sent again and put in its place, whatever the order and the shape."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fakes.processes import campaign, ended, wait_until

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 60
# The first two attempts are all that the first run makes of rows 0, 7 and 59; row 20 fails for good.
SCRIPT = {"0": "http_500*2", "7": "reset_before*2", "59": "http_500*3", "20": "http_400*"}


@pytest.mark.parametrize("shape", ["batch", "flat"])
@pytest.mark.parametrize("order", ["input", "completion"])
def test_rows_that_failed_are_sent_again_and_come_in_their_places(tmp_path: Path, order: str, shape: str) -> None:
    retry = {"attempts": 2, "base_seconds": 0.01, "cap_seconds": 0.02, "patience_seconds": 0}
    with campaign(
        tmp_path, ROWS, {"script": SCRIPT, "latency.median_seconds": 0.01}, retry=retry, sink={"order": order, "shape": shape}
    ) as runs:
        first = runs.run()
        before = runs.output.read_bytes()
        sent = runs.sent()
        second = runs.run("--retry-failed")
        more = runs.sent() - sent
        again = runs.run()
        third = runs.run("--retry-failed")

    assert (first.code, second.code, again.code, third.code) == (1, 1, 1, 1)
    assert first.summary is not None
    assert second.summary is not None
    assert third.summary is not None
    assert first.summary["failed"] == 4
    assert (second.summary["failed"], second.summary["total"], second.summary["attempts"]) == (1, ROWS, 4)
    assert more <= 4
    assert third.summary["attempts"] == 0
    assert (tmp_path / "out.jsonl.1").read_bytes() == before
    assert not (tmp_path / "out.jsonl.2").exists()
    lines = runs.lines()
    assert sorted(lines) == sorted(runs.names())
    if order == "input":
        assert lines == runs.names()
        assert json.loads(runs.output.read_bytes().splitlines()[20])["custom_id"] == "row-20"


def test_killed_while_it_retries_a_plain_run_goes_on(tmp_path: Path) -> None:
    # A 400 is a row's own. After so many 500s the lane would be held, and the first run would send some of the rows again.
    script = {str(row): "http_400, 0.4s" for row in range(0, ROWS, 2)}
    with campaign(
        tmp_path,
        ROWS,
        {"script": script, "latency.median_seconds": 0.01},
        retry={"attempts": 1, "patience_seconds": 0, "stop_after": None},
        limits={"max_in_flight": 5},
    ) as runs:
        first = runs.run()
        before = runs.sent()
        process = runs.start("--retry-failed=all")
        wait_until(lambda: runs.sent() >= before + 12, process)
        process.send_signal(signal.SIGKILL)
        ended(process)
        sent = runs.sent()
        end = runs.run()
        more = runs.sent() - sent

    assert first.code == 1
    assert first.summary is not None
    assert first.summary["failed"] == ROWS // 2
    assert sent < before + ROWS // 2
    assert end.code == 0, end.said
    assert runs.lines() == runs.names()
    assert more <= ROWS // 2 - 12 + 2 * 5


def test_status_tells_of_a_run_that_goes_on_stopped_and_finished(tmp_path: Path) -> None:
    with campaign(tmp_path, ROWS, {"script": {"30": "3s"}, "latency.median_seconds": 0.01}) as runs:

        def status() -> dict[str, object]:
            command = [*runs.command("status"), "--json"]
            found: dict[str, object] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            return found

        process = runs.start()
        wait_until(lambda: runs.written() == 30 and runs.recorded() == ROWS - 1, process)
        going = status()
        process.kill()
        ended(process)
        stopped = status()
        runs.run()
        finished = status()

    assert (going["running"], going["recorded"], going["waiting"], going["finished"]) == (
        True,
        ROWS - 1,
        ROWS - 1 - int(str(going["written"])),
        False,
    )
    assert (stopped["running"], stopped["recorded"]) == (False, ROWS - 1)
    assert (finished["running"], finished["finished"], finished["written"], finished["rows"], finished["unknown_outcome"]) == (
        False,
        True,
        ROWS,
        ROWS,
        1,
    )
