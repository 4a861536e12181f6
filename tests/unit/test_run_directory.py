"""The run directory: what is listed is whole, locks hold, and the parts become one output or are refused."""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.config import BudgetConfig, Config, PricesConfig, ProviderConfig, RayConfig, SinkConfig, SourceConfig
from pipeline.config.engine import EngineConfig
from pipeline.config.lanes import LaneConfig
from pipeline.core.cluster.plan import Cutting, Piece, Plan, Reading, Shard
from pipeline.edges.store.files import BusyError
from pipeline.engines.collect import collect
from pipeline.engines.rundir import VERSION, Done, Manifest, RunDirectory
from pipeline.engines.shard import budgets_of
from pipeline.errors import OutputExistsError, SinkError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

SHARDS = [Shard(number, number * 2, 2, []) for number in range(3)]


def text_of(number: int) -> bytes:
    return b"".join(b'{"row":%d}\n' % row for row in (2 * number, 2 * number + 1))


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path / "out.jsonl.run")
    made.make()
    made.plan_run(Manifest(VERSION, {"request.url": "/v1/x"}, Plan(6, 2, [], SHARDS)))
    for shard in SHARDS:
        text = text_of(shard.number)
        made.part(shard.number).write_bytes(text)
        made.list_done(Done(shard.number, 2, len(text), sha256(text).hexdigest(), 2, 0))
    return made


def test_what_is_written_is_read_back(directory: RunDirectory) -> None:
    manifest = directory.manifest()

    assert (manifest.identity, manifest.plan.shards) == ({"request.url": "/v1/x"}, SHARDS)
    assert directory.done(1) == Done(1, 2, len(text_of(1)), sha256(text_of(1)).hexdigest(), 2, 0)
    assert directory.saved_permits() is None
    directory.save_permits(b"permits")
    assert directory.saved_permits() == b"permits"
    assert not [path for path in directory.path.iterdir() if path.name.endswith(".new")]


def test_a_manifest_of_another_version_or_a_broken_one_is_refused(directory: RunDirectory) -> None:
    directory.plan_run(replace(directory.manifest(), version=VERSION + 1))
    with pytest.raises(UsageError, match="another version"):
        directory.manifest()

    (directory.path / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match="--fresh"):
        directory.manifest()


def test_a_listing_that_is_cut_off_is_none(directory: RunDirectory) -> None:
    path = directory.path / "part-00001.jsonl.done"
    path.write_bytes(path.read_bytes()[:-3])

    assert directory.done(1) is None


def test_a_run_and_a_shard_have_one_process_each(directory: RunDirectory) -> None:
    assert not directory.is_locked
    with directory.locked(), directory.shard_locked(1):
        assert directory.is_locked
        with pytest.raises(BusyError), directory.locked():
            pass
        with pytest.raises(BusyError), directory.shard_locked(1):
            pass
        with directory.shard_locked(2):
            pass
    with directory.locked(), directory.shard_locked(1):
        pass


def test_a_retry_is_wanted_until_it_has_begun(directory: RunDirectory) -> None:
    directory.want_retry(1, "429,http_500")
    directory.unlist(1)
    assert (directory.retry_wanted(1), directory.retry_wanted(0), directory.done(1)) == ("429,http_500", None, None)

    directory.want_retry(1, None)
    assert directory.retry_wanted(1) is None


@pytest.mark.parametrize("by_kernel", [True, False])
def test_parts_are_put_together_in_order(
    directory: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_kernel: bool
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    if not by_kernel:
        monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)

    made = collect(directory, tmp_path / "out.jsonl")

    whole = b"".join(text_of(number) for number in range(3))
    assert made.path.read_bytes() == whole
    assert (made.rows, made.bytes, made.digest, made.moved) == (6, len(whole), sha256(whole).hexdigest(), None)
    assert directory.manifest().collected == made.digest
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert collect(directory, tmp_path / "out.jsonl").moved is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.run"]


