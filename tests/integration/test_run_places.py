"""Where a run cannot be kept it does not begin: nothing is sent, and what is there stays as it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import pipeline
from tests.fakes.hostile import HostileProvider, write_rows
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def provider() -> Iterator[HostileProvider]:
    with HostileProvider() as hostile:
        yield hostile


def _listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("fresh", [False, True], ids=["first", "fresh"])
@pytest.mark.parametrize("kind", ["directory", "pipe", "device", "below-a-file"])
async def test_an_output_that_can_be_no_file_is_refused_and_left_alone(
    provider: HostileProvider, tmp_path: Path, kind: str, *, fresh: bool
) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ["plain"] * 3)
    sink = {"directory": "out", "pipe": "pipe", "device": "/dev/full", "below-a-file": "in.jsonl/out.jsonl"}[kind]
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "pipe")
    config = pipeline.load_config(write_config(tmp_path, provider.base_url, sink={"path": sink}, journal={"path": "journal"}))
    before = _listing(tmp_path)

    with pytest.raises(pipeline.UsageError, match=sink.rpartition("/")[2]):
        await pipeline.run(config, fresh=fresh)

    assert _listing(tmp_path) == before
    assert os.access("/dev/full", os.W_OK)
    assert provider.counts().arrivals == 0


async def test_a_file_of_somebody_elses_is_not_overwritten(provider: HostileProvider, tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", ["plain"] * 3)
    (tmp_path / "out.jsonl").write_text("mine\n")
    config = pipeline.load_config(write_config(tmp_path, provider.base_url))

    with pytest.raises(pipeline.OutputExistsError):
        await pipeline.run(config)
    kept = (tmp_path / "out.jsonl").read_text()
    summary = await pipeline.run(config, fresh=True)

    assert kept == "mine\n"
    assert (tmp_path / "out.jsonl.1").read_text() == "mine\n"
    assert summary.succeeded == 3
