"""What a run finds of an earlier one: a tail that nobody wrote, a renaming that was cut off, lines that were doubled by hand."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

import pipeline
from pipeline.core.output.lines import encode_batch
from pipeline.core.rows.lines import RawRow
from pipeline.durability.paths import Paths
from pipeline.durability.resume import Kind, finish_renaming, open_durable
from pipeline.edges.store.journal import Journal
from pipeline.edges.store.journal_reading import peek
from pipeline.edges.store.journal_schema import State
from pipeline.edges.store.output import FileSink
from pipeline.records import NO_USAGE, Success
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [b'{"custom_id":"c-%d","body":{"model":"m","messages":[]}}\n' % at for at in range(6)]


def run(
    folder: Path, order: str = "input", *, rows: list[bytes] = ROWS, limit: int | None = None, accept_changes: bool = False
) -> list[bytes]:
    """Run over some rows; what was sent."""
    sent: list[bytes] = []
    (folder / "in.jsonl").write_bytes(b"".join(rows))
    config = pipeline.load_config(write_config(folder, "http://127.0.0.1:9/v1", sink={"order": order}))

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(200, json={"choices": [{"message": {"content": "yes"}}]})

    async def once() -> None:
        async with httpx.MockTransport(answer) as transport:
            await pipeline.run(config, transport=transport, limit=limit, accept_changes=accept_changes)

    trio.run(once)
    assert pipeline.verify(config).counts.keys() <= {"missing"}
    return sent


@pytest.mark.parametrize("tail", [b"mine", b"mine\n", b'{"id":"batch_req_000000000003","custom_id":"c-3"', b"\n"])
@pytest.mark.parametrize("order", ["input", "completion"])
def test_a_tail_that_no_run_has_written_is_refused_and_kept(tmp_path: Path, order: str, tail: bytes) -> None:
    run(tmp_path, order, limit=3)
    output = tmp_path / "out.jsonl"
    output.write_bytes(output.read_bytes() + tail)
    before = output.read_bytes()

    with pytest.raises(pipeline.OutputChangedError, match="was edited: what stands behind its first"):
        run(tmp_path, order)

    assert output.read_bytes() == before


@pytest.mark.parametrize("order", ["input", "completion"])
def test_lines_that_were_doubled_by_hand_are_taken_once(tmp_path: Path, order: str) -> None:
    run(tmp_path, order)
    output = tmp_path / "out.jsonl"
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join([*lines[:3], lines[1], *lines[3:], lines[0]]))

    sent = run(tmp_path, order, accept_changes=True)

    assert sent == []
    assert output.read_bytes().splitlines(keepends=True) == lines


@pytest.mark.parametrize("order", ["input", "completion"])
def test_a_line_that_was_doubled_by_hand_answers_no_second_row_that_reads_the_same(tmp_path: Path, order: str) -> None:
    same, other = (b'{"body":{"model":"%s","messages":[]}}\n' % name for name in (b"same", b"other"))
    run(tmp_path, order, rows=[same])
    output = tmp_path / "out.jsonl"
    output.write_bytes(2 * output.read_bytes())

    sent = run(tmp_path, order, rows=[other, same, same], accept_changes=True)

    assert sorted(b"same" in body for body in sent) == [False, True]


async def test_a_rebuilt_output_is_on_the_disk_before_its_journal_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = FileSink.sync, Journal.replace

    def noted_sync(sink: FileSink) -> None:
        order.append("synced")
        sync(sink)

    def noted_replace(journal: Journal, lines: Any, state: Any) -> None:
        replace(journal, lines, state)
        order.append("replaced")

    await trio.to_thread.run_sync(run, tmp_path)
    output = tmp_path / "out.jsonl"
    output.write_bytes(b"".join(output.read_bytes().splitlines(keepends=True)[:-1]))
    monkeypatch.setattr(FileSink, "sync", noted_sync)
    monkeypatch.setattr(Journal, "replace", noted_replace)

    await trio.to_thread.run_sync(partial(run, tmp_path, accept_changes=True))

    assert order[:2] == ["synced", "replaced"]


def test_an_attempt_that_ended_without_an_outcome_is_not_counted_as_unknown(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal")
    with closing(open_durable(paths, Kind(encode_batch, in_order=True, power=False), {})) as store:
        store.begin([RawRow(index + 1, index, b"{}") for index in range(3)], 0)
        for index in range(3):
            store.left(index)
        store.cleared(1)
        store.finish(None)

    assert peek(paths.journal)[0].unknown == 2


@pytest.mark.parametrize("had_been_renamed", [False, True])
def test_a_renaming_that_was_cut_off_is_finished_and_overwrites_nothing(tmp_path: Path, *, had_been_renamed: bool) -> None:
    paths = Paths(tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal")
    aside = tmp_path / "out.jsonl.1"
    paths.rebuilt.write_bytes(b"new")
    paths.output.write_bytes(b"half of something")
    if had_been_renamed:
        aside.write_bytes(b"old")
    with closing(Journal.open(paths.journal, {})) as journal:
        journal.commit([], State(aside=aside.name))

        finish_renaming(journal, paths)
        finish_renaming(journal, paths)

        assert journal.state.aside == ""
    assert paths.output.read_bytes() == b"new"
    assert aside.read_bytes() == (b"old" if had_been_renamed else b"half of something")
    assert not paths.rebuilt.exists()


@pytest.mark.parametrize("in_order", [True, False])
def test_answers_that_got_no_further_than_the_spool_go_on_in_their_order(tmp_path: Path, *, in_order: bool) -> None:
    paths = Paths(tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal")
    kind = Kind(encode_batch, in_order=in_order, power=False)
    answers = [Success(index, f"c-{index}", 200, None, b'{"a":%d}' % index, NO_USAGE, 1, 0.0) for index in (4, 2)]
    store = open_durable(paths, kind, {})
    store.begin([RawRow(index + 1, index, b"{}") for index in range(5)], 0)
    for answer in answers:
        store.left(answer.index)
        store.keep(answer)
    store.close()  # nothing is recorded, as when the process is killed

    with closing(open_durable(paths, kind, {})) as store:
        assert list(store.done) == ([(2, 3), (4, 5)])
        assert list(store.held) == ([(2, 3), (4, 5)] if in_order else [])
        assert store.state.written == (0 if in_order else 2)
        assert store.state.unknown == 0
    assert paths.output.read_bytes() == (b"" if in_order else b"".join(map(encode_batch, answers)))
