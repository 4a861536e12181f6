"""Laws 3 and 5 through whole runs: rows in memory are bounded by the window, and a slow head row stalls nobody and locks nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.fakes.hostile import HostileProvider, write_rows
from tests.fakes.runs import answers, run_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HANGS = 60.0  # seconds: above what any of these runs takes by a factor of 20


@pytest.fixture(scope="module")
def provider() -> Iterator[HostileProvider]:
    with HostileProvider() as hostile:
        yield hostile


@pytest.mark.parametrize("rows", [5, 40, 400, 900, 1500, 3000])
@pytest.mark.parametrize("window", [8, 64, 1024, 5000])
async def test_a_slow_head_row_ends_with_every_row_in_its_place(provider: HostileProvider, tmp_path: Path, rows: int, window: int) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ["late:0.7", *["plain"] * (rows - 1)])

    with trio.fail_after(HANGS):
        run = await run_file(tmp_path, provider.base_url, limits={"window": window, "max_in_flight": 20})

    assert [answers(line, f"row-{index}") for index, line in enumerate(run.lines)] == [True] * rows
    assert (run.summary.total, run.stopped) == (rows, None)
    assert set(provider.counts().attempts.values()) == {1}
