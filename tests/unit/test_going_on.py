"""What a run finds of an earlier one: a tail that nobody wrote, a renaming that was cut off, lines that were doubled by hand."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

import pipeline
from pipeline.durability.paths import Paths
from pipeline.durability.resume import finish_renaming
from pipeline.edges.store.journal import Journal
from pipeline.edges.store.journal_schema import State
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 6


def run(folder: Path, order: str = "input", *, limit: int | None = None, accept_changes: bool = False) -> list[bytes]:
    """Run over six rows; what was sent."""
    sent: list[bytes] = []
    lines = (b'{"custom_id":"c-%d","body":{"model":"m","messages":[]}}\n' % at for at in range(ROWS))
    (folder / "in.jsonl").write_bytes(b"".join(lines))
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