def test_an_older_output_of_these_parts_gets_another_name(directory: RunDirectory, tmp_path: Path) -> None:
    before = collect(directory, tmp_path / "out.jsonl")
    text = b'{"row":2,"again":true}\n{"row":3}\n'
    directory.part(1).write_bytes(text)
    directory.list_done(Done(1, 2, len(text), sha256(text).hexdigest(), 2, 0))

    made = collect(directory, tmp_path / "out.jsonl")

    assert made.moved == tmp_path / "out.jsonl.1"
    assert sha256((tmp_path / "out.jsonl.1").read_bytes()).hexdigest() == before.digest
    assert made.path.read_bytes() == text_of(0) + text + text_of(2)


def test_an_output_of_another_origin_is_never_replaced(directory: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("mine")

    with pytest.raises(OutputExistsError, match="not made of these parts"):
        collect(directory, tmp_path / "out.jsonl")

    assert (tmp_path / "out.jsonl").read_text() == "mine"


def test_a_disk_that_is_full_leaves_no_half_output(directory: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)

    with pytest.raises(SinkError, match="free some space"):
        collect(directory, tmp_path / "out.jsonl")

    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl.run"]


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(1, 9))
def test_shards_are_of_one_length_and_hold_every_row_once(files: list[int], most: int) -> None:
    cutting = Cutting(most)
    for number, rows in enumerate(files):
        at = 0
        while at < rows:
            taken = min(cutting.room, rows - at)
            cutting.add(Piece(Reading.LINES, f"{number}", taken, at, at + taken))
            at += taken
    cutting.end()

    shards = cutting.shards
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert [shard.first for shard in shards] == [most * number for number in range(len(shards))]
    assert all(shard.rows == most for shard in shards[:-1])
    pieces = [piece for shard in shards for piece in shard.pieces]
    assert [(piece.path, row) for piece in pieces for row in range(piece.start, piece.end)] == [
        (f"{number}", row) for number, rows in enumerate(files) for row in range(rows)
    ]


@given(
    st.integers(1, 50), st.integers(1, 9), st.none() | st.integers(0, 40), st.none() | st.integers(0, 10**7), st.none() | st.floats(0, 1e4)
)
def test_budgets_of_shards_never_exceed_that_of_the_run(
    rows: int, most: int, requests: int | None, tokens: int | None, cost: float | None
) -> None:
    budget = BudgetConfig(requests=requests, tokens=tokens, cost=cost)
    shards = [Shard(at, first, min(most, rows - first), []) for at, first in enumerate(range(0, rows, most))]
    lane = LaneConfig(base_url="http://127.0.0.1:9", budget=budget)
    config = Config(
        source=SourceConfig(path="in.jsonl"),
        providers=[lane],
        sink=SinkConfig(path="out.jsonl"),
        budget=budget,
        prices=PricesConfig(prompt_per_million=1, output_per_million=1),
    )

    parts = [budgets_of(config, shard, rows) for shard in shards]

    for got in ([part["budget"] for part in parts], [part["providers"][0].budget for part in parts]):
        for name, whole in (("requests", requests), ("tokens", tokens)):
            found = [getattr(each, name) for each in got]
            assert found == [None] * len(found) if whole is None else sum(found) == whole
        costs = [each.cost for each in got]
        assert costs == [None] * len(costs) if cost is None else sum(costs) <= cost * (1 + 1e-9)


def test_the_run_directory_is_beside_the_output_unless_it_is_named(tmp_path: Path) -> None:
    def directory(run_dir: str | None) -> RunDirectory:
        engine = EngineConfig(ray=RayConfig(run_dir=run_dir))
        sink = SinkConfig(path=str(tmp_path / "out.jsonl"))
        provider = ProviderConfig(base_url="http://127.0.0.1:9")
        return RunDirectory.of(Config(source=SourceConfig(path="in.jsonl"), provider=provider, sink=sink, engine=engine))

    assert directory(None) == RunDirectory(tmp_path / "out.jsonl.run")
    assert directory("/shared/run").path.as_posix() == "/shared/run"
    assert directory("s3://bucket/run") == RunDirectory(tmp_path / "out.jsonl.run", "s3://bucket/run")
