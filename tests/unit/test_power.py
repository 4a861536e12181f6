"""`durability: power`: what a commit says is on the disk before it, and nothing is passed on before its commit."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pipeline.core.output.lines import encode_batch
from pipeline.core.rows.lines import RawRow
from pipeline.durability.paths import Paths
from pipeline.durability.resume import Kind, open_durable
from pipeline.edges.store.journal_reading import peek
from pipeline.records import NO_USAGE, Outcome, Success

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 6


def outcome_of(index: int) -> Outcome:
    body = b'{"text":"%s"}' % (b"a" * (100_000 if index % 2 else 10))
    return Success(index, f"row-{index}", 200, None, body, NO_USAGE, 1, 0.1)


@pytest.mark.parametrize("in_order", [True, False])
async def test_the_journal_never_says_more_than_the_disk_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_order: bool) -> None:
    paths = Paths.of(str(tmp_path / "out.jsonl"), None)
    on_disk = 0
    real = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal on_disk
        real(descriptor)
        if os.fstat(descriptor).st_ino == paths.output.stat().st_ino:
            on_disk = os.fstat(descriptor).st_size

    monkeypatch.setattr(os, "fsync", fsync)
    with closing(open_durable(paths, Kind(encode_batch, in_order, power=True), {})) as store:
        store.begin([RawRow(index + 1, index, b"{}") for index in range(ROWS)], 0)
        for index in range(ROWS):
            items = await store.record([store.keep(outcome_of(index))])
            state, _, held = peek(paths.journal)
            assert state.bytes <= on_disk
            assert state.recorded == index + 1, "a row was passed on that no commit has"
            assert state.written + held == index + 1
            await store.write(items)
        store.finish(ROWS)

    state, _, held = peek(paths.journal)
    assert (state.written, held) == (ROWS, 0)
    assert state.bytes == on_disk == paths.output.stat().st_size


@pytest.mark.parametrize("power, level", [(True, 2), (False, 1)])
def test_a_commit_waits_for_the_disk_if_power_loss_is_to_be_survived(tmp_path: Path, *, power: bool, level: int) -> None:
    with closing(open_durable(Paths.of(str(tmp_path / "out.jsonl"), None), Kind(encode_batch, in_order=True, power=power), {})) as store:
        assert store.commits.journal._database.execute("PRAGMA synchronous").fetchone() == (level,)


@pytest.mark.parametrize("in_order", [True, False])
async def test_results_that_could_be_written_and_were_not_are_no_good_end(tmp_path: Path, *, in_order: bool) -> None:
    with closing(open_durable(Paths.of(str(tmp_path / "out.jsonl"), None), Kind(encode_batch, in_order, power=False), {})) as store:
        store.begin([RawRow(index + 1, index, b"{}") for index in range(3)], 0)
        later = await store.record([store.keep(outcome_of(1))])
        store.settle()
        assert store.is_cut_off() is not in_order  # an earlier row has no result, and the order of the input waits for it
        items = await store.record([store.keep(outcome_of(0))])
        store.settle()
        assert store.is_cut_off()

        await store.write([*items, *later])
        store.settle()

        assert not store.is_cut_off()
