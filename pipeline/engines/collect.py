"""Puts the parts of a run together, one behind the other, as the output that one process would have written.

The kernel copies, so that file systems which share blocks between files need no more room. What is copied is checked against the
digest of each part.
"""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from attrs import frozen

from pipeline.edges.sources.pieces import digest_of
from pipeline.edges.store.files import MODE, free_name
from pipeline.errors import OutputChangedError, OutputExistsError, SinkError, UsageError

if TYPE_CHECKING:
    from hashlib import _Hash as HASH
    from pathlib import Path

    from pipeline.engines.rundir import Done, RunDirectory

COPY_BYTES = 8 << 20  # at once
NOT_HERE = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}  # the kernel cannot copy between these two files


@frozen
class Collected:
    """The output that was made. rows, bytes, digest: of it. moved: what was there before, under its new name; None for nothing."""

    path: Path
    rows: int
    bytes: int
    digest: str
    moved: Path | None = None


def collect(directory: RunDirectory, target: Path) -> Collected:
    """Make the output of all parts. An output that was collected before gets another name, unless it is the same. Blocks.

    Raises UsageError where a part is not whole, or an output is there that was not made of these parts; OutputChangedError for a part
    that was edited; SinkError where the output cannot be written.
    """
    manifest = directory.manifest()
    parts = [directory.done(shard.number) for shard in manifest.plan.shards]
    whole = [part for part in parts if part is not None]
    if len(whole) < len(parts):
        raise UsageError(f"{directory.path}: {len(whole):,} of {len(parts):,} shards are whole; run again until all are, then collect")
    new = target.with_name(f"{target.name}.collecting")
    try:
        size, digest = _join(directory, whole, new)
        moved = _make_room(target, digest, manifest.collected)
        new.replace(target)
        directory.plan_run(msgspec.structs.replace(manifest, collected=digest))
    except OSError as error:
        raise SinkError(str(target), error) from error
    finally:
        new.unlink(missing_ok=True)
    return Collected(target, sum(part.rows for part in whole), size, digest, moved)


def _make_room(target: Path, digest: str, before: str) -> Path | None:
    """See that an output with this digest may take the target's name; what was there under its new name. before: digest of the last one."""
    if not os.path.lexists(target) or (target.is_file() and (there := digest_of(target)) == digest):
        return None
    if not target.is_file() or there != before:
        raise OutputExistsError(target, "it was not made of these parts; move it away, then run `headrace collect`")
    moved = free_name(target)
    target.rename(moved)
    return moved


def _join(directory: RunDirectory, parts: list[Done], new: Path) -> tuple[int, str]:
    """Copy the parts to a new file; its bytes and digest. Raises OSError, OutputChangedError."""
    hashed = sha256()
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE), "wb", buffering=0) as output:  # noqa: PTH123
        for part in parts:
            path = directory.part(part.number)
            own = sha256()
            with path.open("rb", buffering=0) as file:
                copied = _copy(file.fileno(), output.fileno(), hashed, own)
            if (copied, own.hexdigest()) != (part.bytes, part.digest):
                raise OutputChangedError(f"{path} was edited: it is not the part that was written")
        os.fsync(output.fileno())
        return output.tell(), hashed.hexdigest()


def _copy(source: int, target: int, *hashes: HASH) -> int:
    """Copy an open file to the end of another; how many bytes. hashes: updated with all of them."""
    at = 0
    by_kernel = hasattr(os, "copy_file_range")
    while piece := os.pread(source, COPY_BYTES, at):
        for each in hashes:
            each.update(piece)
        done = 0
        while done < len(piece):
            if by_kernel:
                try:
                    done += os.copy_file_range(source, target, len(piece) - done, at + done)
                    continue
                except OSError as error:
                    if error.errno not in NOT_HERE:
                        raise
                    by_kernel = False
            done += os.write(target, piece[done:])
        at += len(piece)
    return at
