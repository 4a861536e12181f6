"""Copies results to storage that every machine reaches while a shard is run, so that they survive the machine.

Theory of operation. A worker writes its part on a disk of its own. Now and then it puts the lines that are new into the
storage, as a segment, and after that a chain: the list of all segments so far. Each incarnation of a shard (one worker's time with it)
writes segments and a chain under a name of its own, and never touches another's:

    part-00017/7f3a….json       a chain: the segments of this incarnation, and before them those that it began with
    part-00017/7f3a…-0004.jsonl a segment
    part-00017.jsonl.done       the part is whole, and this is its chain

The next worker takes the longest chain as the beginning of its part. So a worker that is given up for dead and still runs can
spoil nothing: what it puts is a chain that nobody goes on with, or one that is whole as well. A chain never has a line twice,
because it is always the beginning of one part. What was answered after the last segment is lost with the machine, and is sent again.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import trio
from msgspec import Struct, field

from pipeline.core.cluster.plan import Reading
from pipeline.durability.paths import MANIFEST
from pipeline.edges.sources.pieces import digest_of
from pipeline.edges.store.objects import ObjectStore
from pipeline.engines.rundir import Done  # noqa: TC001  msgspec reads the annotations
from pipeline.engines.scratch import remove_journal
from pipeline.errors import HeadraceError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from hashlib import _Hash as HASH
    from pathlib import Path

    from pipeline.core.cluster.plan import Plan, Shard
    from pipeline.engines.rundir import RunDirectory

MOST_BYTES = 64 << 20  # of one segment

_log = logging.getLogger(__name__)


class Segment(Struct, frozen=True):
    """Some lines of a part. digest: SHA-256, in hex."""

    name: str
    bytes: int
    digest: str


class Chain(Struct):
    """The beginning of a part. digest: SHA-256 over all segments, in hex."""

    segments: list[Segment] = field(default_factory=list)
    bytes: int = 0
    digest: str = ""


class Whole(Struct, frozen=True):
    """A part that is whole."""

    done: Done
    chain: Chain


class Shipment:
    """The part of one shard on its way to the storage. part, journal: the files here. incarnation: names this worker's files."""

    def __init__(self, store: ObjectStore, number: int, part: Path, journal: Path) -> None:
        self._store = store
        self._name = f"part-{number:05d}"
        self._part = part
        self._journal = journal
        self.incarnation = secrets.token_hex(8)
        self._chain = Chain()
        self._hash = sha256()

    def begin(self) -> None:
        """Take over what other workers have put, if that is more than there is here. Raises OSError, where the storage cannot be read."""
        chains = sorted(self._chains(), key=lambda chain: -chain.bytes)
        here = self._part.stat().st_size if self._part.exists() else 0
        if chains and chains[0].bytes > here:
            data = b"".join(map(self._segment, chains[0].segments))
            if self._journal.exists():
                remove_journal(self._part, self._journal)
            self._part.write_bytes(data)
            here = len(data)
        for chain in chains:
            if chain.bytes <= here and self._digest_here(chain.bytes) == chain.digest:
                self._chain = chain
                self._hash = self._hash_here(chain.bytes)
                return

    def look_again(self) -> None:
        """See that the part begins with the chain; it may have been written anew when the shard was opened. Raises OSError."""
        here = self._part.stat().st_size if self._part.exists() else 0
        if self._chain.bytes > here or (self._chain.bytes and self._digest_here(self._chain.bytes) != self._chain.digest):
            self._chain, self._hash = Chain(), sha256()
            for name in self._names_of_chains():  # nobody is to go on from what is no longer so
                self._store.delete(name)

    def ship(self) -> None:
        """Put the lines that are new. Raises OSError."""
        if not self._part.exists():
            return
        with self._part.open("rb") as file:
            file.seek(self._chain.bytes)
            while data := file.read(MOST_BYTES):
                lines = data[: data.rfind(b"\n") + 1]
                if not lines:
                    break
                self._put(lines)
                file.seek(self._chain.bytes)

    async def keep(self, seconds: float) -> None:
        """Put what is new every so many seconds, until cancelled. Trouble is told once; the lines go with a later segment."""
        told = False
        while True:
            await trio.sleep(seconds)
            try:
                await trio.to_thread.run_sync(self.ship)
                told = False
            except OSError as error:
                if not told:
                    _log.warning("results cannot be copied to the run directory, and are kept here meanwhile: %s", error)
                told = True

    def end(self, done: Done) -> None:
        """Put the rest of a part that is whole, and say that it is. Raises OSError."""
        self.ship()
        self._store.put(f"{self._name}.jsonl.done", msgspec.json.encode(Whole(done, self._chain)))

    def _put(self, lines: bytes) -> None:
        chain = self._chain
        self._hash.update(lines)
        segment = Segment(f"{self._name}/{self.incarnation}-{len(chain.segments):04d}.jsonl", len(lines), sha256(lines).hexdigest())
        self._store.put(segment.name, lines)
        self._chain = Chain([*chain.segments, segment], chain.bytes + len(lines), self._hash.hexdigest())
        self._store.put(f"{self._name}/{self.incarnation}.json", msgspec.json.encode(self._chain))

    def _chains(self) -> list[Chain]:
        found = [data for name in self._names_of_chains() if (data := self._store.get(name)) is not None]
        return [msgspec.json.decode(data, type=Chain) for data in found]

    def _names_of_chains(self) -> list[str]:
        return [name for name in self._store.names(self._name) if name.endswith(".json")]

    def _segment(self, segment: Segment) -> bytes:
        return segment_of(self._store, segment)

    def _digest_here(self, size: int) -> str:
        return self._hash_here(size).hexdigest()

    def _hash_here(self, size: int) -> HASH:
        hashed = sha256()
        with self._part.open("rb") as file:
            hashed.update(file.read(size))
        return hashed


