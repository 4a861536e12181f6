"""Makes the plan of a run: cuts its input into shards, and finds the rows that use the id of an earlier one.

A text that can be read from the middle is cut by its bytes, a file of columns by the numbers of its rows. Rows of all other inputs
(packed files, documents, other encodings, stdin) are copied into the run directory, shard by shard.

Theory of operation. All parts together must be what one run over the whole input writes, byte by byte. Three things that such a run
decides depend on rows of other shards: the number in `row-17`, the line in a message, and whether an id was used before. The first
two are in the plan, as where a shard begins. For the third all ids are read when the plan is made. Which rows repeat an earlier id
also depends on which rows are bad, because a bad row without an id claims none. So the search has two steps: a cheap one that takes
every row for a good one, and finds too many repeats or none; and only if it finds any, an exact one that makes the request of every
row.

A table is copied too where one of its rows is bad: what is said of a quote that is never closed depends on the lines behind it.
"""

from __future__ import annotations

import codecs
import os
import uuid
from contextlib import closing, suppress
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from attrs import define

from pipeline.core.cluster.plan import Cutting, InputFile, Piece, Plan, Reading
from pipeline.core.rows.lines import TEXT_FIELD
from pipeline.edges.sources.chain import names_of
from pipeline.edges.sources.copies import RowsCopy
from pipeline.edges.sources.file import COLUMNS, STDIN, kind_of
from pipeline.edges.sources.opening import files_of, is_pattern, open_one, sizes_of
from pipeline.edges.sources.pieces import HASH_BYTES, ShardSource
from pipeline.edges.sources.recoding import UTF8
from pipeline.engines.rundir import RunDirectory
from pipeline.errors import InputError
from pipeline.runs.inputs import job_maker, looking_at_files, needed_of, used_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.config import Config
    from pipeline.core.cluster.plan import Shard
    from pipeline.core.rows.lines import RawRow
    from pipeline.ports import Source

TAKEN_ROWS = 4096  # at once


def plan_of(config: Config, folder: Path, *, shard_rows: int) -> Plan:
    """Cut the input of a config into shards of so many rows. Blocks, for as long as it takes to read the input.

    folder: where copies of rows go, and which rows repeat an id. Raises InputError, also where the folder cannot be written to.
    """
    try:
        plan = _Planning(config, folder, shard_rows).plan()
        return msgspec.structs.replace(plan, shards=_with_repeats(config, plan, folder))
    except OSError as error:
        raise InputError(f"{folder}: the run cannot be planned: {error.strerror or error}") from error


def shard_source(config: Config, shard: Shard, files: Sequence[InputFile], folder: Path) -> Source:
    """The rows of a shard. Raises InputError."""
    return looking_at_files(config, _plain_source(config, shard, files, folder))


def repeats_in(shard: Shard, folder: Path) -> Mapping[int, int | None]:
    """The rows of a shard, counted from its first, that use the id of an earlier row, and the number of that one."""
    return (
        msgspec.msgpack.decode(RunDirectory(folder).repeats(shard.number).read_bytes(), type=dict[int, int | None]) if shard.repeats else {}
    )


def see_that_input_is_planned(plan: Plan, source: str | Sequence[str]) -> None:
    """Check that the files are those of the plan. One whose size and time of change are the same is not read. Raises InputError.

    source: what the config names as the input.
    """
    for planned, named in zip_longest([file.path for file in plan.files], files_of(source)):
        if planned is None or named is None or (planned != named and os.path.realpath(planned) != os.path.realpath(named)):
            what = f"for {planned}" if planned is not None else "without that file"
            now = f"{named}: the run was planned {what}" if named is not None else f"{planned}: the run was planned with that file"
            raise InputError(f"{now}; --fresh plans it anew (what is there is moved aside)")
    for file in plan.files:
        if file.path in STDIN:
            continue
        try:
            status = os.stat(file.path)  # noqa: PTH116  paths are text here
        except OSError as error:
            raise InputError(f"{file.path}: {error.strerror or error}") from error
        if os.path.isdir(file.path) or (status.st_size, status.st_mtime_ns) == (file.size, file.modified):  # noqa: PTH112
            continue
        if status.st_size != file.size or _digests(file.path, ())[0] != file.digest:
            raise InputError(f"{file.path} has changed since the run was planned; --fresh plans it anew (what is there is moved aside)")


