"""The output file: never overwritten, never torn, private, and honest when it takes no more."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.edges.store.output import FileSink
from pipeline.errors import OutputExistsError, SinkError, UsageError


def test_lines_are_appended_and_accounted(tmp_path: Path) -> None:
    sink = FileSink.open(tmp_path / "out.jsonl")

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
    sink = FileSink.open(tmp_path / "out.jsonl")

    sink.write(b"one\n")

    assert (tmp_path / "out.jsonl").read_bytes() == b"one\n"
    sink.close()


def test_only_its_owner_may_read_it_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "out.jsonl"

    FileSink.open(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("data", [b"", b"old\n"], ids=["empty", "full"])
def test_an_existing_output_is_never_touched(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(data)

    with pytest.raises(OutputExistsError, match="--fresh") as caught:
        FileSink.open(path)

    assert caught.value.path == path
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_fresh_moves_what_is_there_aside_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for text in ("first", "second", "third"):
        sink = FileSink.open(path, fresh=True)
        sink.write(f"{text}\n".encode())
        sink.close()

    assert {item.name: item.read_text() for item in tmp_path.iterdir()} == {
        "out.jsonl": "third\n",
        "out.jsonl.1": "first\n",
        "out.jsonl.2": "second\n",
    }


def test_fresh_keeps_a_link_and_its_target(tmp_path: Path) -> None:
    path, target = tmp_path / "out.jsonl", tmp_path / "target"
    path.symlink_to(target)

    with pytest.raises(OutputExistsError):
        FileSink.open(path)
    FileSink.open(path, fresh=True).close()

    assert not path.is_symlink()
    assert (tmp_path / "out.jsonl.1").readlink() == target


def test_what_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="folder: the output cannot be created: Is a directory"):
        FileSink.open(tmp_path / "folder")
    with pytest.raises(UsageError, match=r"file/out\.jsonl: the output cannot be created"):
        FileSink.open(tmp_path / "file" / "out.jsonl")


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("pipeline.edges.store.output.os.write", lambda descriptor, data: real(descriptor, data[:3]))
    sink = FileSink.open(tmp_path / "out.jsonl")

    sink.write(b"a longer line\nand one more\n")
    sink.close()

    assert (tmp_path / "out.jsonl").read_bytes() == b"a longer line\nand one more\n"


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
    sink = FileSink.open(path)
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


def test_a_full_device_is_told() -> None:
    sink = FileSink.open("/dev/full")

    with pytest.raises(SinkError, match="/dev/full: writing failed: No space left on device; free some space"):
        sink.write(b"one\n")
    sink.close()


def test_a_pipe_is_written_to_and_never_moved(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()

    sink = FileSink.open(path, fresh=True)
    sink.write(b"one\n" * 50_000)
    sink.sync()
    sink.close()
    reader.join()

    assert got == [b"one\n" * 50_000]
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_that_has_gone_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink.open(path)
    os.close(reader)

    with pytest.raises(SinkError, match="the reader of the output has gone"):
        sink.write(b"one\n")
    sink.close()


def test_a_pipe_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    got: list[int] = []
    data = b"x" * 300_000 + b"\n"

    def read() -> None:
        with path.open("rb") as pipe:
            got.append(len(pipe.read(len(data))))

    reader = threading.Thread(target=read)
    sink = FileSink("pipe", descriptor)
    reader.start()
    sink.write(data)
    reader.join()
    sink.close()

    assert got == [len(data)]


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_stdout_may_be_the_output(tmp_path: Path, name: str) -> None:
    code = f"from pipeline.edges.store.output import FileSink; s = FileSink.open({name!r}); s.write(b'one\\n'); s.close(); print('two')"

    with (tmp_path / "out").open("wb") as out:
        out.write(b"before\n")
        out.flush()
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True, cwd=Path(__file__).parents[2])

    assert (tmp_path / "out").read_bytes() == b"before\none\ntwo\n"
