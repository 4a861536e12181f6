"""What the spool took is there after any death of its process; what is not whole, not its own, or forgotten is not."""

from __future__ import annotations

import mmap
import resource
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.edges.store import long_lines
from pipeline.edges.store import spool as spool_module
from pipeline.edges.store.spool import OWNER_BYTES, Spool
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.edges.store.long_lines import Slot

SEGMENT = mmap.ALLOCATIONGRANULARITY  # the smallest that can be mapped by itself
OWNER = b"journal number 1"
TERM = 2**64 - 1
LIVE_AND_DIE = """
import sys
from pathlib import Path
from pipeline.edges.store.spool import Spool
spool = Spool(Path(sys.argv[1]), b"journal number 1")
spool.open()
for number in range(3):
    spool.put(b"line %d" % number, number)
spool.put_long(b"long line" * 10000, 3)
print("kept", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", SEGMENT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl.journal.spool"


def opened(path: Path, owner: bytes = OWNER) -> closing[Spool]:
    spool = Spool(path, owner)
    spool.open()
    return closing(spool)


def long_path(path: Path) -> Path:
    return path.with_name(path.name + ".long")


def left(path: Path, owner: bytes = OWNER) -> list[tuple[int, bytes]]:
    return list(Spool(path, owner).lines())


def test_a_killed_process_leaves_its_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", LIVE_AND_DIE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        process.send_signal(signal.SIGKILL)

    monkeypatch.undo()  # that process had segments of the usual size
    assert left(path) == [(0, b"line 0"), (1, b"line 1"), (2, b"line 2"), (3, b"long line" * 10000)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_holds_what_was_put_and_not_forgotten_in_order(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("spool") / "s"
    here: list[tuple[int, bytes]] = []  # in the order in which they were put
    current: list[tuple[int, bytes]] = []
    closed: list[tuple[int, bytes]] = []
    slots: list[tuple[Slot, tuple[int, bytes]]] = []
    with opened(path) as spool:
        for step in data.draw(st.lists(st.sampled_from(["put", "put", "put", "long", "long", "free", "rotate", "clear"]), max_size=40)):
            line = data.draw(st.binary(min_size=1, max_size=40)) * data.draw(st.sampled_from([1, 30, 90, 400]))
            term = data.draw(st.integers(0, TERM))
            if step == "put" and len(line) < SEGMENT - 100:
                assert spool.put(line, term)
                current.append((term, line))
                here.append(current[-1])
            elif step == "long":
                slot = spool.put_long(line, term)
                assert slot is not None
                here.append((term, line))
                slots.append((slot, here[-1]))
            elif step == "free" and slots:
                slot, kept = slots.pop(data.draw(st.integers(0, len(slots) - 1)))
                spool.free([slot])
                here = [it for it in here if it is not kept]
            elif step == "rotate":
                spool.rotate()
                closed, current = closed + current, []
            elif step == "clear":
                spool.clear()
                here = [it for it in here if not any(it is other for other in closed)]
                closed = []
            assert left(path) == here
            assert all(slot.read() == line for slot, (_, line) in slots)

    assert left(path) == here


def test_its_file_grows_with_what_is_kept_at_once_and_not_with_what_passes(path: Path) -> None:
    with opened(path) as spool:
        for _ in range(50):
            assert spool.put(bytes(SEGMENT // 2), TERM)
            spool.rotate()
            spool.clear()
            slot = spool.put_long(bytes(3 * SEGMENT), TERM)
            assert slot is not None
            spool.free([slot])

    assert path.stat().st_size <= 2 * SEGMENT
    assert long_path(path).stat().st_size <= 4 * SEGMENT


def test_a_file_of_long_lines_that_has_grown_large_is_emptied_when_none_is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_lines, "KEPT_BYTES", 5 * SEGMENT)
    with opened(path) as spool:
        slots = [spool.put_long(bytes(SEGMENT), number) for number in range(9)]
        spool.free([slot for slot in slots[1:] if slot is not None])
        assert long_path(path).stat().st_size > 5 * SEGMENT
        spool.free([slot for slot in slots[:1] if slot is not None])
        assert long_path(path).stat().st_size == 0
        assert spool.put_long(b"line", 5) is not None

        assert left(path) == [(5, b"line")]


@pytest.mark.parametrize("cut", [3, 40, 60, SEGMENT, 2 * SEGMENT])
def test_a_long_line_that_was_being_written_is_none_and_hides_none(path: Path, cut: int) -> None:
    with opened(path) as spool:
        spool.put_long(b"first" * 9, 1)
        spool.put_long(b"a" * 2 * SEGMENT, 2)
        spool.put_long(b"third" * 9, 3)
    data = long_path(path).read_bytes()

    long_path(path).write_bytes(data[: SEGMENT + cut] + bytes(SEGMENT) + data[2 * SEGMENT + cut :])

    assert left(path) == [(1, b"first" * 9), (3, b"third" * 9)]


def test_files_that_were_deleted_get_their_names_back(path: Path) -> None:
    with opened(path) as spool:
        spool.put(b"short", 1)
        spool.put_long(b"long", 2)
        path.unlink()
        long_path(path).unlink()

        spool.put_back()

        assert left(path) == [(1, b"short"), (2, b"long")]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_being_written_is_none(path: Path, cut: int) -> None:
    with opened(path) as spool:
        spool.put(b"whole" * 9, 1)
        before = path.read_bytes()
        spool.put(b"second" * 9, TERM)
        after = path.read_bytes()
    begins = next(at for at in range(SEGMENT) if before[at] != after[at])

    path.write_bytes(after[: begins + cut] + before[begins + cut :])

    assert left(path) == [(1, b"whole" * 9)]


def test_another_journals_lines_are_none(path: Path) -> None:
    with opened(path, b"another journal!") as spool:
        spool.put(b"line", 1)

    assert left(path) == []
    assert left(path, b"another journal!") == [(1, b"line")]
    assert len(OWNER) == OWNER_BYTES


def test_a_line_longer_than_a_segment_is_not_taken(path: Path) -> None:
    with opened(path) as spool:
        assert not spool.put(bytes(SEGMENT), 1)
        assert spool.put(b"line", 2)

    assert left(path) == [(2, b"line")]


def test_a_full_disk_takes_no_line_and_loses_none(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * SEGMENT, hard))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with opened(path) as spool:
            taken = [spool.put(bytes(SEGMENT // 3), number) for number in range(6)]
            assert spool.put_long(bytes(3 * SEGMENT), 9) is None
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert taken == [True, True, True, True, False, False]
    assert [term for term, _ in left(path)] == [0, 1, 2, 3]


def test_a_disk_without_room_is_told_before_anything_is_sent(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SEGMENT, hard))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(JournalError, match="cannot be created: File too large"):
            opened(path)
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_removed_it_is_gone_and_can_begin_again(path: Path) -> None:
    with opened(path) as spool:
        assert spool.put(b"line", 1)
        assert spool.put_long(b"long", 1)
        spool.remove()
        assert not path.exists()
        assert not long_path(path).exists()
        spool.open()
        spool.put(b"again", 2)

    assert left(path) == [(2, b"again")]


def test_a_spool_that_cannot_be_read_is_a_clear_error(path: Path) -> None:
    path.mkdir()

    with pytest.raises(JournalError, match=r"\.spool: .*cannot be read"):
        left(path)