def _plain_source(config: Config, shard: Shard, files: Sequence[InputFile], folder: Path) -> Source:
    return ShardSource(shard, files, folder, delimiter=config.source.delimiter, used=used_of(config))


# ---- where the shards begin ------------------------------------------------------------------------------------------


class _BadRowError(Exception):
    """A table has a bad row."""


@define(eq=False)
class _Planning:
    config: Config
    folder: Path
    shard_rows: int

    def plan(self) -> Plan:
        source = self.config.source
        paths = files_of(source.path)
        several = not isinstance(source.path, str) or is_pattern(source.path)
        sizes_of(paths if several else [])
        names = names_of(paths) if several else paths
        cutting = Cutting(self.shard_rows)
        files = []
        for at, path in enumerate(paths):
            file, pieces = self._cut(path, cutting, at if several else None)
            files.append(msgspec.structs.replace(file, name=names[at]))
            for piece in pieces:
                cutting.add(piece)
        cutting.end()
        return Plan(cutting.rows, self.shard_rows, files, cutting.shards, uuid.uuid4().hex)

    def _cut(self, path: str, cutting: Cutting, file: int | None) -> tuple[InputFile, list[Piece]]:
        """One file: what it is, and its pieces, the first of which fits into the shard that is being filled."""
        is_folder = path not in STDIN and os.path.isdir(path)  # noqa: PTH112  paths are text here
        reading = Reading.NUMBERED if is_folder else self._reading_of(path)
        try:
            pieces = self._pieces(path, reading, cutting, file)
        except _BadRowError:
            pieces = self._pieces(path, Reading.COPY, cutting, file)
        if path in STDIN or is_folder:
            return InputFile(path, path, 0, ""), pieces
        status = os.stat(path)  # noqa: PTH116  paths are text here
        by_bytes = [piece for piece in pieces if piece.reading in (Reading.LINES, Reading.TABLE)]
        whole, parts = _digests(path, [(piece.start, piece.end) for piece in by_bytes])
        if by_bytes:
            pieces = [msgspec.structs.replace(piece, digest=digest) for piece, digest in zip(pieces, parts, strict=True)]
        return InputFile(path, path, status.st_size, whole, status.st_mtime_ns), pieces

    def _reading_of(self, path: str) -> Reading:
        if path in STDIN or codecs.lookup(self.config.source.encoding).name != UTF8:
            return Reading.COPY
        if path.lower().endswith(COLUMNS):
            return Reading.NUMBERED
        kind, packing = kind_of(Path(path))
        if packing or kind == ".json":
            return Reading.COPY
        return Reading.TABLE if kind in (".csv", ".tsv") else Reading.LINES

    def _pieces(self, path: str, reading: Reading, cutting: Cutting, file: int | None) -> list[Piece]:
        source = self.config.source
        needed = needed_of(self.config) if file is None else None
        opened = open_one(path, encoding=source.encoding, delimiter=source.delimiter, used=used_of(self.config), needed=needed)
        with closing(opened) as rows:
            pieces = _Pieces(path, reading, file, self.folder, cutting, self.shard_rows)
            try:
                while taken := rows.take(TAKEN_ROWS):
                    if reading is Reading.TABLE and any(row.problem is not None for row in taken):
                        raise _BadRowError
                    pieces.add(taken)
            finally:
                pieces.end(0 if rows.size is None else rows.size)
            return pieces.made


