"""Runs that the tests of going on begin, stop and disturb."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.processes import Campaign, campaign
from tests.fakes.resumed import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Campaign]:
    """A run that nothing holds up."""
    with campaign(tmp_path, ROWS, {"latency.median_seconds": 0.01}, limits={"max_in_flight": 5}) as made:
        yield made


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Campaign]:
    """A run of which row 30 hangs at first, and those behind it wait in the journal."""
    with campaign(tmp_path, ROWS, {"latency.median_seconds": 0.01, "script": {"30": "15s"}}, limits={"max_in_flight": 5}) as made:
        yield made
