"""The rate limit reaches the wire. That it is exact is proved on virtual time (tests/properties/test_rate_on_virtual_time.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.hostile import HostileProvider, write_rows
from tests.fakes.runs import answers, run_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FAULTS = ("status:500", "reset_before", "status:429", "broken_json", "close_without_notice")


@pytest.fixture(scope="module")
def provider() -> Iterator[HostileProvider]:
    with HostileProvider(latency_seconds=0.02) as hostile:
        yield hostile


@pytest.mark.parametrize(
    "limits",
    [{"requests_per_second": 300}, {"requests_per_second": 300, "burst": 1}, {"requests_per_second": 300, "burst": 300}],
    ids=["paced", "one-at-a-time", "bursting"],
)
async def test_run_takes_as_long_as_its_limit_asks_for(provider: HostileProvider, tmp_path: Path, limits: Mapping[str, int]) -> None:
    """No more than the limit of one second leaves at once, so that the attempts beyond it take their time. A busy machine takes longer."""
    provider.reset()
    write_rows(tmp_path / "in.jsonl", [f"{FAULTS[index % 5]};plain" if index % 3 == 0 else "plain" for index in range(600)])

    run = await run_file(tmp_path, provider.base_url, limits=limits)

    assert run.summary.duration_seconds >= (run.summary.attempts - 300) / 300
    assert all(answers(line, f"row-{index}") for index, line in enumerate(run.lines))
    assert provider.counts().arrivals <= run.summary.attempts


async def test_the_limit_of_a_second_and_of_a_minute_hold_together(provider: HostileProvider, tmp_path: Path) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ["plain"] * 40)

    run = await run_file(tmp_path, provider.base_url, limits={"requests_per_second": 25, "requests_per_minute": 40, "burst": 40})

    assert run.summary.duration_seconds >= (40 - 25) / 25
    assert run.summary.succeeded == 40
