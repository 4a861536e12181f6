"""A start that is refused leaves nothing behind that was not there before, and takes nothing away."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

import pipeline
from pipeline.durability.made import Made, missing_folders
from pipeline.durability.paths import Paths
from pipeline.edges.store.marks import SentMarks
from pipeline.errors import InputChangedError, JournalError, OutputExistsError, RunChangedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 5
OTHER_JOURNAL = {"path": "new/folder/j"}


def begin(folder: Path, **sections: object) -> pipeline.Config:
    """A config for rows that are there."""
    rows = [
        {"custom_id": f"c-{row}", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "x"}]}}
        for row in range(ROWS)
    ]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"source": {"path": "in.jsonl"}, "provider": {"simulate": {}}, "sink": {"path": "out.jsonl"}, **sections}
    (folder / "c.yaml").write_text(json.dumps(config))
    return pipeline.load_config(folder / "c.yaml")


def finished(folder: Path) -> pipeline.Config:
    """The same after a run."""
    config = begin(folder)
    trio.run(pipeline.run, config)
    return config


def foreign(folder: Path) -> pipeline.Config:
    config = begin(folder, journal=OTHER_JOURNAL)
    (folder / "out.jsonl").write_text("somebody's\n")
    return config


def no_journal(folder: Path) -> pipeline.Config:
    config = begin(folder)
    (folder / "out.jsonl.journal").write_text("no database, however it is looked at" * 100)
    return config


def changed_input(folder: Path) -> pipeline.Config:
    config = finished(folder)
    text = (folder / "in.jsonl").read_text()
    (folder / "in.jsonl").write_text(text.replace('"m"', '"n"', 1))
    return config


def other_order(folder: Path) -> pipeline.Config:
    finished(folder)
    return begin(folder, sink={"path": "out.jsonl", "order": "completion"})


def gone_input(folder: Path) -> pipeline.Config:
    config = begin(folder, sink={"path": "new/out.jsonl"})
    (folder / "in.jsonl").unlink()
    return config


def held(folder: Path) -> dict[str, int]:
    """Every file and folder, with its size."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "prepare, choices, error",
    [
        (foreign, {}, OutputExistsError),
        (no_journal, {}, JournalError),
        (changed_input, {}, InputChangedError),
        (other_order, {}, UsageError),
        (gone_input, {}, UsageError),
        (gone_input, {"fresh": True}, UsageError),
    ],
)
def test_refused_start_leaves_nothing_behind(
    tmp_path: Path, prepare: Callable[[Path], pipeline.Config], choices: dict[str, Any], error: type[Exception]
) -> None:
    config = prepare(tmp_path)
    before = held(tmp_path)

    with pytest.raises((error, RunChangedError) if error is UsageError else (error, pipeline.RunAborted)):
        trio.run(lambda: pipeline.run(config, **choices))

    assert held(tmp_path) == before


@pytest.mark.parametrize("choices", [{"fresh": True}, {"accept_changes": True}])
def test_start_that_finds_its_output_in_use_leaves_nothing_behind(tmp_path: Path, choices: dict[str, Any]) -> None:
    config = foreign(tmp_path)
    before = held(tmp_path)

    with (tmp_path / "out.jsonl").open("r+b") as output:
        fcntl.flock(output, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="is being written by another run"):
            trio.run(lambda: pipeline.run(config, **choices))

    assert held(tmp_path) == before


def test_start_that_finds_its_journal_in_use_takes_nothing_away(tmp_path: Path) -> None:
    config = begin(tmp_path)
    marks = SentMarks.open(tmp_path / "out.jsonl.journal.sent")

    with pytest.raises(UsageError, match="is in use by another run"):
        trio.run(pipeline.run, config)

    marks.close()
    assert sorted(held(tmp_path)) == ["c.yaml", "in.jsonl", "out.jsonl.journal.sent"]


def test_file_that_cannot_be_looked_at_is_not_taken_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "exists", broken)
    paths = Paths(tmp_path / "new" / "out.jsonl", tmp_path / "new" / "j")

    assert missing_folders(paths) == []
    made = Made.since(paths, [tmp_path], is_new=True)
    assert (made.missing, made.folders) == ((), ())


def test_marks_that_were_removed_before_their_lock_was_had_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j.sent"
    lock = fcntl.flock

    def removed_first(descriptor: int, how: int) -> None:
        lock(descriptor, how)
        monkeypatch.setattr(fcntl, "flock", lock)
        path.unlink()

    monkeypatch.setattr(fcntl, "flock", removed_first)
    marks = SentMarks.open(path)

    assert marks.is_new
    with pytest.raises(UsageError):
        SentMarks.open(path)
    marks.close()


def test_run_whose_last_file_cannot_be_closed_takes_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = os.close

    def refuse(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").resolve().name
        close(descriptor)
        if name.endswith(".rows"):
            raise OSError(errno.EIO, "Input/output error")

    config = begin(tmp_path)
    monkeypatch.setattr(os, "close", refuse)
    with pytest.raises(JournalError, match="cannot be closed: Input/output error"):
        trio.run(pipeline.run, config)
    monkeypatch.undo()

    assert (tmp_path / "out.jsonl.journal").exists()
    assert trio.run(pipeline.run, config).attempts == 0


def test_start_that_is_refused_leaves_the_log_of_a_journal_that_was_there(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "out.jsonl", tmp_path / "j")
    paths.journal.touch()
    made = Made.since(paths, [], is_new=True)
    for path in paths.all():
        path.touch()

    made.remove()  # the journal could not be closed, so its log is there and holds commits

    assert sorted(held(tmp_path)) == ["j", "j-shm", "j-wal"]
