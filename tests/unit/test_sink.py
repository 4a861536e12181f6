"""The output file: never overwritten, never torn, private, and honest when it takes no more."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.edges.store.output import FileSink, OutputLock
from pipeline.errors import JournalError, OutputExistsError, SinkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_lines_are_appended_and_accounted(tmp_path: Path) -> None:
    sink = FileSink.create(tmp_path / "out.jsonl")

    sink.write(b"one\n")
    sink.write(b"two\nthree\n")
    sink.sync()
    sink.close()
    sink.close()

    data = (tmp_path / "out.jsonl").read_bytes()
    assert data == b"one\ntwo\nthree\n"
    assert sink.bytes_written == len(data)
    assert sink.digest == hashlib.sha256(data).hexdigest()


def test_what_was_written_is_there_at_once(tmp_path: Path) -> None:
    sink = FileSink.create(tmp_path / "out.jsonl")

    sink.write(b"one\n")

    assert (tmp_path / "out.jsonl").read_bytes() == b"one\n"
    sink.close()


def test_only_its_owner_may_read_it_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "out.jsonl"

    FileSink.create(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("data", [b"", b"old\n"], ids=["empty", "full"])
def test_an_existing_output_is_never_touched(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(data)

    with pytest.raises(OutputExistsError, match="--fresh") as caught:
        FileSink.create(path)

    assert caught.value.path == path
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    with pytest.raises(OutputExistsError, match="folder exists and is never overwritten"):
        FileSink.create(tmp_path / "folder")
    with pytest.raises(UsageError, match=r"file/out\.jsonl: the output cannot be created"):
        FileSink.create(tmp_path / "file" / "out.jsonl")


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("pipeline.edges.store.output.os.write", lambda descriptor, data: real(descriptor, data[:3]))
    sink = FileSink.create(tmp_path / "out.jsonl")

    sink.write(b"a longer line\nand one more\n")
    sink.close()

    assert (tmp_path / "out.jsonl").read_bytes() == b"a longer line\nand one more\n"


@pytest.mark.parametrize("takes", [[3, 3, 3], [8, 3], [100, 2], [100, 100]], ids=str)
@pytest.mark.parametrize("can_be_cut", [True, False])
def test_of_a_long_line_that_is_not_whole_nothing_is_left(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    takes: list[int],
    can_be_cut: bool,  # noqa: FBT001  a parameter
) -> None:
    path = tmp_path / "out.jsonl"
    sink = FileSink.create(path)
    sink.write(b"zero\n")
    real = os.write
    left = list(takes)

    def fail(descriptor: int, data: memoryview) -> int:
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[: left.pop(0)])

    def refuse(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("pipeline.edges.store.output.os.write", fail)
    if not can_be_cut:
        monkeypatch.setattr("pipeline.edges.store.output.os.ftruncate", refuse)
    with pytest.raises(SinkError, match="No space left"):
        sink.write_line(map(memoryview, [b"a long ", b"line of ", b"three pieces\n"]))

    data = path.read_bytes()
    assert (data == b"zero\n") is can_be_cut
    assert (sink.bytes_written, sink.digest) == (len(data), hashlib.sha256(data).hexdigest())
    monkeypatch.undo()
    sink.write_line(map(memoryview, [b"a long ", b"line\n"]))
    sink.close()
    assert path.read_bytes() == data + b"a long line\n"
    assert sink.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_long_line_whose_pieces_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    def pieces() -> Iterator[memoryview]:
        yield memoryview(b"begun ")
        raise JournalError(tmp_path / "journal", "cannot be read")

    sink = FileSink.create(tmp_path / "out.jsonl")

    with pytest.raises(JournalError):
        sink.write_line(pieces())

    assert (tmp_path / "out.jsonl").read_bytes() == b""
    sink.close()


@pytest.mark.parametrize(
    "number, advice",
    [
        (errno.ENOSPC, "No space left on device; free some space, then run again"),
        (errno.EIO, "Input/output error; the disk"),
        (errno.EROFS, "Read-only file system; the file system has become read-only"),
        (errno.EPERM, "Operation not permitted"),
    ],
)
def test_a_failed_write_leaves_whole_lines_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    path = tmp_path / "out.jsonl"
    sink = FileSink.create(path)
    sink.write(b"zero\n")
    real = os.write
    left = [8, 3]

    def fail(descriptor: int, data: memoryview) -> int:
        if not left:
            raise OSError(number, os.strerror(number))
        return real(descriptor, data[: left.pop(0)])

    monkeypatch.setattr("pipeline.edges.store.output.os.write", fail)
    with pytest.raises(SinkError) as caught:
        sink.write(b"one\ntwo\nthree\n")

    assert str(caught.value).startswith(f"{path}: writing failed: {advice}")
    assert path.read_bytes() == b"zero\none\ntwo\n"
    assert sink.bytes_written == len(b"zero\none\ntwo\n")
    assert sink.digest == hashlib.sha256(b"zero\none\ntwo\n").hexdigest()
    monkeypatch.undo()
    sink.write(b"three\n")
    sink.close()
    assert path.read_bytes() == b"zero\none\ntwo\nthree\n"


def test_a_full_disk_is_told() -> None:
    sink = FileSink(Path("/dev/full"), os.open("/dev/full", os.O_WRONLY))

    with pytest.raises(SinkError, match="/dev/full: writing failed: No space left on device; free some space"):
        sink.write(b"one\n")
    sink.close()


def test_no_other_run_gets_an_output_that_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = FileSink.resume(path, 0, create=True)

    for take in (lambda: OutputLock.take(path), lambda: FileSink.resume(path, 0, create=False)):
        with pytest.raises(UsageError, match="being written by another run"):
            take()

    sink.close()
    with closing(OutputLock.take(path)), pytest.raises(UsageError, match="being written by another run"):
        FileSink.resume(path, 0, create=False)
    FileSink.resume(path, 0, create=False).close()


def test_a_lock_on_an_output_that_is_not_there_makes_none(tmp_path: Path) -> None:
    OutputLock.take(tmp_path / "out.jsonl").close()

    assert list(tmp_path.iterdir()) == []