def segment_of(store: ObjectStore, segment: Segment) -> bytes:
    """The lines of a segment. Raises OSError, also where they are not what was put."""
    data = store.get(segment.name)
    if data is None or sha256(data).hexdigest() != segment.digest:
        raise OSError(f"{segment.name}: the segment is gone or damaged")
    return data


@asynccontextmanager
async def shipping(shipment: Shipment | None, seconds: float) -> AsyncIterator[None]:
    """Copy what is written in the block every so many seconds. None copies nothing."""
    if shipment is None:
        yield
        return
    stopped: HeadraceError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipment.keep, seconds)
        try:
            yield
        except HeadraceError as error:
            stopped = error  # a nursery would wrap it
        nursery.cancel_scope.cancel()
    if stopped is not None:
        raise stopped


def storage_of(directory: RunDirectory, plan: Plan) -> ObjectStore | None:
    """Where the parts of a plan are copied to; None where they are not. Raises UsageError."""
    return None if directory.remote is None else ObjectStore.open(directory.remote).below(plan.name)


# ---- the whole run ---------------------------------------------------------------------------------------------------


def put_plan(store: ObjectStore, plan: Plan, directory: RunDirectory) -> None:
    """Put what every worker needs: the plan, the copies of rows, and which of them repeat an id. Raises OSError."""
    own = store.below(plan.name)
    for path in sorted(directory.path.iterdir()):
        if path.name.endswith((".repeats", ".rows")) or ".rows-" in path.name:
            own.put(path.name, path.read_bytes())
    store.put(MANIFEST, directory.manifest_path.read_bytes())  # the last: with it the run has begun


def get_plan(store: ObjectStore, directory: RunDirectory) -> None:
    """Go on here with a run that was begun on another machine. Raises OSError."""
    data = None if directory.exists else store.get(MANIFEST)
    if data is not None:
        directory.write(MANIFEST, data)


def get_rows(store: ObjectStore, shard: Shard, directory: RunDirectory) -> None:
    """Get the copies that a shard needs, and which retry is wanted of it. Raises OSError."""
    names = [piece.path for piece in shard.pieces if piece.reading is Reading.COPY]
    if shard.repeats:
        names.append(directory.repeats(shard.number).name)
    for name in names:
        if not (directory.path / name).exists() and (data := store.get(name)) is not None:
            directory.write(name, data)
    retry = store.get(f"part-{shard.number:05d}.jsonl.retry")
    if retry is not None:
        directory.want_retry(shard.number, retry.decode())


def put_retry(store: ObjectStore, number: int, choice: str | None) -> None:
    """Want failed rows of a part sent again, so that it is not whole any more; None: that was begun. Raises OSError."""
    name = f"part-{number:05d}.jsonl"
    if choice is None:
        store.delete(f"{name}.retry")
    else:
        store.put(f"{name}.retry", choice.encode())
        store.delete(f"{name}.done")


def get_done(store: ObjectStore, plan: Plan, directory: RunDirectory) -> None:
    """Note here which parts are whole. Raises OSError."""
    for shard in plan.shards:
        if directory.done(shard.number) is None and (whole := _whole(store, shard.number)) is not None:
            directory.list_done(whole.done)


def get_parts(store: ObjectStore, plan: Plan, directory: RunDirectory) -> None:
    """Get all parts that are whole and not here. Raises OSError."""
    for shard in plan.shards:
        part, done = directory.part(shard.number), directory.done(shard.number)
        if done is None or (part.exists() and digest_of(part) == done.digest):
            continue
        whole = _whole(store, shard.number)
        if whole is not None:
            new = part.with_name(f"{part.name}.new")
            with new.open("wb") as file:
                for segment in whole.chain.segments:
                    file.write(segment_of(store, segment))
            new.replace(part)


def fetch_parts(directory: RunDirectory) -> None:
    """Get what is whole and not here, for a run whose parts are in storage. Raises UsageError."""
    plan = directory.manifest().plan
    store = storage_of(directory, plan)
    if store is not None:
        try:
            get_done(store, plan, directory)
            get_parts(store, plan, directory)
        except OSError as error:
            raise UsageError(f"{directory.remote} cannot be read: {error.strerror or error}") from error


def _whole(store: ObjectStore, number: int) -> Whole | None:
    data = store.get(f"part-{number:05d}.jsonl.done")
    return None if data is None else msgspec.json.decode(data, type=Whole)