class _Pieces:
    """The pieces of one file."""

    def __init__(self, path: str, reading: Reading, file: int | None, folder: Path, cutting: Cutting, shard_rows: int) -> None:
        self.made: list[Piece] = []
        self._path = path
        self._reading = reading
        self._file = file
        self._folder = folder
        self._shard = len(cutting.shards)  # that the next piece is a part of
        self._room = cutting.room
        self._shard_rows = shard_rows
        self._first: RawRow | None = None  # of the piece that has not ended
        self._count = 0
        self._head = 0
        self._copy: RowsCopy | None = None

    def add(self, rows: Sequence[RawRow]) -> None:
        at = 0
        while at < len(rows):
            if self._count == self._room:
                self._end_piece(rows[at].offset)
                self._shard, self._room = self._shard + 1, self._shard_rows
            if self._first is None:
                self._begin_piece(rows[at])
            part = rows[at : at + self._room - self._count]
            if self._copy is not None:
                self._copy.add(part)
            self._count += len(part)
            at += len(part)

    def end(self, size: int) -> None:
        """End the last piece. size: of the file."""
        if self._first is not None:
            self._end_piece(self._first.offset + self._count if self._reading is Reading.NUMBERED else size)

    def _begin_piece(self, first: RawRow) -> None:
        if self._reading is Reading.TABLE and not self.made:
            self._head = first.offset
        self._first = first
        if self._reading is Reading.COPY:
            self._copy = RowsCopy(self._folder / self._copy_name())

    def _end_piece(self, end: int) -> None:
        first, copy = self._first, self._copy
        assert first is not None
        if copy is not None:
            copy.close()
            piece = Piece(self._reading, self._copy_name(), self._count, digest=copy.digest, file=self._file)
        else:
            piece = Piece(self._reading, self._path, self._count, first.offset, end, line=first.line, head=self._head, file=self._file)
        self.made.append(piece)
        self._first = self._copy = None
        self._count = 0

    def _copy_name(self) -> str:
        return f"part-{self._shard:05d}.rows" if self._file is None else f"part-{self._shard:05d}.rows-{self._file}"


def _digests(path: str, parts: Sequence[tuple[int, int]]) -> tuple[str, list[str]]:
    """SHA-256 of a file, and of parts of it, which follow one another."""
    whole = sha256()
    hashes = [sha256() for _ in parts]
    at, part = 0, 0
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  paths are text here
        while block := file.read(HASH_BYTES):
            whole.update(block)
            while part < len(parts) and parts[part][0] < at + len(block):
                start, end = parts[part]
                hashes[part].update(memoryview(block)[max(0, start - at) : end - at])
                if end > at + len(block):
                    break
                part += 1
            at += len(block)
    return whole.hexdigest(), [each.hexdigest() for each in hashes]


# ---- ids that are used twice -----------------------------------------------------------------------------------------


def _with_repeats(config: Config, plan: Plan, folder: Path) -> Sequence[Shard]:
    """The shards, with how many of their rows repeat an id; which, is in the folder."""
    if _has_no_ids(config) or not _may_repeat(config, plan, folder):
        return plan.shards
    shards = []
    with closing(job_maker(config, count_tokens=False)) as jobs:
        for shard in plan.shards:
            found: dict[int, int | None] = {}
            index = shard.first
            with closing(shard_source(config, shard, plan.files, folder)) as source:
                while rows := source.take(TAKEN_ROWS):
                    found |= jobs.repeats(rows, index)
                    index += len(rows)
            if found:
                packed = msgspec.msgpack.encode({row - shard.first: number for row, number in found.items()})
                RunDirectory(folder).repeats(shard.number).write_bytes(packed)
            shards.append(msgspec.structs.replace(shard, repeats=len(found)))
    return shards


def _has_no_ids(config: Config) -> bool:
    """Whether the rows can have no ids of their own, by the names of the files."""
    if config.source.id == TEXT_FIELD:
        return False
    with suppress(InputError):
        return all(path not in STDIN and kind_of(Path(path))[0] == ".txt" for path in config.source.paths)
    return False


def _may_repeat(config: Config, plan: Plan, folder: Path) -> bool:
    """Whether an id may be used twice, if every row is taken for a good one."""
    with closing(job_maker(config, count_tokens=False)) as jobs:
        index = 0
        for shard in plan.shards:
            with closing(_plain_source(config, shard, plan.files, folder)) as source:
                while rows := source.take(TAKEN_ROWS):
                    if jobs.may_repeat(rows, index):
                        return True
                    index += len(rows)
    return False
