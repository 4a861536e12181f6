"""Runs whose workers share no folder: results are copied to storage in segments, and another machine goes on from them."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.core.cluster.plan import Plan, Shard
from pipeline.edges.store.objects import ObjectStore
from pipeline.engines.rundir import Done, RunDirectory
from pipeline.engines.shard import Place, ShardResult, run_shard
from pipeline.engines.shipping import Shipment, get_parts
from pipeline.errors import UsageError
from tests.fakes.engines import ROWS, Case

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pipeline
    from pipeline.summaries import Progress


@contextmanager
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket in an S3 server within this process."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")  # slow to import

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket = f"runs-{uuid.uuid4().hex}"  # what is in it is the process's, whatever becomes of the server
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        address = f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1").create_bucket(Bucket=bucket)
        yield f"s3://{bucket}/results?{address}"
    finally:
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "folder":
        yield f"file://{tmp_path}/storage"
    else:
        with s3(monkeypatch) as bucket:
            yield bucket


def remove(directory: RunDirectory) -> None:
    for path in directory.path.iterdir():
        path.unlink()
    directory.path.rmdir()


def on_machine(case: Case, scratch: Path, number: int, *, stop_at: int | None = None) -> ShardResult:
    """Run a shard of a planned run on a machine that has a disk of its own and shares none."""

    async def run(config: pipeline.Config) -> ShardResult:
        plan, stop = case.directory.manifest().plan, trio.Event()

        def tell(progress: Progress) -> None:
            if stop_at is not None and progress.rows_done >= stop_at:
                stop.set()

        return await run_shard(config, plan.shards[number], Place(case.directory, plan, scratch), leases={}, stop=stop, events=tell)

    return case.serving(run)


def test_a_run_goes_on_from_storage_on_another_machine(tmp_path: Path, address: str) -> None:
    case = Case(tmp_path, run_dir=address, source="in.jsonl.gz")
    case.rows[9] = {"custom_id": "c-2", "prompt": "an id of another shard"}
    case.run(limit=8)
    sent = case.sent
    remove(case.directory)

    summary = case.run()

    assert sent + case.sent == ROWS - 1
    assert (summary.total, summary.failed) == (ROWS, 1)
    case.run(plain=True)
    assert case.output == (tmp_path / "plain.jsonl").read_bytes()


def test_a_shard_goes_on_from_its_last_segment(tmp_path: Path, address: str) -> None:
    case = Case(tmp_path, run_dir=address, latency=0.3, sections={"limits": {"max_in_flight": 1}})
    case.run(limit=1)

    cut = on_machine(case, tmp_path / "first", 1, stop_at=1)
    sent = case.sent
    again = on_machine(case, tmp_path / "second", 1, stop_at=3)
    sent += case.sent
    whole = on_machine(case, tmp_path / "first", 1)

    assert (cut.interrupted, again.interrupted) == (True, True)
    assert whole.done is not None
    assert (whole.done.rows, sent + case.sent) == (6, 6)
    case.run()
    assert case.ids() == [f"c-{at}" for at in range(ROWS)]


def test_failed_rows_of_parts_in_storage_are_sent_again(tmp_path: Path, address: str) -> None:
    case = Case(tmp_path, run_dir=address, script={"2": "http_400", "15": "http_400"})
    case.run()
    case.script = {}
    remove(case.directory)
    (tmp_path / "out.jsonl").unlink()

    summary = case.run(retry_failed="all")

    assert (case.sent, summary.failed) == (2, 0)
    assert case.ids() == [f"c-{at}" for at in range(ROWS)]


# ---- chains ----------------------------------------------------------------------------------------------------------


def lines(first: int, end: int) -> bytes:
    return b"".join(b'{"row":%d}\n' % number for number in range(first, end))


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(f"file://{tmp_path}/storage")


def shipment(store: ObjectStore, folder: Path) -> Shipment:
    folder.mkdir(exist_ok=True)
    return Shipment(store, 7, folder / "part-00007.jsonl", folder / "part-00007.jsonl.journal")


def test_only_whole_lines_are_copied_and_each_once(tmp_path: Path, store: ObjectStore) -> None:
    here = shipment(store, tmp_path / "here")
    part = tmp_path / "here" / "part-00007.jsonl"
    here.begin()
    for text in (lines(0, 3) + b'{"ro', lines(0, 3), lines(0, 5)):
        part.write_bytes(text)
        here.ship()

    shipment(store, tmp_path / "there").begin()

    assert (tmp_path / "there" / "part-00007.jsonl").read_bytes() == lines(0, 5)
    assert sorted(name for name in store.names("part-00007") if name.endswith(".jsonl")) == sorted(
        f"part-00007/{here.incarnation}-{number:04d}.jsonl" for number in range(2)
    )


def test_a_worker_that_was_given_up_spoils_nothing(tmp_path: Path, store: ObjectStore) -> None:
    first, second = shipment(store, tmp_path / "first"), shipment(store, tmp_path / "second")
    first.begin()
    (tmp_path / "first" / "part-00007.jsonl").write_bytes(lines(0, 3))
    first.ship()
    second.begin()
    (tmp_path / "second" / "part-00007.jsonl").write_bytes(lines(0, 3) + b"other answers\n" * 4)
    second.ship()
    (tmp_path / "first" / "part-00007.jsonl").write_bytes(lines(0, 5))
    first.ship()
    done = Done(7, 7, len(lines(0, 3)) + 56, sha256(lines(0, 3) + b"other answers\n" * 4).hexdigest(), 7, 0)
    second.end(done)

    directory = RunDirectory(tmp_path / "driver")
    directory.make()
    directory.list_done(done)
    get_parts(store, Plan(7, 7, [], [Shard(7, 0, 7, [])]), directory)

    assert directory.part(7).read_bytes() == lines(0, 3) + b"other answers\n" * 4


def test_a_part_that_was_written_anew_is_copied_from_its_beginning(tmp_path: Path, store: ObjectStore) -> None:
    here = shipment(store, tmp_path / "here")
    part = tmp_path / "here" / "part-00007.jsonl"
    part.write_bytes(lines(0, 3))
    here.begin()
    here.ship()
    again = shipment(store, tmp_path / "here")
    again.begin()
    part.write_bytes(lines(5, 9))
    again.look_again()
    again.ship()

    shipment(store, tmp_path / "there").begin()

    assert (tmp_path / "there" / "part-00007.jsonl").read_bytes() == lines(5, 9)


def test_a_damaged_segment_is_not_taken(tmp_path: Path, store: ObjectStore) -> None:
    here = shipment(store, tmp_path / "here")
    (tmp_path / "here" / "part-00007.jsonl").write_bytes(lines(0, 3))
    here.begin()
    here.ship()
    (name,) = (name for name in store.names("part-00007") if name.endswith(".jsonl"))
    store.put(name, lines(1, 4))

    with pytest.raises(OSError, match="gone or damaged"):
        shipment(store, tmp_path / "there").begin()


def test_an_address_that_cannot_be_is_told() -> None:
    with pytest.raises(UsageError, match="nowhere://"):
        ObjectStore.open("nowhere://bucket/run")


def test_the_objects_are_json_that_others_can_read(tmp_path: Path, store: ObjectStore) -> None:
    here = shipment(store, tmp_path / "here")
    (tmp_path / "here" / "part-00007.jsonl").write_bytes(lines(0, 3))
    here.begin()
    here.ship()

    chain = json.loads(store.get(f"part-00007/{here.incarnation}.json") or b"")

    assert (chain["bytes"], len(chain["segments"])) == (len(lines(0, 3)), 1)
