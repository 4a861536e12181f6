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

from pipeline.edges.store import spool as spool_module
from pipeline.edges.store.spool import OWNER_BYTES, Spool
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT = mmap.ALLOCATIONGRANULARITY  # the smallest that can be mapped by itself
OWNER = b"journal number 1"
TERM = 2**64 - 1
LIVE_AND_DIE = """
import sys
from pathlib import Path
from pipeline.edges.store.spool import Spool
spool = Spool(Path(sys.argv[1]), b"journal number 1")
for number in range(3):
    spool.put(b"line %d" % number, number)
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
    return closing(Spool(path, owner))


def left(path: Path, owner: bytes = OWNER) -> list[tuple[int, bytes]]:
    return Spool(path, owner).lines()


def test_a_killed_process_leaves_its_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", LIVE_AND_DIE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        process.send_signal(signal.SIGKILL)

    monkeypatch.undo()  # that process had segments of the usual size
    assert left(path) == [(0, b"line 0"), (1, b"line 1"), (2, b"line 2")]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_holds_what_was_put_and_not_forgotten_in_order(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("spool") / "s"
    current: list[tuple[int, bytes]] = []
    aside: list[tuple[int, bytes]] = []
    with opened(path) as spool:
        for step in data.draw(st.lists(st.sampled_from(["put", "put", "put", "turn", "clear"]), max_size=40)):
            if step == "put":
                line = data.draw(st.binary(min_size=1, max_size=40)) * data.draw(st.sampled_from([1, 30, 90]))
                assert spool.put(line, len(line))
                current.append((len(line), line))
            elif step == "turn":
                spool.turn()
                aside, current = aside + current, []
            else:
                spool.clear()
                aside = []
            assert left(path) == aside + current

    assert left(path) == aside + current


def test_its_file_grows_with_what_is_kept_at_once_and_not_with_what_passes(path: Path) -> None:
    with opened(path) as spool:
        for _ in range(50):
            assert spool.put(bytes(SEGMENT // 2), TERM)
            spool.turn()
            spool.clear()

    assert path.stat().st_size <= 2 * SEGMENT


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
    resource.setrlimit(resource.RLIMIT_FSIZE, (SEGMENT, hard))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with opened(path) as spool:
            taken = [spool.put(bytes(SEGMENT // 3), number) for number in range(4)]
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert taken == [True, True, False, False]
    assert [term for term, _ in left(path)] == [0, 1]


def test_removed_it_is_gone_and_can_begin_again(path: Path) -> None:
    with opened(path) as spool:
        spool.remove()
        spool.put(b"line", 1)
        spool.remove()
        assert not path.exists()
        spool.put(b"again", 2)

    assert left(path) == [(2, b"again")]


def test_a_spool_that_cannot_be_read_is_a_clear_error(path: Path) -> None:
    path.mkdir()

    with pytest.raises(JournalError, match=r"\.spool: .*cannot be read"):
        left(path)
