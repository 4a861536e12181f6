"""A mark survives the process that made it; the lock does not."""

from __future__ import annotations

import mmap
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.edges.store import marks as sent
from pipeline.edges.store.marks import MAPS, SentMarks, is_locked
from pipeline.errors import JournalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = mmap.ALLOCATIONGRANULARITY  # the smallest that can be mapped by itself
NOTHING = Intervals()
LIVE_AND_DIE = """
import sys
from pathlib import Path
from pipeline.edges.store.marks import SentMarks
marks = SentMarks.open(Path(sys.argv[1]))
for index in (0, 5, 3_000_000):
    marks.mark(index)
print("marked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "CHUNK", CHUNK)
    monkeypatch.setattr(sent, "LOCK_SECONDS", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl.journal.sent"


def opened(path: Path) -> closing[SentMarks]:
    return closing(SentMarks.open(path))


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_marks_and_no_lock_survive_a_process_that_is_killed(path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE_AND_DIE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(UsageError, match=r"out.jsonl.journal is in use by another run"):
            SentMarks.open(path)
        assert is_locked(path)
        process.send_signal(signal.SIGKILL)

    assert not is_locked(path)
    with opened(path) as marks:
        assert marks.unknown(NOTHING) == 3
        assert marks.unknown(Intervals([(0, 5), (6, 7)])) == 2


def test_one_run_has_the_marks_at_a_time_and_closing_gives_them_back(path: Path) -> None:
    with opened(path):
        with pytest.raises(UsageError, match="in use"):
            SentMarks.open(path)
        with pytest.raises(UsageError, match="in use"):
            SentMarks.open(path)

    with opened(path):
        assert is_locked(path)
    assert not is_locked(path)


def test_closing_twice_closes_nobody_elses_file(path: Path) -> None:
    marks = SentMarks.open(path)
    marks.mark(0)
    marks.close()
    with opened(path) as others:
        marks.close()
        others.mark(1)

        assert others.unknown(NOTHING) == 2


def test_to_look_for_a_lock_makes_no_file(path: Path) -> None:
    assert not is_locked(path)
    assert not path.exists()


@settings(max_examples=60)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["mark", "mark", "unmark", "reopen"]), st.integers(0, 3 * CHUNK)), max_size=30),
    done=st.lists(st.integers(0, 3 * CHUNK + 10), unique=True, max_size=20),
)
def test_unknown_is_what_is_marked_and_not_done(steps: list[tuple[str, int]], done: list[int]) -> None:
    marked: set[int] = set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "marks"
        marks = SentMarks.open(path)
        for what, index in steps:
            if what == "mark":
                marks.mark(index)
                marked.add(index)
            elif what == "unmark":
                marks.unmark(index)
                marked.discard(index)
            else:
                marks.close()
                marks = SentMarks.open(path)

        assert marks.unknown(Intervals((index, index + 1) for index in done)) == len(marked - set(done))
        rows = max(marked, default=0)  # behind them is one mark at the most
        found = marks.unknown(Intervals((index, index + 1) for index in done), rows)
        assert found == len({index for index in marked - set(done) if index < rows})
        marks.close()


def test_rows_far_apart_are_all_marked_and_few_are_mapped(path: Path) -> None:
    rows = [number * 1000 * CHUNK + number for number in range(2 * MAPS)]

    with opened(path) as marks:
        for row in rows + rows[::-1]:
            marks.mark(row)
            assert len(marks._maps) <= MAPS
        marks.unmark(rows[0])

        assert marks.unknown(NOTHING) == len(rows) - 1
        assert path.stat().st_blocks * 512 <= 3 * MAPS * CHUNK  # what lies between takes no room


def test_what_is_forgotten_says_nothing_any_more(path: Path) -> None:
    with opened(path) as marks:
        marks.mark(3 * CHUNK)
        marks.forget()
        assert (marks.unknown(NOTHING), path.stat().st_size) == (0, 0)
        marks.mark(7)

    with opened(path) as marks:
        assert marks.unknown(NOTHING) == 1


def test_a_disk_that_takes_no_more_is_an_error_before_anything_is_sent_and_earlier_marks_hold(path: Path) -> None:
    with opened(path) as marks:
        marks.mark(1)
        with no_file_longer_than(CHUNK), pytest.raises(JournalError, match="cannot be written: File too large"):
            marks.mark(CHUNK)
        marks.mark(2)
        assert marks.unknown(NOTHING) == 2
        marks.mark(CHUNK)

        assert marks.unknown(NOTHING) == 3


def test_marks_that_cannot_be_opened_are_a_clear_error(path: Path) -> None:
    path.mkdir()

    with pytest.raises(JournalError, match="cannot be opened: Is a directory"):
        SentMarks.open(path)


def test_only_their_owner_may_read_them(path: Path) -> None:
    with opened(path) as marks:
        marks.mark(0)

        assert path.stat().st_mode & 0o777 == 0o600
