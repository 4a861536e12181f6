"""What the tests of going on do with a run: stop it in its middle, and see it through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.processes import Campaign, ended, wait_until

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 40


def stop_in_the_middle(runs: Campaign) -> None:
    """Kill the run when row 30 hangs and all others are recorded; 30 lines are written."""
    process = runs.start()
    wait_until(lambda: runs.written() == 30 and runs.recorded() == ROWS - 1, process)
    process.kill()
    ended(process)


def done_after(runs: Campaign, *flags: str) -> None:
    end = runs.run(*flags)
    assert end.code == 0, end.said
    assert runs.lines() == runs.names()


def journal_of(runs: Campaign) -> Path:
    return runs.folder / "out.jsonl.journal"
