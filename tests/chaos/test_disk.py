"""Disks that fail: a clear message, exit 3, nothing lost, and the run goes on when the disk does."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.processes import Campaign, Ended, campaign, ended, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 300
IN_FLIGHT = 10
PADDED = {"latency.median_seconds": 0.01, "answer_characters": 1500}
ROOT = Path(__file__).parent.parent.parent

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system takes root")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not there to inject faults")


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def assert_it_was_told(end: Ended, *words: str) -> None:
    assert end.code == 3, end.said
    assert "Traceback" not in end.said
    assert "internal error" not in end.said
    assert any(word in end.said for word in words), end.said
    assert "go on with the rows that are left" in end.said


def assert_it_goes_on(runs: Campaign, answered_twice: int) -> None:
    end = runs.run()
    assert end.code == 0, end.said
    assert runs.lines() == runs.names()
    assert runs.sent() <= ROWS + answered_twice


@needs_root
@pytest.mark.parametrize("what, size", [("output", "100k"), ("journal", "3300k"), ("journal", "3400k")])
def test_of_a_full_disk_no_more_is_sent_again_than_was_in_flight(tmp_path: Path, what: str, size: str) -> None:
    small = tmp_path / "small"
    sink = {"path": str(small / "out.jsonl")} if what == "output" else {}
    journal = {"path": str(tmp_path / "journal" if what == "output" else small / "journal")}
    # Everything behind the first row waits in the journal, which has no room for half of it.
    in_journal = {"script": {"0": "10s"}, "answer_characters": 6000} if what == "journal" else {}
    with (
        mounted(small, size),
        campaign(tmp_path, ROWS, {**PADDED, **in_journal}, sink=sink, journal=journal, limits={"max_in_flight": IN_FLIGHT}) as runs,
    ):
        runs.place = small / "out.jsonl" if what == "output" else None
        first = runs.run()
        assert 0 < runs.sent() < ROWS
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        assert_it_was_told(first, "No space left", "disk is full", "disk I/O error")
        assert_it_goes_on(runs, IN_FLIGHT)


@needs_root
def test_a_disk_that_is_filled_while_a_run_goes_on(tmp_path: Path) -> None:
    small = tmp_path / "small"
    with (
        mounted(small, "12m"),
        campaign(
            tmp_path,
            ROWS,
            {"latency.median_seconds": 0.03, "answer_characters": 30_000, "script": {"0": "2s"}},
            journal={"path": str(small / "journal")},
            limits={"max_in_flight": IN_FLIGHT},
        ) as runs,
    ):
        process = runs.start()
        wait_until(lambda: runs.sent() > IN_FLIGHT, process)
        subprocess.run(["dd", "if=/dev/zero", f"of={small / 'fill'}", "bs=64k"], check=False, capture_output=True)
        first = ended(process)
        (small / "fill").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)  # the rest may take more than 12 MB at once
        assert_it_was_told(first, "No space left", "disk is full", "disk I/O error")
        assert_it_goes_on(runs, IN_FLIGHT)


@needs_root
@pytest.mark.parametrize("size", ["8k", "40k", "1000k", "2000k", "3100k"])
def test_a_disk_without_room_for_a_journal_is_told_before_anything_is_sent(tmp_path: Path, size: str) -> None:
    small = tmp_path / "small"
    with (
        mounted(small, size),
        campaign(tmp_path, ROWS, PADDED, journal={"path": str(small / "journal")}, limits={"max_in_flight": IN_FLIGHT}) as runs,
    ):
        first = runs.run()
        assert (first.code, runs.sent()) == (3, 0)
        assert "the journal cannot be created: " in first.said
        assert "No space left" in first.said or "disk is full" in first.said
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        assert_it_goes_on(runs, 0)


@needs_root
def test_a_file_system_that_becomes_read_only(tmp_path: Path) -> None:
    small = tmp_path / "small"
    with (
        mounted(small, "64m"),
        campaign(
            tmp_path, ROWS, PADDED, sink={"path": str(small / "out.jsonl")}, limits={"requests_per_second": 150, "max_in_flight": 10}
        ) as runs,
    ):
        runs.place = small / "out.jsonl"
        (small / "full").write_bytes(b"")
        before = runs.run("--limit", "20")
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        first = runs.run()
        subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
        assert before.code == 0
        assert first.code in (2, 3)
        assert "read-only" in first.said.lower() or "Read-only" in first.said or "readonly" in first.said
        assert "Traceback" not in first.said
        assert_it_goes_on(runs, 0)


@needs_root
@pytest.mark.parametrize("killed", [False, True])
def test_status_and_verify_read_on_a_disk_that_cannot_be_written(tmp_path: Path, *, killed: bool) -> None:
    small = tmp_path / "small"
    with (
        mounted(small, "64m"),
        campaign(tmp_path, ROWS, {"latency.median_seconds": 0.01}, sink={"path": str(small / "out.jsonl")}) as runs,
    ):
        runs.place = small / "out.jsonl"
        process = runs.start()
        if killed:
            wait_until(runs.written, process)
            process.kill()
        process.communicate()
        names = sorted(path.name for path in small.iterdir())
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        ends = [
            subprocess.run([*runs.command(name), "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
            for name in ("status", "verify")
        ]
        subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
        after = sorted(path.name for path in small.iterdir())

    assert [end.returncode for end in ends] == [0, 1 if killed else 0], ends
    assert not any("Traceback" in end.stderr for end in ends)
    assert after == names
    assert any("-wal" in name for name in names) == killed


def limited(runs: Campaign, limit: int, size: int) -> Ended:
    """A run under a resource limit."""
    code = (
        f"import resource, sys; resource.setrlimit({limit}, ({size}, {size})); from pipeline.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "run", str(runs.folder / "c.yaml"), "--json", "--progress", "none"]
    return ended(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    with campaign(tmp_path, ROWS, PADDED, limits={"max_in_flight": IN_FLIGHT}) as runs:
        first = limited(runs, resource.RLIMIT_FSIZE, 1_200_000 // 2)

        assert first.code == 3, first.said
        assert "Traceback" not in first.said
        assert_it_goes_on(runs, 2 * IN_FLIGHT)


def test_no_file_descriptors_are_left(tmp_path: Path) -> None:
    with campaign(tmp_path, ROWS, PADDED, limits={"max_in_flight": IN_FLIGHT}) as runs:
        ends = [limited(runs, resource.RLIMIT_NOFILE, count) for count in (5, 6, 7, 8, 11, 13, 15, 16, 18)]
        ids = [end.code for end in ends]

        assert all(code in (0, 1, 2, 3) for code in ids), ids
        assert not any("Traceback" in end.said or "internal error" in end.said for end in ends), [end.said for end in ends]
        end = runs.run("--retry-failed")
        assert end.code == 0, end.said
        assert runs.lines() == runs.names()


@needs_strace
@pytest.mark.parametrize(
    "file, fault",
    [
        ("out.jsonl", "write:error=ENOSPC:when=4"),
        ("out.jsonl", "write:error=EIO:when=3+2"),
        ("out.jsonl", "write:retval=4:when=3"),
        ("out.jsonl.journal-wal", "pwrite64:error=EIO:when=30"),
        ("out.jsonl.journal-wal", "pwrite64:error=ENOSPC:when=20+1"),
        ("out.jsonl.journal", "fdatasync:error=EIO:when=1+1"),
    ],
)
def test_a_system_call_that_fails(tmp_path: Path, file: str, fault: str) -> None:
    with campaign(tmp_path, ROWS, PADDED, limits={"max_in_flight": IN_FLIGHT}, journal={"durability": "power"}) as runs:
        runs.run("--limit", "1")
        strace = ["strace", "-f", "-qq", "-o", os.devnull, "-P", str(tmp_path / file), "-e", f"inject={fault}", *runs.command("run")]
        first = ended(subprocess.Popen(strace, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))

        if "retval" not in fault and "fdatasync" not in fault:
            assert_it_was_told(first, "No space left", "Input/output error", "disk is full", "disk I/O error")
        if "retval" in fault:  # it says that it wrote four bytes, and wrote none: the file is not what was written
            assert first.code == 3
            end = runs.run("--accept-changes")
            assert end.code == 0, end.said
            return
        # Of a commit that fails the whole group is lost, and a group that waits for a slow disk is large
        assert_it_goes_on(runs, ROWS // 2 if "journal" in file else 2 * IN_FLIGHT)


def test_a_database_that_others_hold_for_a_while(tmp_path: Path) -> None:
    with campaign(tmp_path, ROWS, PADDED, limits={"max_in_flight": IN_FLIGHT, "requests_per_second": 200}) as runs:
        process = runs.start()
        wait_until(runs.written, process)
        with closing(sqlite3.connect(tmp_path / "out.jsonl.journal", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            # All that the window lets in is sent meanwhile, and nothing of it committed.
            wait_until(lambda: runs.sent() == ROWS, process)
            assert process.poll() is None
            other.execute("ROLLBACK")
        end = ended(process)

    assert end.code == 0, end.said
    assert runs.lines() == runs.names()


@pytest.mark.parametrize("way", ["output", "journal"])
def test_a_place_that_cannot_be_written(tmp_path: Path, way: str) -> None:
    (tmp_path / "file").write_text("")
    wrong = {"path": str(tmp_path / "file" / "x.jsonl")}
    sections = {"sink": wrong} if way == "output" else {"journal": wrong}
    with campaign(tmp_path, 3, {}, **sections) as runs:
        end = runs.run()
        sent = runs.sent()

    assert end.code == 2
    assert "cannot be created" in end.said
    assert "Traceback" not in end.said
    assert sent == 0


def test_all_files_are_their_owners_alone(tmp_path: Path) -> None:
    with campaign(tmp_path, ROWS, PADDED, limits={"requests_per_second": 100}) as runs:
        process = runs.start()
        wait_until(runs.written, process)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("out.jsonl*")}
        process.kill()
        ended(process)
        runs.run("--fresh", "--limit", "1")
        after = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("out.jsonl*")}

    assert modes.keys() == {"out.jsonl", *(f"out.jsonl.journal{part}" for part in ("", "-wal", "-shm", ".sent", ".spool", ".rows"))}
    assert set(modes.values()) == {0o600}
    assert set(after.values()) == {0o600}
    assert "out.jsonl.1.journal" in after
