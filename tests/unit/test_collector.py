"""How often the garbage collector looks at what a run makes."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from pipeline.cli.launch import COLLECT_AFTER, spare_the_collector

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("workers, made", [(0, COLLECT_AFTER), (50, 52_000), (5_000, 250_000)])
def test_workers_can_begin_without_a_look_at_all_their_objects(workers: int, made: int) -> None:
    """A worker and its connection are about 25 objects that stay. Below some thousands of workers nothing changes much."""
    spare_the_collector(workers)

    assert gc.get_threshold()[0] == made
